#include "coordinator.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <tuple>
#include <utility>

#include "../file_wait.h"
#include "../raw.h"
#include "identity.h"
#include "watchdog.h"

namespace revati::clock {
namespace {

constexpr int64_t us = 1'000;
constexpr int64_t ms = 1'000'000;
constexpr int64_t housekeeping_every_ns = 20 * ms;
// A thread that is counted and asleep this long is in a call that is not wrapped. Only a rate limit: the
// finding itself is proven.
constexpr int64_t unknown_call_look_ns = 500 * us;
constexpr int64_t network_look_ns = 1 * ms;  // in real time, for what goes from node to node
constexpr int unknown_call_looks = 2;

int64_t real_ns(clockid_t clock = CLOCK_MONOTONIC) {
    timespec t;
    clock_gettime(clock, &t);
    return to_ns(t);
}

int64_t round_up(int64_t ns, int64_t unit_ns) {
    return (ns + unit_ns - 1) / unit_ns * unit_ns;
}

// Armed groups start at the same moment in every run, however long their start-up took, and everything that a
// program does every so often is due then.
constexpr int64_t arming_grid_ns = 3600 * ns_per_s;
constexpr int64_t arming_gap_ns = 60 * ns_per_s;
// A wait of at most this length is over when the group is armed; a longer one begins anew.
constexpr int64_t short_wait_ns = 2 * ns_per_s;
// A group that does not come to rest at the first moment does something there without end: then time moves.
constexpr uint64_t free_decisions = 20'000;

bool is_client(const Process& process) {
    return process.client.load() != 0 || process.guest.load() != 0;
}

}  // namespace

Coordinator::Coordinator(Page& page, std::string session, const WatchdogLimits& limits, Placement placement,
                         std::unique_ptr<Network> network, int agent_fd)
    : page_(page),
      session_(std::move(session)),
      limits_(limits),
      placement_(std::move(placement)),
      proof_(page),
      files_(page, session_),
      network_(std::move(network)) {
    page_.coordinator_pid.store(getpid());
    prctl(PR_SET_TIMERSLACK, 1UL);
    const char* trace_path = getenv("REVATI_CLOCK_TRACE");
    if (trace_path != nullptr) trace_ = fopen(trace_path, "we");
    if (agent_fd >= 0) {
        leave_ = std::make_unique<Leave>(agent_fd);
        leave_->on_arm = [this](int64_t virtual_ns, int64_t realtime_ns) { arm_at(virtual_ns, realtime_ns); };
        leave_->on_packet = [this](Packet packet) {
            if (network_ != nullptr) network_->take(std::move(packet));
        };
        if (network_ != nullptr) {
            network_->outgoing = [this](const Packet& packet) {
                leave_->send(packet, packet.arrival_ns + network_->latency_ns());
            };
        }
    }
    if (page_.command_arm.load() != 0) arm();
}

int Coordinator::run() {
    while (!done_) {
        if (page_.command_stop.load() != 0) break;
        if (page_.failed.load() != 0) fail("a member could not go on (its message is above)");
        if (real_ns() >= next_housekeeping_ns_) housekeeping();
        if (leave_ != nullptr) leave_->listen(0);
        if (leave_ != nullptr && !leave_->end().empty()) fail(leave_->end());
        if (page_.armed.load() != 0) {
            step();
        } else if (page_.command_arm.load() != 0) {
            arm();
        } else {
            idle_in_real_time();
        }
    }
    if (page_.command_stop.load() == stop_abandoned && why_failed_.empty())
        why_failed_ = "the Revati that started its session was killed";
    // The last thing that programs do is to close their connections; other hosts wait for that.
    if (network_ != nullptr && leave_ != nullptr) network_->collect();
    if (leave_ != nullptr) leave_->say_stopped(why_failed_);
    return exit_code_;
}

void Coordinator::idle_in_real_time() {
    if (network_ == nullptr) {
        wait_for_kick(page_.kicks.load(), housekeeping_every_ns);
        return;
    }
    network_->collect();
    wait_for_kick(page_.kicks.load(), network_look_ns);
}

// Both clocks start virtual time at a whole second: then doubles made of them have the same last bits in
// every run.
void Coordinator::arm() {
    if (leave_ != nullptr) {
        // All hosts begin at the same moment; it comes from the agent.
        leave_->want_arm();
        idle_in_real_time();
        return;
    }
    arm_at(round_up(real_ns() + page_.shift_ns.load() + arming_gap_ns, arming_grid_ns),
           round_up(real_ns(CLOCK_REALTIME), ns_per_s));
}

void Coordinator::arm_at(int64_t virtual_ns, int64_t realtime_ns) {
    if (page_.armed.load() != 0) return;
    if (network_ != nullptr) network_->collect();
    placement_.take();
    assign_keys(page_, trace_);
    page_.v_ns.store(virtual_ns);
    for (std::atomic<int64_t>& act_ns : page_.act_ns) act_ns.store(virtual_ns);
    page_.realtime_offset_ns.store(realtime_ns - virtual_ns);
    if (page_.mode == Mode::wall) page_.shift_ns.store(virtual_ns - real_ns());
    acts_changed_v_ns_ = virtual_ns;
    free_until_epoch_ = page_.epoch.load() + free_decisions;
    page_.priced.store(has_members() && page_.mode != Mode::wall ? 0 : 1);
    page_.armed.store(1);
    // Whoever waits for a moment in real time must wait for us instead.
    for (uint32_t i = 0; i < page_.slot_count.load(); ++i) {
        Slot& slot = page_.slots[i];
        slot.ready_epoch.store(0);
        if (slot.state.load() != State::block || slot.timeout_ns.load() < 0) continue;
        const int64_t timeout_ns = round_up(slot.timeout_ns.load(), ms);
        slot.deadline_ns.store(timeout_ns <= short_wait_ns ? virtual_ns : virtual_ns + timeout_ns);
        slot.word.fetch_add(1);
        futex_wake(&slot.word, INT_MAX);
        if (slot.wait.load() == Wait::files)
            raw_syscall(SYS_tgkill, slot.pid.load(), slot.tid.load(), private_signal());
    }
}

bool Coordinator::has_members() const {
    const uint32_t count = page_.slot_count.load();
    return std::any_of(page_.slots, page_.slots + count,
                       [](const Slot& slot) { return slot.state.load() != State::free; });
}

// What members do when they are armed hangs on where each was in real time: one more turn of a loop, or one
// less. It costs nothing, so that all start from the same moment; and clients come when it is over.
bool Coordinator::start_prices(bool at_rest) {
    if (page_.priced.load() != 0) return false;
    if (!at_rest && page_.epoch.load() < free_until_epoch_) return false;
    page_.priced.store(1);
    return true;
}

void Coordinator::step() {
    if (page_.mode == Mode::wall) release_due();
    if (page_.running.load() > 0) {
        wait_for_runners();
        return;
    }
    quiet_looks_ = 0;
    const uint32_t kicks = page_.kicks.load();
    if (!quiescent()) {
        // Somebody is on the way to its place; it kicks when it gets there.
        wait_for_kick(kicks, 20 * us);
        return;
    }
    files_.collect();
    note_productive_release();
    collect();
    const Candidate next = next_event();
    if (next.is_ready) {
        page_.counters.ready.fetch_add(1, std::memory_order_relaxed);
        start_prices(false);
        release(*next.slot, State::ready);
        return;
    }
    const int64_t arrival_ns = network_ != nullptr ? network_->next_arrival_ns() : no_deadline;
    const int64_t deadline_ns = next.slot != nullptr ? next.slot->deadline_ns.load() : no_deadline;
    const int64_t moment_ns = std::min(arrival_ns, deadline_ns);
    const bool moves_time = moment_ns != no_deadline && moment_ns > page_.v_ns.load();
    if (moment_ns == no_deadline || moves_time) {
        Slot* spinner = spinner_to_recheck();
        if (spinner != nullptr) {
            page_.counters.rechecks.fetch_add(1, std::memory_order_relaxed);
            rechecked_ = spinner;
            acts_at_recheck_ = page_.acts.load();
            release(*spinner, State::block);
            return;
        }
    }
    if (start_prices(moment_ns == no_deadline || moves_time)) return;
    if (moment_ns == no_deadline || (moves_time && held())) {
        if (leave_ != nullptr) leave_->report(page_.v_ns.load(), moment_ns, held());
        idle();
        return;
    }
    if (moves_time && !may_move_to(moment_ns)) return;
    if (arrival_ns <= deadline_ns) {
        deliver(arrival_ns);
    } else {
        release(*next.slot, State::block);
    }
}

// Otherwise waits for the leave, or for whatever else may have changed, a while.
bool Coordinator::may_move_to(int64_t moment_ns) {
    if (leave_ == nullptr) return true;
    if (network_ != nullptr) network_->floor_ns = moment_ns;
    if (leave_->may_move_to(moment_ns)) return true;
    leave_->report(page_.v_ns.load(), moment_ns, false);
    leave_->listen(static_cast<int>(housekeeping_every_ns / ms));
    return false;
}

void Coordinator::collect() {
    if (network_ == nullptr || page_.acts.load() == collected_acts_) return;
    network_->collect();
    collected_acts_ = page_.acts.load();
}

// Packets of one moment come before whoever waits for it.
void Coordinator::deliver(int64_t moment_ns) {
    if (moment_ns > page_.v_ns.load()) {
        page_.v_ns.store(moment_ns);
        page_.counters.jumps.fetch_add(1, std::memory_order_relaxed);
    }
    page_.epoch.fetch_add(1);
    network_->deliver_next();
}

// Then that this code runs at all is the proof: on the group's CPU nobody else could.
bool Coordinator::runs_below_all() const {
    return page_.fifo.load() != 0 && page_.outsiders.load() == 0;
}

bool Coordinator::quiescent() {
    if (runs_below_all()) return page_.running.load() == 0;
    const int64_t before = real_ns();
    const bool proven = proof_.quiescent();
    page_.counters.proof_ns.fetch_add(real_ns() - before, std::memory_order_relaxed);
    auto& counter = proven ? page_.counters.proofs : page_.counters.failed_proofs;
    counter.fetch_add(1, std::memory_order_relaxed);
    return proven;
}

// Threads that could run come first, in the order in which the decisions made them ready; then the earliest
// deadline. Ties go by rank and by key: nothing here depends on real time, on process ids or on slot numbers.
Coordinator::Candidate Coordinator::next_event() {
    Candidate best;
    const auto order = [](const Slot& s) {
        return std::tuple(s.ready_epoch.load(std::memory_order_relaxed),
                          s.key.load(std::memory_order_relaxed));
    };
    const auto moment = [](const Slot& s) {
        return std::tuple(s.deadline_ns.load(std::memory_order_relaxed),
                          s.rank.load(std::memory_order_relaxed), s.key.load(std::memory_order_relaxed));
    };
    const bool all_count = page_.priced.load() != 0;
    const uint32_t count = page_.slot_count.load();
    for (uint32_t i = 0; i < count; ++i) {
        Slot& slot = page_.slots[i];
        const State state = slot.state.load();
        if (!all_count && is_client(page_.processes[slot.process.load()])) continue;
        if (state == State::ready) {
            if (!best.is_ready || order(slot) < order(*best.slot)) best = {&slot, true};
        } else if (state == State::block && !best.is_ready && slot.deadline_ns.load() != no_deadline) {
            if (best.slot == nullptr || moment(slot) < moment(*best.slot)) best = {&slot, false};
        }
    }
    return best;
}

// A loop that watches memory must see what others wrote before time moves on.
Slot* Coordinator::spinner_to_recheck() {
    if (page_.mode != Mode::modelled) return nullptr;
    Slot* best = nullptr;
    const uint32_t count = page_.slot_count.load();
    for (uint32_t i = 0; i < count; ++i) {
        Slot& slot = page_.slots[i];
        if (slot.state.load() != State::block || slot.spinner.load() == 0 ||
            slot.checked_epoch.load() >= productive_epoch_)
            continue;
        if (best == nullptr || slot.key.load() < best->key.load()) best = &slot;
    }
    return best;
}

// A spinner that looked and spins again has changed nothing; every other release may have.
void Coordinator::note_productive_release() {
    const uint64_t epoch = page_.epoch.load();
    const bool in_vain = rechecked_ != nullptr && rechecked_->state.load() == State::block &&
                         rechecked_->spinner.load() != 0 && rechecked_->checked_epoch.load() == epoch &&
                         page_.acts.load() == acts_at_recheck_;
    if (!in_vain && epoch > productive_epoch_) productive_epoch_ = epoch;
    if (in_vain && productive_epoch_ > epoch) productive_epoch_ = epoch;
    rechecked_ = nullptr;
}

void Coordinator::release(Slot& slot, State from) {
    const int64_t deadline_ns = slot.deadline_ns.load();
    const bool timed = from == State::block;
    if (timed && &slot != rechecked_ && deadline_ns > page_.v_ns.load()) {
        if (page_.mode == Mode::wall)
            page_.shift_ns.fetch_add(std::max(int64_t{0}, deadline_ns - real_ns() - page_.shift_ns.load()));
        page_.v_ns.store(deadline_ns);
        page_.counters.jumps.fetch_add(1, std::memory_order_relaxed);
    }
    page_.epoch.fetch_add(1);
    page_.running.fetch_add(1);
    if (timed) slot.fired.store(1);
    if (slot.reason.load() == Reason::pay) page_.counters.pay.fetch_add(1, std::memory_order_relaxed);
    const bool files = slot.wait.load() == Wait::files;
    if (!slot.state.compare_exchange_strong(from, State::run)) {
        if (timed) slot.fired.store(0);
        page_.running.fetch_sub(1);
        return;
    }
    page_.activity.fetch_add(1);
    if (trace_ != nullptr) trace(slot, timed ? State::block : State::ready);
    slot.word.fetch_add(1);
    futex_wake(&slot.word, INT_MAX);
    if (timed && files) raw_syscall(SYS_tgkill, slot.pid.load(), slot.tid.load(), private_signal());
}

// Two runs of one program must give the same trace, process ids aside.
void Coordinator::trace(const Slot& slot, State from) const {
    fprintf(trace_, "%lu %ld %016lx %s %s ahead=%ld %d/%d\n", page_.epoch.load(),
            page_.v_ns.load() - monotonic_origin_ns, slot.key.load(),
            from == State::ready ? "ready" : "timed", reason_name(slot.reason.load()),
            slot.local_ns.load() - page_.v_ns.load(), slot.pid.load(), slot.tid.load());
}

// In wall mode time also passes while threads run, and deadlines come due without a jump.
void Coordinator::release_due() {
    const int64_t now = real_ns() + page_.shift_ns.load();
    page_.v_ns.store(now);
    for (uint32_t i = 0; i < page_.slot_count.load(); ++i) {
        Slot& slot = page_.slots[i];
        if (slot.state.load() == State::block && slot.deadline_ns.load() <= now) release(slot, State::block);
    }
}

bool Coordinator::held() const {
    if (page_.hold.load() != 0) return true;
    const uint32_t wanted = page_.clients_wanted.load();
    if (wanted == 0) return false;
    if (page_.clients_seen.load() < wanted) return true;
    for (uint32_t i = 0; i < page_.process_count.load(); ++i) {
        if (page_.processes[i].used.load() != 0 && page_.processes[i].client.load() != 0) return false;
    }
    return true;
}

void Coordinator::idle() {
    if (leave_ != nullptr) {
        leave_->listen(1);
        return;
    }
    wait_for_kick(page_.kicks.load(), ms);
    check_stuck();
}

void Coordinator::wait_for_runners() {
    const uint32_t kicks = page_.kicks.load();
    const bool some_exit = free_exited();
    if (page_.running.load() == 0) return;
    int64_t patience_ns = some_exit ? 30 * us : unknown_call_look_ns;
    if (page_.mode == Mode::wall) patience_ns = 100 * us;
    if (wait_for_kick(kicks, patience_ns) || some_exit) return;
    mark_unknown_calls();
    check_stuck();
}

void Coordinator::mark_unknown_calls() {
    const uint64_t activity = page_.activity.load();
    if (activity != quiet_activity_) {
        quiet_activity_ = activity;
        quiet_looks_ = 0;
    }
    const uint32_t count = page_.slot_count.load();
    for (uint32_t i = 0; i < count; ++i) {
        const Slot& slot = page_.slots[i];
        if (slot.state.load() != State::run) continue;
        if (slot.tid.load() == 0 || proof_.look_at(i) != Proof::Look::asleep) {
            quiet_looks_ = 0;
            return;
        }
    }
    if (++quiet_looks_ < unknown_call_looks || page_.activity.load() != activity) return;
    quiet_looks_ = 0;
    for (uint32_t i = 0; i < count; ++i) {
        Slot& slot = page_.slots[i];
        State expected = State::run;
        if (slot.tid.load() == 0 || !slot.state.compare_exchange_strong(expected, State::kernel)) continue;
        page_.running.fetch_sub(1);
        page_.counters.kernel_blocked.fetch_add(1, std::memory_order_relaxed);
    }
}

// True while threads are about to end: they count as running until the kernel has forgotten them, because
// whoever waits for their end is woken only then.
bool Coordinator::free_exited() {
    bool some_left = false;
    const uint32_t count = page_.slot_count.load();
    for (uint32_t i = 0; i < count; ++i) {
        Slot& slot = page_.slots[i];
        if (slot.state.load() != State::exiting) continue;
        if (slot.tid.load() != 0 && proof_.look_at(i) == Proof::Look::gone) {
            free_slot(i);
        } else {
            some_left = true;
        }
    }
    return some_left;
}

void Coordinator::free_slot(uint32_t index) {
    Slot& slot = page_.slots[index];
    page_.processes[slot.process.load()].wakes.fetch_add(1);
    page_.acts.fetch_add(1);
    page_.signals.fetch_add(1);  // to the parent
    proof_.forget(index);
    files_.forget(index);
    const State before = slot.state.exchange(State::free);
    if (before == State::run || before == State::exiting) page_.running.fetch_sub(1);
    page_.activity.fetch_add(1);
}

void Coordinator::housekeeping() {
    next_housekeeping_ns_ = real_ns() + housekeeping_every_ns;
    if (page_.armed.load() == 0) free_exited();
    placement_.check();
    const uint32_t count = page_.process_count.load();
    for (uint32_t i = 0; i < count && !done_; ++i) {
        Process& process = page_.processes[i];
        if (process.used.load() != 0 && process.pid.load() != 0) check_process(process, i);
    }
}

void Coordinator::check_process(Process& process, uint32_t index) {
    const int32_t pid = process.pid.load();
    bool gone = kill(pid, 0) != 0 && errno == ESRCH;
    const uint32_t count = page_.slot_count.load();
    for (uint32_t i = 0; i < count && !gone; ++i) {
        const Slot& slot = page_.slots[i];
        if (slot.state.load() == State::free || slot.process.load() != index || slot.tid.load() != pid)
            continue;
        gone = proof_.look_at(i) == Proof::Look::gone;
        // A main thread may end before the others do; then the process is not gone.
        for (uint32_t k = 0; k < count && gone; ++k) {
            const Slot& other = page_.slots[k];
            const bool lives = k != i && other.state.load() != State::free && other.process.load() == index &&
                               other.tid.load() != 0;
            if (lives && proof_.look_at(k) != Proof::Look::gone) gone = false;
        }
    }
    if (!gone) return;
    const int32_t parent = process.parent_pid.load();
    const bool may_end =
        process.orderly.load() != 0 || process.guest.load() != 0 || page_.winding_down.load() != 0;
    const bool by_accident = process.attached.load() != 0 && !may_end && kill(parent, 0) == 0;
    for (uint32_t i = 0; i < count; ++i) {
        if (page_.slots[i].state.load() != State::free && page_.slots[i].process.load() == index)
            free_slot(i);
    }
    process.client.store(0);
    process.pid.store(0);
    process.used.store(0);
    page_.counters.dead.fetch_add(1, std::memory_order_relaxed);
    if (!by_accident) return;
    const std::string title = process.title[0] != '\0' ? " (" + std::string(process.title) + ")" : "";
    fail("process " + std::to_string(pid) + title + " was killed or crashed");
}

void Coordinator::check_stuck() {
    const int64_t now = real_ns();
    const uint64_t activity = page_.activity.load();
    // A group without members waits for its first; the minute begins when that one has come.
    const bool excused = held() || page_.process_count.load() == 0;
    if (page_.epoch.load() != watched_epoch_ || activity != watched_activity_ || excused) {
        watched_epoch_ = page_.epoch.load();
        watched_activity_ = activity;
        watched_since_ns_ = now;
        warned_busy_ = false;
        return;
    }
    const int64_t quiet_ns = now - watched_since_ns_;
    if (page_.running.load() > 0) {
        if (quiet_ns < limits_.busy_ns || warned_busy_) return;
        warned_busy_ = true;
        fprintf(stderr, "revati clock: one thread has been running for %lld s while all others wait:\n",
                static_cast<long long>(quiet_ns / ns_per_s));
        explain(page_, stderr);
        return;
    }
    if (quiet_ns < limits_.stuck_ns) return;
    explain(page_, stderr);
    fail("nothing can move: every thread waits and none of them has a deadline (list above)");
}

// True: kicked. False: the time is up.
bool Coordinator::wait_for_kick(uint32_t seen, int64_t timeout_ns) {
    page_.coordinator_waits.store(1);
    long result = 0;
    if (page_.kicks.load() == seen) result = futex_wait(&page_.kicks, seen, timeout_ns);
    page_.coordinator_waits.store(0);
    return result != -ETIMEDOUT;
}

void Coordinator::fail(const std::string& why) {
    if (done_) return;
    why_failed_ = why;
    end_group(page_, session_, why);
    exit_code_ = exit_code_group_ended;
    done_ = true;
}

}  // namespace revati::clock
