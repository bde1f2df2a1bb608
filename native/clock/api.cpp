// The C interface, and where the library starts.
#include <cerrno>

#include "clock_api.h"
#include "host_work.h"
#include "interpose.h"
#include "local_time.h"
#include "raw.h"
#include "real.h"
#include "registry.h"
#include "slot.h"
#include "spin.h"
#include "word_wait.h"

using namespace revati::clock;

namespace {

__attribute__((constructor(101))) void start() {
    attach_session();
}
__attribute__((destructor(101))) void stop() {
    leave_process();
}

}  // namespace

REVATI_INTERPOSE int revati_clock_armed(void) {
    return page != nullptr && armed() ? 1 : 0;
}

REVATI_INTERPOSE int64_t revati_clock_now_ns(void) {
    return page != nullptr ? now_ns() : real_clock_ns(CLOCK_MONOTONIC);
}

REVATI_INTERPOSE void revati_clock_wait_until_ns(int64_t deadline_ns, uint32_t rank) {
    if (!taking_part()) {
        const timespec deadline =
            to_timespec(page != nullptr ? deadline_ns - page->shift_ns.load() : deadline_ns);
        while (raw_syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, to_arg(&deadline)) ==
               -EINTR) {
        }
        return;
    }
    enter();
    charge_cpu();
    spin_progress();
    if (deadline_ns <= now_ns()) {
        // The host is behind the device. It may run ahead of the group's time for a while, not for ever.
        if (armed()) settle(page->costs.quantum_ns);
        return;
    }
    page->counters.gpu.fetch_add(1, std::memory_order_relaxed);
    sleep_until(deadline_ns, Reason::gpu, rank);
    forget_cpu();
}

REVATI_INTERPOSE void revati_clock_device_call_begins(uint32_t kind) {
    if (!taking_part() || kind >= host_events) return;
    enter();
    begin_device_call(static_cast<HostEvent>(kind));
}

REVATI_INTERPOSE void revati_clock_device_call_ends(uint32_t kind, uint64_t bytes) {
    if (taking_part() && kind < host_events) end_device_call(static_cast<HostEvent>(kind), bytes);
}

REVATI_INTERPOSE void revati_clock_charge_poll(void) {
    if (!in_virtual_time()) return;
    enter();
    spin_look(Look::device);
}

REVATI_INTERPOSE void revati_clock_title(const char* title, uint32_t ranks) {
    set_title(title, ranks);
}

REVATI_INTERPOSE int revati_clock_wait_word(const uint32_t* word, uint32_t value, int64_t deadline_ns,
                                            uint32_t rank) {
    for (;;) {
        if (__atomic_load_n(word, __ATOMIC_SEQ_CST) != value) return 0;
        if (!taking_part()) {
            const int64_t left_ns = deadline_ns - revati_clock_now_ns();
            if (deadline_ns != no_deadline && left_ns <= 0) return 1;
            futex_wait(word, value, deadline_ns == no_deadline ? -1 : left_ns);
            continue;
        }
        enter();
        charge_cpu();
        spin_progress();
        const int result =
            wait_word(word, value, false,
                      {Wait::unlimited, Reason::word, deadline_ns, reinterpret_cast<uint64_t>(word), rank});
        forget_cpu();
        if (result == ETIMEDOUT) return __atomic_load_n(word, __ATOMIC_SEQ_CST) != value ? 0 : 1;
        if (result == 0) return 0;
    }
}

REVATI_INTERPOSE void revati_clock_wake_word(uint32_t* word) {
    if (page != nullptr) before_act(true);
    futex_wake(word, INT32_MAX);
    if (page != nullptr) after_act(Act::signal);
}
