#include "timers.h"

#include <pthread.h>
#include <signal.h>
#include <sys/timerfd.h>

#include <algorithm>

#include "local_time.h"
#include "park.h"
#include "raw.h"
#include "signal_targets.h"
#include "slot.h"

namespace revati::clock {
namespace {

constexpr int max_timers = 256;

struct Timer {
    int key;
    bool used;
    TimerSetting setting;
};

Timer timers[max_timers];
pthread_mutex_t timers_mutex = PTHREAD_MUTEX_INITIALIZER;
uint32_t changes = 0;  // parking address of the helper
bool helper_started = false;

class Locked {
  public:
    Locked() { pthread_mutex_lock(&timers_mutex); }
    ~Locked() { pthread_mutex_unlock(&timers_mutex); }
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;
};

void fire(const Timer& timer) {
    before_act(true);
    if (timer.key == itimer_key) {
        page->signals.fetch_add(1);
        let_sleepers_fall_asleep(static_cast<pid_t>(raw_syscall(SYS_getpid)));
        raw_syscall(SYS_kill, raw_syscall(SYS_getpid), SIGALRM);
    } else {
        // The kernel's own timer makes the descriptor readable; it was never set to the program's time.
        const itimerspec soon = {{0, 0}, {0, 1}};
        raw_syscall(SYS_timerfd_settime, timer.key, 0, to_arg(&soon), 0);
        const timespec moment = {0, 20'000};  // until the interrupt has come: it is an act of ours
        raw_syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, to_arg(&moment), 0);
    }
    after_act(Act::signal);
}

int64_t fire_due(uint32_t& seen) {
    Timer due[max_timers];
    int due_count = 0;
    int64_t next_ns = no_deadline;
    {
        Locked locked;
        seen = changes;
        const int64_t now = now_ns();
        for (Timer& timer : timers) {
            if (!timer.used || timer.setting.deadline_ns == 0) continue;
            if (timer.setting.deadline_ns <= now) {
                due[due_count++] = timer;
                timer.setting.deadline_ns =
                    timer.setting.interval_ns > 0 ? timer.setting.deadline_ns + timer.setting.interval_ns : 0;
            }
            if (timer.setting.deadline_ns != 0) next_ns = std::min(next_ns, timer.setting.deadline_ns);
        }
    }
    for (int i = 0; i < due_count; ++i) fire(due[i]);
    return next_ns;
}

bool unchanged(void* seen) {
    return __atomic_load_n(&changes, __ATOMIC_SEQ_CST) == *static_cast<uint32_t*>(seen);
}

void* run_helper(void*) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    for (;;) {
        uint32_t seen = 0;
        const int64_t next_ns = fire_due(seen);
        Parking parking;
        if (parking.queue(&changes, ~0U, unchanged, &seen)) parking.wait(Reason::timer, next_ns);
    }
    return nullptr;
}

Timer* find(int key) {
    Timer* const end = timers + max_timers;
    Timer* const found = std::find_if(timers, end, [=](const Timer& t) { return t.used && t.key == key; });
    return found == end ? nullptr : found;
}

}  // namespace

TimerSetting set_timer(int key, const TimerSetting& setting) {
    TimerSetting before;
    {
        Locked locked;
        Timer* timer = find(key);
        if (timer == nullptr)
            timer = std::find_if(timers, timers + max_timers, [](const Timer& t) { return !t.used; });
        if (timer == timers + max_timers) return before;
        if (timer->used) before = timer->setting;
        *timer = {key, true, setting};
        ++changes;
        if (!helper_started) {
            pthread_t helper;
            helper_started = pthread_create(&helper, nullptr, run_helper, nullptr) == 0;
            if (helper_started) pthread_detach(helper);
        }
    }
    unpark(&changes, 1);
    return before;
}

TimerSetting get_timer(int key) {
    Locked locked;
    const Timer* timer = find(key);
    return timer != nullptr ? timer->setting : TimerSetting{};
}

void reset_timers() {
    pthread_mutex_init(&timers_mutex, nullptr);
    helper_started = false;
    for (Timer& timer : timers) {
        if (timer.key == itimer_key) timer.used = false;
    }
}

}  // namespace revati::clock
