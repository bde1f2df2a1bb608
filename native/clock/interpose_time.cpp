// Clock reads and sleeps.
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "interpose.h"
#include "local_time.h"
#include "raw.h"
#include "real.h"
#include "slot.h"
#include "spin.h"

namespace revati::clock {
namespace {

bool virtual_read(clockid_t clock, timespec* out) {
    if (page == nullptr || !is_virtual_clock(clock)) return false;
    if (in_virtual_time()) {
        enter();
        spin_look(Look::clock);
    } else if (!armed() && is_realtime_clock(clock)) {
        return false;
    }
    *out = to_timespec(read_clock_ns(clock));
    return true;
}

int64_t read_for(clockid_t clock) {
    timespec t;
    if (!virtual_read(clock, &t)) real::clock_gettime(clock, &t);
    return to_ns(t);
}

// Returns 0 or an errno value, as clock_nanosleep() does.
int sleep_virtually(clockid_t clock, int flags, const timespec* request, timespec* left) {
    if (request->tv_nsec < 0 || request->tv_nsec >= ns_per_s || request->tv_sec < 0) return EINVAL;
    enter();
    charge_cpu();
    const bool absolute = (flags & TIMER_ABSTIME) != 0;
    const int64_t now = now_ns();
    const int64_t asked_ns = to_ns_saturated(*request);
    const int64_t deadline_ns = absolute ? to_monotonic_ns(asked_ns, clock) : deadline_after_ns(asked_ns);
    if (deadline_ns <= now) {
        if (armed()) spin_look(Look::yield);
        return 0;
    }
    spin_progress();
    const Wake wake = sleep_until_or_signal(deadline_ns, Reason::sleep);
    forget_cpu();
    if (wake != Wake::signal) return 0;
    if (left != nullptr && !absolute) *left = to_timespec(deadline_ns - now_ns());
    return EINTR;
}

}  // namespace
}  // namespace revati::clock

using namespace revati::clock;

REVATI_INTERPOSE int clock_gettime(clockid_t clock, timespec* out) {
    if (virtual_read(clock, out)) return 0;
    return real::clock_gettime(clock, out);
}

REVATI_INTERPOSE int gettimeofday(timeval* out, void*) noexcept {
    const int64_t ns = read_for(CLOCK_REALTIME);
    *out = {static_cast<time_t>(ns / ns_per_s), static_cast<suseconds_t>(ns % ns_per_s / 1000)};
    return 0;
}

REVATI_INTERPOSE time_t time(time_t* out) noexcept {
    const time_t seconds = static_cast<time_t>(read_for(CLOCK_REALTIME) / ns_per_s);
    if (out != nullptr) *out = seconds;
    return seconds;
}

REVATI_INTERPOSE int timespec_get(timespec* out, int base) noexcept {
    if (base != TIME_UTC) return 0;
    *out = to_timespec(read_for(CLOCK_REALTIME));
    return base;
}

REVATI_INTERPOSE int clock_nanosleep(clockid_t clock, int flags, const timespec* request, timespec* left) {
    if (taking_part() && is_virtual_clock(clock)) return sleep_virtually(clock, flags, request, left);
    return static_cast<int>(-raw_syscall(SYS_clock_nanosleep, clock, flags, to_arg(request), to_arg(left)));
}

REVATI_INTERPOSE int nanosleep(const timespec* request, timespec* left) {
    const int error = clock_nanosleep(CLOCK_MONOTONIC, 0, request, left);
    if (error == 0) return 0;
    errno = error;
    return -1;
}

REVATI_INTERPOSE int usleep(useconds_t us) {
    const timespec request = to_timespec(static_cast<int64_t>(us) * 1000);
    return nanosleep(&request, nullptr);
}

REVATI_INTERPOSE unsigned sleep(unsigned seconds) {
    timespec left = {static_cast<time_t>(seconds), 0};
    const int result = nanosleep(&left, &left);
    return result == 0 ? 0 : static_cast<unsigned>(left.tv_sec);
}
