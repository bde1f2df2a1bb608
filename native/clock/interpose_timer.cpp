// timerfd, setitimer, alarm. While time is real, the kernel's timers serve; timers set before arming fire in
// real time.
#include <sys/time.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>

#include "interpose.h"
#include "local_time.h"
#include "raw.h"
#include "slot.h"
#include "timers.h"

namespace revati::clock {
namespace {

int as_result(long result) {
    if (result >= 0) return static_cast<int>(result);
    errno = static_cast<int>(-result);
    return -1;
}

int64_t to_ns(const timeval& t) {
    return static_cast<int64_t>(t.tv_sec) * ns_per_s + t.tv_usec * 1000;
}
timeval to_timeval(int64_t ns) {
    return {static_cast<time_t>(ns / ns_per_s), static_cast<suseconds_t>(ns % ns_per_s / 1000)};
}

int64_t left_ns(const TimerSetting& setting) {
    if (setting.deadline_ns == 0) return 0;
    const int64_t left = setting.deadline_ns - now_ns();
    return left > 0 ? left : 1;
}

itimerspec to_itimerspec(const TimerSetting& setting) {
    return {to_timespec(setting.interval_ns), to_timespec(left_ns(setting))};
}

// The clock of a timerfd shows in the kernel's description of it; only CLOCK_REALTIME deadlines need
// translating.
bool may_be_monotonic(int64_t deadline_ns) {
    return deadline_ns < 4 * monotonic_origin_ns;
}

}  // namespace
}  // namespace revati::clock

using namespace revati::clock;

REVATI_INTERPOSE int timerfd_settime(int fd, int flags, const itimerspec* wanted,
                                     itimerspec* before) noexcept {
    if (page == nullptr)
        return as_result(raw_syscall(SYS_timerfd_settime, fd, flags, to_arg(wanted), to_arg(before)));
    const int64_t value_ns = to_ns_saturated(wanted->it_value);
    const bool absolute = (flags & TFD_TIMER_ABSTIME) != 0 && value_ns != 0;
    int64_t deadline_ns = value_ns == 0 ? 0 : deadline_after_ns(value_ns);
    if (absolute)
        deadline_ns = may_be_monotonic(value_ns) ? value_ns : to_monotonic_ns(value_ns, CLOCK_REALTIME);
    if (in_virtual_time()) {
        const itimerspec disarmed = {};
        const long result = raw_syscall(SYS_timerfd_settime, fd, 0, to_arg(&disarmed), 0);
        if (result < 0) return as_result(result);
        const TimerSetting old = set_timer(fd, {deadline_ns, to_ns_saturated(wanted->it_interval)});
        if (before != nullptr) *before = to_itimerspec(old);
        return 0;
    }
    itimerspec relative = *wanted;
    if (absolute) relative.it_value = to_timespec(deadline_ns > now_ns() ? deadline_ns - now_ns() : 1);
    return as_result(raw_syscall(SYS_timerfd_settime, fd, 0, to_arg(&relative), to_arg(before)));
}

REVATI_INTERPOSE int timerfd_gettime(int fd, itimerspec* now) noexcept {
    if (!in_virtual_time()) return as_result(raw_syscall(SYS_timerfd_gettime, fd, to_arg(now)));
    *now = to_itimerspec(get_timer(fd));
    return 0;
}

REVATI_INTERPOSE int setitimer(__itimer_which_t which, const itimerval* wanted, itimerval* before) noexcept {
    if (which != ITIMER_REAL || !in_virtual_time())
        return as_result(raw_syscall(SYS_setitimer, which, to_arg(wanted), to_arg(before)));
    const int64_t value_ns = to_ns(wanted->it_value);
    const TimerSetting old =
        set_timer(itimer_key, {value_ns == 0 ? 0 : deadline_after_ns(value_ns), to_ns(wanted->it_interval)});
    if (before != nullptr) *before = {to_timeval(old.interval_ns), to_timeval(left_ns(old))};
    return 0;
}

REVATI_INTERPOSE int getitimer(__itimer_which_t which, itimerval* now) noexcept {
    if (which != ITIMER_REAL || !in_virtual_time())
        return as_result(raw_syscall(SYS_getitimer, which, to_arg(now)));
    const TimerSetting setting = get_timer(itimer_key);
    *now = {to_timeval(setting.interval_ns), to_timeval(left_ns(setting))};
    return 0;
}

REVATI_INTERPOSE unsigned alarm(unsigned seconds) noexcept {
    const itimerval wanted = {{0, 0}, {static_cast<time_t>(seconds), 0}};
    itimerval before = {};
    setitimer(ITIMER_REAL, &wanted, &before);
    return static_cast<unsigned>(before.it_value.tv_sec) + (before.it_value.tv_usec != 0 ? 1 : 0);
}
