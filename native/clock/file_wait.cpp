#include "file_wait.h"

#include <pthread.h>

#include <cerrno>

#include "local_time.h"
#include "raw.h"
#include "watched_files.h"

namespace revati::clock {
namespace {

constexpr long kernel_sigset_bytes = 8;
constexpr int cannot_watch = -2;

void on_private_signal(int) {
    ++self.signals;
}

sigset_t mask_while_waiting(const sigset_t* requested) {
    sigset_t mask;
    if (requested != nullptr) {
        mask = *requested;
    } else {
        pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    }
    sigdelset(&mask, private_signal());
    return mask;
}

int64_t kernel_timeout_ns(int64_t deadline_ns) {
    if (armed() || deadline_ns == no_deadline) return -1;
    const int64_t left_ns = deadline_ns - now_ns();
    return left_ns < 0 ? 0 : left_ns;
}

// Returns when a descriptor may be ready, the slot has been released, or the program got a signal (-EINTR).
long block_in_kernel(pollfd* files, int count, const sigset_t& mask) {
    const Slot& slot = *self.slot;
    for (;;) {
        const int64_t timeout_ns = kernel_timeout_ns(slot.deadline_ns.load());
        timespec timeout = to_timespec(timeout_ns);
        const uint32_t signals_before = self.signals;
        const long result =
            raw_syscall(SYS_ppoll, to_arg(files), count, timeout_ns < 0 ? 0 : to_arg(&timeout), to_arg(&mask),
                        kernel_sigset_bytes);
        if (slot.state.load() == State::run) return 0;
        if (result == 0 && armed()) continue;  // armed meanwhile: the deadline is virtual now
        if (result == -EINTR && self.signals != signals_before) continue;
        return result;
    }
}

// Like the loop in wait_files(), but asleep on the slot: the coordinator sees when a descriptor is ready.
int wait_watched(pollfd* files, int count, const WaitFor& wait) {
    WaitFor watched = wait;
    watched.wait = count > 0 ? Wait::watched : Wait::signals;
    for (;;) {
        if (count > 0 && !watch_files(files, count)) return cannot_watch;
        begin_wait(watched);
        const Wake wake = park(true);
        if (wake == Wake::signal) {
            errno = EINTR;
            return -1;
        }
        if (wake == Wake::woken) inherit_act_time();
        const int ready = poll_now(files, count);
        if (ready != 0 || wake == Wake::deadline) return ready;
        // The set called ready what was not: it holds a file that the program has closed while a copy of it
        // lives on. The next look makes another one.
        close_watch();
    }
}

}  // namespace

void install_private_signal() {
    struct sigaction action = {};
    action.sa_handler = on_private_signal;
    sigaction(private_signal(), &action, nullptr);
}

void block_private_signal() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, private_signal());
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

int poll_now(pollfd* files, int count) {
    timespec zero{0, 0};
    const long result = raw_syscall(SYS_ppoll, to_arg(files), count, to_arg(&zero), 0, kernel_sigset_bytes);
    if (result >= 0) return static_cast<int>(result);
    errno = static_cast<int>(-result);
    return -1;
}

int wait_files(pollfd* files, int count, const WaitFor& wait, const sigset_t* requested) {
    Inside inside;
    if (serial() && requested == nullptr) {
        const int result = wait_watched(files, count, wait);
        if (result != cannot_watch) return result;
    }
    const sigset_t mask = mask_while_waiting(requested);
    for (;;) {
        begin_wait(wait);
        const long result = block_in_kernel(files, count, mask);
        const bool out_of_time = end_wait() == Wake::deadline || result == 0;
        if (result < 0) {
            errno = static_cast<int>(-result);
            return -1;
        }
        // Others may have run between the wake-up and our turn: look again, so that the answer does not
        // depend on who was faster.
        const int ready = poll_now(files, count);
        if (ready != 0 || out_of_time) return ready;
    }
}

}  // namespace revati::clock
