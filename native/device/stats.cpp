#include "device/stats.h"

#include <unistd.h>

#include <atomic>
#include <string>

#include "device/session.h"

namespace revati::device {
namespace {

StatsPage* pages = nullptr;
std::atomic<unsigned> claimed{0};
thread_local StatsPage* own = nullptr;

void open_pages() {
    const std::string name = "stats." + std::to_string(getpid());
    pages = static_cast<StatsPage*>(map_session_file(name.c_str(), sizeof(StatsPage) * stats_lanes));
    if (pages == nullptr) pages = new StatsPage[stats_lanes]();
    claimed.store(0);
}

// Only the forking thread lives on in the child.
void reopen_after_fork() {
    open_pages();
    own = nullptr;
}

StatsPage* claim() {
    static const bool opened = [] {
        open_pages();
        on_fork_in_child(reopen_after_fork);
        return true;
    }();
    (void)opened;
    StatsPage* const page = &pages[claimed.fetch_add(1) % stats_lanes];
    page->version = 3;
    page->pid = static_cast<uint64_t>(getpid());
    __atomic_store_n(&page->magic, stats_magic, __ATOMIC_RELEASE);
    return page;
}

}  // namespace

StatsPage& stats() {
    if (own == nullptr) own = claim();
    return *own;
}

void count_duration(const cost::Duration& duration) {
    StatsPage::Cell& cell =
        stats().cells[static_cast<int>(duration.family)][static_cast<int>(duration.source)];
    bump(cell.count);
    bump(cell.ns, static_cast<uint64_t>(duration.ns));
}

}  // namespace revati::device
