// Threads: creation, end, yielding, and signals sent to them.
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <cerrno>
#include <new>

#include "interpose.h"
#include "local_time.h"
#include "raw.h"
#include "real.h"
#include "registry.h"
#include "signal_targets.h"
#include "slot.h"
#include "spin.h"
#include "tsc.h"

namespace revati::clock {
namespace {

struct Start {
    void* (*function)(void*);
    void* argument;
    Slot* slot;
};

void* run_thread(void* argument) {
    const Start start = *static_cast<Start*>(argument);
    delete static_cast<Start*>(argument);
    adopt_thread(*start.slot);
    return start.function(start.argument);
}

int join_virtually(pthread_t thread, void** result) {
    const int now = real::pthread_tryjoin_np(thread, result);
    if (now != EBUSY) return now;
    enter();
    charge_cpu();
    settle(page->costs.quantum_ns);
    spin_progress();
    Inside inside;
    begin_wait({Wait::process, Reason::join, no_deadline, static_cast<uint64_t>(thread)});
    const int joined = real::pthread_join(thread, result);
    end_wait();
    forget_cpu();
    return joined;
}

int join_until(pthread_t thread, void** result, int64_t deadline_ns) {
    // No event tells that a thread ended within the time: look, with growing pauses.
    int64_t pause_ns = 1'000'000;
    for (;;) {
        const int joined = real::pthread_tryjoin_np(thread, result);
        if (joined != EBUSY) return joined;
        const int64_t now = now_ns();
        if (now >= deadline_ns) return ETIMEDOUT;
        sleep_until(deadline_ns - now < pause_ns ? deadline_ns : now + pause_ns, Reason::join);
        pause_ns *= 2;
    }
}

}  // namespace
}  // namespace revati::clock

using namespace revati::clock;

REVATI_INTERPOSE int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                                    void* (*function)(void*), void* argument) noexcept {
    if (page == nullptr || self.slot == nullptr)
        return real::pthread_create(thread, attributes, function, argument);
    patch_time_stamp_readers();
    enter();
    auto* start = new (std::nothrow)
        Start{function, argument, announce_thread(reinterpret_cast<const void*>(function))};
    if (start == nullptr) return EAGAIN;
    Slot& slot = *start->slot;
    const int error = real::pthread_create(thread, attributes, run_thread, start);
    if (error != 0) {
        withdraw_announcement(slot);
        delete start;
    }
    return error;
}

REVATI_INTERPOSE int pthread_join(pthread_t thread, void** result) {
    if (!taking_part()) return real::pthread_join(thread, result);
    return join_virtually(thread, result);
}

REVATI_INTERPOSE int pthread_clockjoin_np(pthread_t thread, void** result, clockid_t clock,
                                          const timespec* deadline) {
    if (!taking_part()) return real::pthread_clockjoin_np(thread, result, clock, deadline);
    if (deadline == nullptr) return join_virtually(thread, result);
    return join_until(thread, result, to_monotonic_ns(to_ns_saturated(*deadline), clock));
}

REVATI_INTERPOSE int pthread_timedjoin_np(pthread_t thread, void** result, const timespec* deadline) {
    return pthread_clockjoin_np(thread, result, CLOCK_REALTIME, deadline);
}

REVATI_INTERPOSE int sched_yield() noexcept {
    if (!in_virtual_time() || page->mode == Mode::wall) return static_cast<int>(raw_syscall(SYS_sched_yield));
    enter();
    charge_cpu();
    spin_look(Look::yield);
    forget_cpu();
    return 0;
}

REVATI_INTERPOSE int pthread_kill(pthread_t thread, int signal) noexcept {
    if (signal != 0) before_act(true);
    if (signal != 0 && page != nullptr) {
        page->signals.fetch_add(1);
        let_sleepers_fall_asleep(static_cast<pid_t>(raw_syscall(SYS_getpid)));
    }
    return real::pthread_kill(thread, signal);
}
