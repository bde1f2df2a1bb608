#include "spin.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "file_wait.h"
#include "local_time.h"
#include "slot.h"

namespace revati::clock {
namespace {

constexpr int64_t first_backoff_ns = 2'000;
constexpr int64_t longest_backoff_ns = 4'000'000;
constexpr int64_t longest_clock_backoff_ns = 50'000;  // a loop on the clock overshoots its end by so much

// Clock reads and event queries are part of ordinary work; only a great many in a row are a loop.
uint32_t patience(Look look) {
    switch (look) {
        case Look::clock:
        case Look::device:
            return 2'000;
        case Look::files:
            return 16;
        case Look::yield:
            return 3;
    }
    return 0;
}

int64_t cost_ns(Look look) {
    if (look == Look::files || look == Look::yield) return page->costs.poll_ns;
    // An occasional look is inside the modelled cost of whatever the thread does.
    return self.streak > 64 || look == Look::device ? page->costs.clock_ns : 0;
}

}  // namespace

void spin_progress() {
    self.streak = 0;
    self.backoff_ns = 0;
    self.watched_count = 0;
}

void spin_watch(const pollfd* files, int count) {
    for (int i = 0; i < count; ++i) {
        const pollfd& file = files[i];
        pollfd* const end = self.watched + self.watched_count;
        pollfd* const known =
            std::find_if(self.watched, end, [&](const pollfd& w) { return w.fd == file.fd; });
        if (known != end) {
            known->events = static_cast<short>(known->events | file.events);
        } else if (file.fd >= 0 && end != std::end(self.watched)) {
            *end = {file.fd, file.events, 0};
            ++self.watched_count;
        }
    }
}

void spin_watch_epoll(int epoll_fd) {
    const pollfd file{epoll_fd, POLLIN, 0};
    spin_watch(&file, 1);
}

void spin_look(Look look) {
    if (page->mode == Mode::wall) return;
    const int saved_errno = errno;
    charge_ns(cost_ns(look));
    const bool counts = ++self.streak > patience(look);
    if (!counts) return;
    const bool watches_clock = look == Look::clock || look == Look::device;
    const int64_t longest_ns = watches_clock ? longest_clock_backoff_ns : longest_backoff_ns;
    self.backoff_ns = std::min(longest_ns, self.backoff_ns == 0 ? first_backoff_ns : self.backoff_ns * 2);
    if (watches_clock) self.streak -= 100;  // a block for every hundred reads, not for each
    if (!priced()) {
        // How often it looked so far is an accident of arming.
        self.backoff_ns = first_backoff_ns;
        self.streak = patience(look);
    }
    const int64_t deadline_ns = now_ns() + self.backoff_ns;
    page->counters.spin.fetch_add(1, std::memory_order_relaxed);
    if (self.watched_count == 0) {
        sleep_until(deadline_ns, Reason::spin, host_rank, true);
    } else {
        pollfd files[std::size(self.watched)];
        const int count = self.watched_count;
        std::memcpy(files, self.watched, sizeof(pollfd) * static_cast<size_t>(count));
        // A descriptor that stays readable while nobody reads it must not keep the loop from waiting: forget
        // it.
        if (wait_files(files, count, {Wait::files, Reason::spin, deadline_ns, 0, host_rank, true}, nullptr) >
            0)
            self.watched_count = 0;
    }
    forget_cpu();
    errno = saved_errno;
}

}  // namespace revati::clock
