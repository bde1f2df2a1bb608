// Waits for signals.
#include <signal.h>
#include <unistd.h>

#include <cerrno>

#include "file_wait.h"
#include "interpose.h"
#include "local_time.h"
#include "raw.h"
#include "slot.h"
#include "spin.h"

namespace revati::clock {
namespace {

constexpr long kernel_sigset_bytes = 8;

void prepare_to_wait() {
    enter();
    charge_cpu();
    settle(page->costs.quantum_ns);
    spin_progress();
}

template <typename Call>
int until_handled(Call call) {
    if (taking_part()) {
        prepare_to_wait();
        Inside inside;
        // Whoever sends a signal says so before, like any other act.
        begin_wait({Wait::unlimited, Reason::signal});
        call();
        end_wait();
        forget_cpu();
    } else {
        call();
    }
    errno = EINTR;
    return -1;
}

// The coordinator ends the wait with a signal of its own, which is blocked and therefore can be waited for,
// too. Negative: errno.
long wait_virtually(const sigset_t& wanted, siginfo_t* info, int64_t timeout_ns) {
    prepare_to_wait();
    const int64_t deadline_ns = deadline_after_ns(timeout_ns);
    sigset_t set = wanted;
    sigaddset(&set, private_signal());
    Inside inside;
    for (;;) {
        begin_wait({Wait::files, Reason::signal, deadline_ns});
        timespec real_timeout = to_timespec(timeout_ns);
        const bool real = !armed() && timeout_ns >= 0;
        const long result = raw_syscall(SYS_rt_sigtimedwait, to_arg(&set), to_arg(info),
                                        real ? to_arg(&real_timeout) : 0, kernel_sigset_bytes);
        const Wake wake = end_wait();
        forget_cpu();
        if (result != private_signal() && (result != -EAGAIN || !armed())) return result;
        if (wake == Wake::deadline || now_ns() >= deadline_ns) return -EAGAIN;
    }
}

int wait_for(const sigset_t* set, siginfo_t* info, const timespec* timeout) {
    siginfo_t own = {};
    siginfo_t* answer = info != nullptr ? info : &own;
    const int64_t timeout_ns = timeout == nullptr ? -1 : to_ns_saturated(*timeout);
    long result = -EAGAIN;
    timespec none = {};
    if (taking_part())  // what is there already takes no wait
        result =
            raw_syscall(SYS_rt_sigtimedwait, to_arg(set), to_arg(answer), to_arg(&none), kernel_sigset_bytes);
    if (result == -EAGAIN && timeout_ns != 0) {
        result = taking_part() ? wait_virtually(*set, answer, timeout_ns)
                               : raw_syscall(SYS_rt_sigtimedwait, to_arg(set), to_arg(answer),
                                             to_arg(timeout), kernel_sigset_bytes);
    }
    if (result > 0) return static_cast<int>(result);
    errno = static_cast<int>(-result);
    return -1;
}

}  // namespace
}  // namespace revati::clock

using namespace revati::clock;

REVATI_INTERPOSE int pause() {
    return until_handled([] { raw_syscall(SYS_pause); });
}

REVATI_INTERPOSE int sigsuspend(const sigset_t* mask) {
    return until_handled([=] { raw_syscall(SYS_rt_sigsuspend, to_arg(mask), kernel_sigset_bytes); });
}

REVATI_INTERPOSE int sigtimedwait(const sigset_t* set, siginfo_t* info, const timespec* timeout) {
    return wait_for(set, info, timeout);
}

REVATI_INTERPOSE int sigwaitinfo(const sigset_t* set, siginfo_t* info) {
    return wait_for(set, info, nullptr);
}

REVATI_INTERPOSE int sigwait(const sigset_t* set, int* number) {
    int result;
    do {
        result = wait_for(set, nullptr, nullptr);
    } while (result < 0 && errno == EINTR);
    if (result < 0) return errno;
    *number = result;
    return 0;
}
