// poll, select and epoll.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "file_wait.h"
#include "housekeeping.h"
#include "interpose.h"
#include "local_time.h"
#include "raw.h"
#include "slot.h"
#include "spin.h"

namespace revati::clock {
namespace {

constexpr long kernel_sigset_bytes = 8;

int as_result(long result) {
    if (result >= 0) return static_cast<int>(result);
    errno = static_cast<int>(-result);
    return -1;
}

int64_t ms_to_ns(int ms) {
    return ms < 0 ? -1 : static_cast<int64_t>(ms) * 1'000'000;
}
int64_t timeout_ns_of(const timespec* timeout) {
    return timeout == nullptr ? -1 : to_ns_saturated(*timeout);
}

int raw_ppoll(pollfd* files, nfds_t count, const timespec* timeout, const sigset_t* mask) {
    timespec copy = timeout != nullptr ? *timeout : timespec{};  // the kernel writes the time left
    return as_result(raw_syscall(SYS_ppoll, to_arg(files), static_cast<long>(count),
                                 timeout != nullptr ? to_arg(&copy) : 0, to_arg(mask), kernel_sigset_bytes));
}

// What comes while the thread still works is there when it looks.
void pay_before_look() {
    if (armed()) settle(page->costs.quantum_ns);
}

int poll_virtually(pollfd* files, nfds_t count, int64_t timeout_ns, const sigset_t* mask) {
    enter();
    charge_cpu();
    if (timeout_ns != 0) pay_before_look();
    const int n = static_cast<int>(count);
    int ready = poll_now(files, n);
    if (ready == 0 && timeout_ns == 0 && armed()) {
        spin_watch(files, n);
        spin_look(Look::files);
        ready = poll_now(files, n);
    }
    if (ready == 0 && timeout_ns != 0) {
        spin_progress();
        const auto object = static_cast<uint64_t>(n > 0 ? files[0].fd : -1);
        ready =
            wait_files(files, n, {Wait::files, Reason::poll, deadline_after_ns(timeout_ns), object}, mask);
    }
    if (ready > 0) spin_progress();
    forget_cpu();
    return ready;
}

int epoll_now(int epoll_fd, epoll_event* events, int capacity) {
    return as_result(
        raw_syscall(SYS_epoll_pwait, epoll_fd, to_arg(events), capacity, 0, 0, kernel_sigset_bytes));
}

int epoll_virtually(int epoll_fd, epoll_event* events, int capacity, int64_t timeout_ns, const sigset_t* mask,
                    const void* caller) {
    enter();
    charge_cpu();
    if (timeout_ns != 0) pay_before_look();
    if (armed()) timeout_ns = stretched_timeout_ns(caller, Reason::epoll, timeout_ns);
    int ready = epoll_now(epoll_fd, events, capacity);
    if (ready == 0 && timeout_ns == 0 && armed()) {
        spin_watch_epoll(epoll_fd);
        spin_look(Look::files);
        ready = epoll_now(epoll_fd, events, capacity);
    }
    const int64_t deadline_ns = deadline_after_ns(timeout_ns);
    while (ready == 0 && timeout_ns != 0) {
        spin_progress();
        // An epoll descriptor can itself be polled. Its events are fetched when it is our turn, not when the
        // kernel wakes us.
        pollfd file{epoll_fd, POLLIN, 0};
        const int woken = wait_files(
            &file, 1, {Wait::files, Reason::epoll, deadline_ns, static_cast<uint64_t>(epoll_fd)}, mask);
        ready = woken < 0 ? woken : epoll_now(epoll_fd, events, capacity);
        if (woken == 0) break;
    }
    if (ready > 0) spin_progress();
    forget_cpu();
    return ready;
}

int epoll_for(int epoll_fd, epoll_event* events, int capacity, int timeout_ms, const sigset_t* mask,
              const void* caller) {
    if (taking_part()) return epoll_virtually(epoll_fd, events, capacity, ms_to_ns(timeout_ms), mask, caller);
    return as_result(raw_syscall(SYS_epoll_pwait, epoll_fd, to_arg(events), capacity, timeout_ms,
                                 to_arg(mask), kernel_sigset_bytes));
}

struct Selection {
    fd_set* set;
    short events;   // what to ask poll for
    short answers;  // what counts as ready
};

int select_virtually(int count, const Selection (&selections)[3], int64_t timeout_ns, const sigset_t* mask) {
    const auto files = std::make_unique<pollfd[]>(static_cast<size_t>(std::max(count, 1)));
    int used = 0;
    for (int fd = 0; fd < count; ++fd) {
        short events = 0;
        for (const Selection& s : selections) {
            if (s.set != nullptr && FD_ISSET(fd, s.set)) events = static_cast<short>(events | s.events);
        }
        if (events != 0) files[static_cast<size_t>(used++)] = {fd, events, 0};
    }
    const int ready = poll_virtually(files.get(), static_cast<nfds_t>(used), timeout_ns, mask);
    if (ready < 0) return ready;
    int found = 0;
    for (int i = 0; i < used; ++i) {
        const pollfd& file = files[static_cast<size_t>(i)];
        if ((file.revents & POLLNVAL) != 0) {
            errno = EBADF;
            return -1;
        }
        for (const Selection& s : selections) {
            if (s.set == nullptr || (file.events & s.events) == 0) continue;
            if ((file.revents & s.answers) != 0) {
                ++found;
            } else {
                FD_CLR(file.fd, s.set);
            }
        }
    }
    return found;
}

int select_virtually(int count, fd_set* reads, fd_set* writes, fd_set* others, int64_t timeout_ns,
                     const sigset_t* mask) {
    const Selection selections[3] = {{reads, POLLIN, POLLIN | POLLHUP | POLLERR},
                                     {writes, POLLOUT, POLLOUT | POLLERR},
                                     {others, POLLPRI, POLLPRI}};
    return select_virtually(count, selections, timeout_ns, mask);
}

}  // namespace
}  // namespace revati::clock

using namespace revati::clock;

REVATI_INTERPOSE int poll(pollfd* files, nfds_t count, int timeout_ms) {
    if (taking_part()) return poll_virtually(files, count, ms_to_ns(timeout_ms), nullptr);
    const timespec timeout = to_timespec(ms_to_ns(timeout_ms));
    return raw_ppoll(files, count, timeout_ms < 0 ? nullptr : &timeout, nullptr);
}

REVATI_INTERPOSE int __poll_chk(pollfd* files, nfds_t count, int timeout_ms, size_t) {
    return poll(files, count, timeout_ms);
}

REVATI_INTERPOSE int ppoll(pollfd* files, nfds_t count, const timespec* timeout, const sigset_t* mask) {
    if (taking_part()) return poll_virtually(files, count, timeout_ns_of(timeout), mask);
    return raw_ppoll(files, count, timeout, mask);
}

REVATI_INTERPOSE int __ppoll_chk(pollfd* files, nfds_t count, const timespec* timeout, const sigset_t* mask,
                                 size_t) {
    return ppoll(files, count, timeout, mask);
}

REVATI_INTERPOSE int epoll_pwait(int epoll_fd, epoll_event* events, int capacity, int timeout_ms,
                                 const sigset_t* mask) {
    return epoll_for(epoll_fd, events, capacity, timeout_ms, mask, __builtin_return_address(0));
}

REVATI_INTERPOSE int epoll_wait(int epoll_fd, epoll_event* events, int capacity, int timeout_ms) {
    return epoll_for(epoll_fd, events, capacity, timeout_ms, nullptr, __builtin_return_address(0));
}

REVATI_INTERPOSE int epoll_pwait2(int epoll_fd, epoll_event* events, int capacity, const timespec* timeout,
                                  const sigset_t* mask) {
    if (taking_part())
        return epoll_virtually(epoll_fd, events, capacity, timeout_ns_of(timeout), mask,
                               __builtin_return_address(0));
    return as_result(raw_syscall(SYS_epoll_pwait2, epoll_fd, to_arg(events), capacity, to_arg(timeout),
                                 to_arg(mask), kernel_sigset_bytes));
}

REVATI_INTERPOSE int epoll_ctl(int epoll_fd, int operation, int fd, epoll_event* event) noexcept {
    // Adding a ready descriptor wakes whoever waits on the set.
    if (page != nullptr && armed()) page->acts.fetch_add(1);
    return as_result(raw_syscall(SYS_epoll_ctl, epoll_fd, operation, fd, to_arg(event)));
}

REVATI_INTERPOSE int select(int count, fd_set* reads, fd_set* writes, fd_set* others, timeval* timeout) {
    if (taking_part()) {
        const int64_t timeout_ns =
            timeout == nullptr ? -1
                               : static_cast<int64_t>(timeout->tv_sec) * ns_per_s + timeout->tv_usec * 1000;
        return select_virtually(count, reads, writes, others, timeout_ns, nullptr);
    }
    return as_result(
        raw_syscall(SYS_select, count, to_arg(reads), to_arg(writes), to_arg(others), to_arg(timeout)));
}

REVATI_INTERPOSE int pselect(int count, fd_set* reads, fd_set* writes, fd_set* others,
                             const timespec* timeout, const sigset_t* mask) {
    if (taking_part()) return select_virtually(count, reads, writes, others, timeout_ns_of(timeout), mask);
    timespec copy = timeout != nullptr ? *timeout : timespec{};
    const struct {
        const sigset_t* mask;
        size_t bytes;
    } argument = {mask, kernel_sigset_bytes};
    return as_result(raw_syscall(SYS_pselect6, count, to_arg(reads), to_arg(writes), to_arg(others),
                                 timeout != nullptr ? to_arg(&copy) : 0, to_arg(&argument)));
}
