#include "slot.h"

#include <cerrno>

#include "host_work.h"
#include "local_time.h"
#include "raw.h"

namespace revati::clock {

Page* page = nullptr;
thread_local ThreadState self __attribute__((tls_model("initial-exec"))) = {};

namespace {

// The count rises before the state says so: the coordinator must never see a running thread that is not
// counted.
bool take_place(Slot& slot, State from) {
    page->running.fetch_add(1);
    if (slot.state.compare_exchange_strong(from, State::run)) {
        page->activity.fetch_add(1);
        return true;
    }
    if (page->running.fetch_sub(1) == 1) kick_coordinator();
    return false;
}

bool queue_for_turn(Slot& slot, State from) {
    slot.ready_epoch.store(page->epoch.load());
    if (!slot.state.compare_exchange_strong(from, State::ready)) return false;
    page->activity.fetch_add(1);
    if (page->running.load() == 0) kick_coordinator();
    return true;
}

void raise_to(std::atomic<int64_t>& time, int64_t to) {
    int64_t seen = time.load();
    while (seen < to && !time.compare_exchange_weak(seen, to)) {
    }
}

void wait_for_turn(Slot& slot) {
    for (;;) {
        const uint32_t word = slot.word.load();
        if (slot.state.load() == State::run) return;
        futex_wait(&slot.word, word);
    }
}

// After a signal. False: the wait was over already.
bool get_place_back(Slot& slot) {
    if (!serial()) return take_place(slot, State::block);
    if (!queue_for_turn(slot, State::block)) return false;
    wait_for_turn(slot);
    return true;
}

// How long a parked thread may sleep before it has to end its wait itself: the coordinator does that once
// time is virtual.
int64_t real_time_left_ns(int64_t deadline_ns, int64_t look_ns) {
    if (look_ns != no_deadline) return look_ns - real_clock_ns(CLOCK_MONOTONIC);
    if (armed() || deadline_ns == no_deadline) return no_deadline;
    return deadline_ns - now_ns();
}

}  // namespace

void kick_coordinator() {
    if (!armed()) return;
    page->kicks.fetch_add(1);
    if (page->coordinator_waits.load() != 0) futex_wake(&page->kicks);
}

void regain_place() {
    Slot& slot = *self.slot;
    if (serial() && queue_for_turn(slot, State::kernel)) {
        wait_for_turn(slot);
    } else {
        take_place(slot, State::kernel);
    }
}

void begin_wait(const WaitFor& wait) {
    Slot& slot = *self.slot;
    if (page->record != 0) record_stretch(wait.reason);
    slot.wait.store(wait.wait);
    slot.reason.store(wait.reason);
    slot.deadline_ns.store(wait.deadline_ns);
    const bool arming_shortens = !armed() && wait.deadline_ns != no_deadline;
    slot.timeout_ns.store(arming_shortens ? wait.deadline_ns - now_ns() : -1);
    slot.object.store(wait.object);
    slot.rank.store(wait.rank);
    slot.spinner.store(wait.spinner ? 1 : 0);
    slot.checked_epoch.store(page->epoch.load());
    slot.fired.store(0);
    slot.seq.fetch_add(1);
    if (slot.state.exchange(State::block) == State::kernel) {
        page->activity.fetch_add(1);
        if (page->running.load() == 0) kick_coordinator();
    } else if (page->running.fetch_sub(1) == 1) {
        kick_coordinator();
    }
}

bool withdraw() {
    return take_place(*self.slot, State::block);
}

// Read when it is our turn: before, others may still act.
void inherit_act_time() {
    raise_to(self.slot->local_ns, page->act_ns[self.process->node.load(std::memory_order_relaxed)].load());
}

Wake end_wait() {
    Slot& slot = *self.slot;
    const int saved_errno = errno;
    for (;;) {
        const State state = slot.state.load();
        if (state == State::run) break;
        if (state == State::ready) {
            wait_for_turn(slot);
        } else if (serial()) {
            if (!queue_for_turn(slot, State::block)) continue;
            wait_for_turn(slot);
            inherit_act_time();
        } else {
            take_place(slot, State::block);
        }
    }
    slot.seq.fetch_add(1);
    count_wake(slot.reason.load());
    errno = saved_errno;
    return slot.fired.load() != 0 ? Wake::deadline : Wake::woken;
}

Wake park(bool interruptible, const RealLimit& limit) {
    Slot& slot = *self.slot;
    const int saved_errno = errno;
    const bool limited = limit.look_ns >= 0;
    int64_t look_ns = limited ? real_clock_ns(CLOCK_MONOTONIC) + limit.look_ns : no_deadline;
    const int64_t give_up_cpu_ns = limit.cpu_ns > 0 ? process_cpu_ns() + limit.cpu_ns : 0;
    for (;;) {
        const uint32_t word = slot.word.load();
        if (slot.state.load() == State::run) break;
        const int64_t left_ns = real_time_left_ns(slot.deadline_ns.load(), look_ns);
        if (left_ns > 0) {
            const long result = futex_wait(&slot.word, word, left_ns == no_deadline ? -1 : left_ns);
            if (interruptible && result == -EINTR && get_place_back(slot)) {
                count_wake(slot.reason.load());
                errno = saved_errno;
                return Wake::signal;
            }
        } else if (limited && process_cpu_ns() < give_up_cpu_ns) {
            look_ns += limit.look_ns;
        } else if (take_place(slot, State::block)) {
            slot.fired.store(1);
            break;
        } else if (slot.state.load() == State::ready) {
            wait_for_turn(slot);
        }
    }
    slot.seq.fetch_add(1);
    count_wake(slot.reason.load());
    errno = saved_errno;
    return slot.fired.load() != 0 ? Wake::deadline : Wake::woken;
}

void grant(Slot& slot) {
    if (armed() && self.slot != nullptr) raise_to(slot.local_ns, self.slot->local_ns.load());
    if (serial() && queue_for_turn(slot, State::block)) return;
    if (!take_place(slot, State::block)) return;
    slot.word.fetch_add(1);
    futex_wake(&slot.word);
}

Wake sleep_until_or_signal(int64_t deadline_ns, Reason reason) {
    Inside inside;
    begin_wait({Wait::signals, reason, deadline_ns});
    return park(true);
}

void sleep_until(int64_t deadline_ns, Reason reason, uint32_t rank, bool spinner) {
    Inside inside;
    begin_wait({Wait::park, reason, deadline_ns, 0, rank, spinner});
    park();
}

}  // namespace revati::clock
