// syscall(2): Rust, abseil and others wait on futexes, read clocks and yield through it.
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>

#include <cerrno>
#include <cstdarg>

#include "interpose.h"
#include "local_time.h"
#include "park.h"
#include "raw.h"
#include "slot.h"
#include "spin.h"
#include "word_wait.h"

namespace revati::clock {
namespace {

struct WordCheck {
    const uint32_t* word;
    uint32_t value;
};

bool word_unchanged(void* argument) {
    const auto* check = static_cast<const WordCheck*>(argument);
    return __atomic_load_n(check->word, __ATOMIC_SEQ_CST) == check->value;
}

int64_t futex_deadline_ns(int command, int operation, const timespec* timeout) {
    if (timeout == nullptr) return no_deadline;
    const int64_t ns = to_ns_saturated(*timeout);
    if (command == FUTEX_WAIT) return deadline_after_ns(ns);
    return to_monotonic_ns(ns, (operation & FUTEX_CLOCK_REALTIME) != 0 ? CLOCK_REALTIME : CLOCK_MONOTONIC);
}

long futex_wait_virtually(const uint32_t* word, int operation, uint32_t value, const timespec* timeout,
                          uint32_t bits) {
    enter();
    charge_cpu();
    const int command = operation & FUTEX_CMD_MASK;
    const int64_t deadline_ns = futex_deadline_ns(command, operation, timeout);
    if (__atomic_load_n(word, __ATOMIC_SEQ_CST) != value) return -EAGAIN;
    if (deadline_ns <= now_ns()) {
        if (armed()) spin_look(Look::yield);
        return -ETIMEDOUT;
    }
    spin_progress();
    if ((operation & FUTEX_PRIVATE_FLAG) == 0) {
        return -wait_word(word, value, false,
                          {Wait::unlimited, Reason::futex, deadline_ns, reinterpret_cast<uint64_t>(word)});
    }
    WordCheck check{word, value};
    Parking parking;
    if (!parking.queue(word, command == FUTEX_WAIT ? ~0U : bits, word_unchanged, &check)) return -EAGAIN;
    const Parking::Result result = parking.wait(Reason::futex, deadline_ns, true);
    forget_cpu();
    if (result == Parking::Result::woken) return 0;
    return result == Parking::Result::signal ? -EINTR : -ETIMEDOUT;
}

// Others may wait on the word through an inlined system call (libgomp): the kernel's waiters are woken, too.
long futex_wake_virtually(long* a) {
    const auto* word = reinterpret_cast<const void*>(a[0]);
    const int command = static_cast<int>(a[1]) & FUTEX_CMD_MASK;
    const uint32_t bits = command == FUTEX_WAKE ? ~0U : static_cast<uint32_t>(a[5]);
    const bool shared = (a[1] & FUTEX_PRIVATE_FLAG) == 0;
    const bool wakes = shared || has_parked(word);
    if (wakes) before_act(shared);
    const int parked = unpark(word, static_cast<int>(a[2]), bits);
    long in_kernel = 0;
    if (parked < static_cast<int>(a[2])) {
        if (self.process != nullptr) self.process->wakes.fetch_add(1);
        in_kernel = raw_syscall(SYS_futex, a[0], a[1], a[2] - parked, a[3], a[4], a[5]);
    }
    if (wakes) after_act(Act::signal);
    return in_kernel < 0 ? in_kernel : in_kernel + parked;
}

// Waking all instead of moving them to the second word is allowed: futex waits may end for no reason.
long futex_requeue_virtually(long* a) {
    const auto* word = reinterpret_cast<const void*>(a[0]);
    if (has_parked(word)) {
        before_act(false);
        unpark(word, INT32_MAX);
        after_act(Act::signal);
    }
    if (self.process != nullptr) self.process->wakes.fetch_add(1);
    page->acts.fetch_add(1);
    return raw_syscall(SYS_futex, a[0], a[1], a[2], a[3], a[4], a[5]);
}

long futex_virtually(long* a) {
    const int operation = static_cast<int>(a[1]);
    switch (operation & FUTEX_CMD_MASK) {
        case FUTEX_WAIT:
        case FUTEX_WAIT_BITSET:
            if (!taking_part()) break;
            return futex_wait_virtually(reinterpret_cast<const uint32_t*>(a[0]), operation,
                                        static_cast<uint32_t>(a[2]), reinterpret_cast<const timespec*>(a[3]),
                                        static_cast<uint32_t>(a[5]));
        case FUTEX_WAKE:
        case FUTEX_WAKE_BITSET:
            return futex_wake_virtually(a);
        case FUTEX_WAKE_OP:
        case FUTEX_REQUEUE:
        case FUTEX_CMP_REQUEUE:
            return futex_requeue_virtually(a);
        default:
            break;
    }
    if (self.process != nullptr) self.process->wakes.fetch_add(1);
    return raw_syscall(SYS_futex, a[0], a[1], a[2], a[3], a[4], a[5]);
}

constexpr long kernel_cpuset_bytes = 8;

int64_t failed(int result) {
    return result < 0 ? -errno : result;
}

// Calls that have an interposer of their own; `handled` says so.
long other_call(long number, long* a, bool& handled) {
    handled = true;
    switch (number) {
        case SYS_clock_gettime:
            return failed(clock_gettime(static_cast<clockid_t>(a[0]), reinterpret_cast<timespec*>(a[1])));
        case SYS_nanosleep:
            return failed(
                nanosleep(reinterpret_cast<const timespec*>(a[0]), reinterpret_cast<timespec*>(a[1])));
        case SYS_clock_nanosleep:
            return -clock_nanosleep(static_cast<clockid_t>(a[0]), static_cast<int>(a[1]),
                                    reinterpret_cast<const timespec*>(a[2]),
                                    reinterpret_cast<timespec*>(a[3]));
        case SYS_sched_yield:
            return failed(sched_yield());
        case SYS_poll:
            return failed(
                poll(reinterpret_cast<pollfd*>(a[0]), static_cast<nfds_t>(a[1]), static_cast<int>(a[2])));
        case SYS_sched_getaffinity: {
            const int result = sched_getaffinity(static_cast<pid_t>(a[0]), static_cast<size_t>(a[1]),
                                                 reinterpret_cast<cpu_set_t*>(a[2]));
            // The kernel's own call says how many bytes it wrote.
            return result < 0 ? -errno : a[1] < kernel_cpuset_bytes ? a[1] : kernel_cpuset_bytes;
        }
        case SYS_sched_setaffinity:
            return failed(sched_setaffinity(static_cast<pid_t>(a[0]), static_cast<size_t>(a[1]),
                                            reinterpret_cast<const cpu_set_t*>(a[2])));
        case SYS_sched_setscheduler:
            return failed(sched_setscheduler(static_cast<pid_t>(a[0]), static_cast<int>(a[1]),
                                             reinterpret_cast<const sched_param*>(a[2])));
        case SYS_epoll_wait:
            return failed(epoll_wait(static_cast<int>(a[0]), reinterpret_cast<epoll_event*>(a[1]),
                                     static_cast<int>(a[2]), static_cast<int>(a[3])));
        default:
            handled = false;
            return 0;
    }
}

}  // namespace
}  // namespace revati::clock

using namespace revati::clock;

REVATI_INTERPOSE long syscall(long number, ...) noexcept {
    va_list list;
    va_start(list, number);
    long a[6];
    for (long& argument : a) argument = va_arg(list, long);
    va_end(list);
    bool handled = false;
    long result = 0;
    if (page != nullptr && number == SYS_futex) {
        result = futex_virtually(a);
        handled = true;
    } else if (page != nullptr) {
        result = other_call(number, a, handled);
    }
    if (!handled) result = raw_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (result >= 0 || result < -4095) return result;
    errno = static_cast<int>(-result);
    return -1;
}
