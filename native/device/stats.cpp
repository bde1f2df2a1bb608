#include "device/stats.h"

#include <string>
#include <unistd.h>

#include "device/session.h"

namespace revati::device {
namespace {

StatsPage* current = nullptr;

StatsPage* open_page() {
    const std::string name = "stats." + std::to_string(getpid());
    auto* page = static_cast<StatsPage*>(map_session_file(name.c_str(), sizeof(StatsPage)));
    if (page == nullptr) page = new StatsPage();
    page->version = 1;
    page->pid = static_cast<uint64_t>(getpid());
    page->magic = stats_magic;
    return page;
}

void reopen_after_fork() {
    if (current != nullptr) current = open_page();
}

}  // namespace

StatsPage& stats() {
    static const bool opened = [] {
        current = open_page();
        on_fork_in_child(reopen_after_fork);
        return true;
    }();
    (void)opened;
    return *current;
}

void count_duration(const cost::Duration& duration) {
    StatsPage& page = stats();
    StatsPage::Cell& cell = page.cells[static_cast<int>(duration.family)][static_cast<int>(duration.source)];
    __atomic_fetch_add(&cell.count, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&cell.ns, static_cast<uint64_t>(duration.ns), __ATOMIC_RELAXED);
    __atomic_fetch_add(&page.busy_ns, static_cast<uint64_t>(duration.ns), __ATOMIC_RELAXED);
}

}  // namespace revati::device
