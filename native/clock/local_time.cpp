#include "local_time.h"

#include <algorithm>
#include <cerrno>

#include "host_work.h"
#include "raw.h"
#include "real.h"
#include "slot.h"
#include "spin.h"

namespace revati::clock {
namespace {

int64_t group_time_ns() {
    if (!armed() || page->mode == Mode::wall) return real_clock_ns(CLOCK_MONOTONIC) + page->shift_ns.load();
    return page->v_ns.load();
}

}  // namespace

int64_t real_clock_ns(clockid_t clock) {
    timespec t;
    real::clock_gettime(clock, &t);
    return to_ns(t);
}

int64_t now_ns() {
    const int64_t group_ns = group_time_ns();
    if (self.slot == nullptr || !armed() || page->mode == Mode::wall) return group_ns;
    if (self.depth == 0) charge_cpu();
    return std::max(group_ns, self.slot->local_ns.load(std::memory_order_relaxed));
}

int64_t realtime_ns() {
    if (!armed()) return real_clock_ns(CLOCK_REALTIME);
    return now_ns() + page->realtime_offset_ns.load();
}

bool is_realtime_clock(clockid_t clock) {
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
}

bool is_virtual_clock(clockid_t clock) {
    return is_realtime_clock(clock) || clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW ||
           clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_BOOTTIME;
}

int64_t read_clock_ns(clockid_t clock) {
    return is_realtime_clock(clock) ? realtime_ns() : now_ns();
}

int64_t to_monotonic_ns(int64_t deadline_ns, clockid_t clock) {
    if (!is_realtime_clock(clock)) return deadline_ns;
    if (armed()) return deadline_ns - page->realtime_offset_ns.load();
    return deadline_ns - real_clock_ns(CLOCK_REALTIME) + now_ns();
}

int64_t deadline_after_ns(int64_t timeout_ns) {
    if (timeout_ns < 0) return no_deadline;
    const int64_t now = now_ns();
    return timeout_ns > no_deadline - now ? no_deadline : now + timeout_ns;
}

void charge_ns(int64_t cost_ns) {
    if (page->mode != Mode::modelled || cost_ns <= 0 || !priced()) return;
    self.slot->local_ns.store(now_ns() + cost_ns, std::memory_order_relaxed);
}

void charge_cpu() {
    if ((page->mode != Mode::cpu && page->record == 0) || self.device_depth > 0) return;
    const int64_t cpu_ns = thread_cpu_ns();
    const int64_t spent_ns = self.cpu_mark_ns == 0 ? 0 : cpu_ns - self.cpu_mark_ns;
    self.cpu_mark_ns = cpu_ns;
    if (page->record != 0) self.tally.cpu_ns += spent_ns;
    if (page->mode != Mode::cpu) return;
    const int64_t owed_ns = static_cast<int64_t>(static_cast<double>(spent_ns) * page->costs.cpu_factor);
    const int64_t base_ns = std::max(page->v_ns.load(), self.slot->local_ns.load(std::memory_order_relaxed));
    self.slot->local_ns.store(base_ns + owed_ns, std::memory_order_relaxed);
}

void forget_cpu() {
    if (page->mode == Mode::cpu || page->record != 0) self.cpu_mark_ns = thread_cpu_ns();
}

void settle(int64_t allowance_ns) {
    if (page->mode == Mode::wall) return;
    const int64_t local_ns = self.slot->local_ns.load(std::memory_order_relaxed);
    if (local_ns - page->v_ns.load() <= allowance_ns) return;
    sleep_until(local_ns, Reason::pay);
    forget_cpu();
}

void before_act(bool files) {
    if (page == nullptr) return;
    if (self.slot != nullptr && self.depth == 0 && armed()) {
        const int saved_errno = errno;
        enter();
        spin_progress();
        charge_cpu();
        settle(page->costs.quantum_ns);
        errno = saved_errno;
    }
    if (files) page->acts.fetch_add(1);
    if (self.process != nullptr) self.process->wakes.fetch_add(1);
}

void after_act(Act act, uint64_t bytes) {
    if (!in_virtual_time()) return;
    if (act != Act::close) charge_ns(act == Act::send ? page->costs.send_ns : page->costs.signal_ns);
    const int64_t local_ns = now_ns();
    std::atomic<int64_t>& act_ns = page->act_ns[self.process->node.load(std::memory_order_relaxed)];
    int64_t seen = act_ns.load();
    while (seen < local_ns && !act_ns.compare_exchange_weak(seen, local_ns)) {
    }
    // After what others notice: the work that goes with it must not delay them.
    if (act != Act::close) count_event(act == Act::send ? HostEvent::send : HostEvent::signal, bytes);
}

}  // namespace revati::clock
