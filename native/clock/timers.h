// Timers that the kernel would fire in real time: timerfd, setitimer, alarm. A helper thread per process
// fires them in virtual time.
#pragma once

#include <cstdint>

namespace revati::clock {

struct TimerSetting {
    int64_t deadline_ns = 0;  // 0: disarmed
    int64_t interval_ns = 0;
};

// `key`: a descriptor, or itimer_key.
constexpr int itimer_key = -1;
// Returns the setting so far. Needs in_virtual_time().
TimerSetting set_timer(int key, const TimerSetting& setting);
TimerSetting get_timer(int key);
void reset_timers();  // in a forked child: timers are not inherited

}  // namespace revati::clock
