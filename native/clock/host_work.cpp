#include "host_work.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "local_time.h"
#include "raw.h"
#include "slot.h"

namespace revati::clock {
namespace {

// One stretch of work of one thread, between two waits. revati/calibration/record.py reads it.
struct Stretch {
    int32_t pid;
    int32_t tid;
    Role role;
    Reason ended_by;  // what the thread waits for next
    int64_t virtual_ns;
    HostTally tally;
};

Role own_role() {
    if (self.process->client.load(std::memory_order_relaxed) != 0 ||
        self.process->guest.load(std::memory_order_relaxed) != 0)
        return Role::client;
    if (self.uses_device) return Role::engine;
    if (self.process->device.load(std::memory_order_relaxed) != 0) return Role::engine_io;
    const Slot& slot = *self.slot;
    const bool main_thread =
        slot.tid.load(std::memory_order_relaxed) == slot.pid.load(std::memory_order_relaxed);
    return main_thread ? Role::server : Role::server_io;
}

// Everything else is a wait that others cause (locks, turns, payments) or that stands for a loop.
HostEvent event_after(Reason reason) {
    switch (reason) {
        case Reason::poll:
        case Reason::epoll:
        case Reason::read:
            return HostEvent::wake;
        case Reason::sleep:
        case Reason::condition:
        case Reason::semaphore:
        case Reason::futex:
        case Reason::word:
            return HostEvent::resume;
        default:
            return HostEvent::count_;
    }
}

// Shared by the threads of a process, not with a child: lines are appended whole.
int record_file() {
    static std::atomic<int> file{-1};
    static std::atomic<int32_t> owner{0};
    const int32_t pid = self.slot->pid.load(std::memory_order_relaxed);
    if (owner.load() == pid) return file.load();
    const char* session = getenv("REVATI_SESSION");
    if (session == nullptr) return -1;
    char path[4096];
    snprintf(path, sizeof path, "%s/work.%d", session, pid);
    const long opened =
        raw_syscall(SYS_openat, AT_FDCWD, to_arg(path), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (opened < 0) return -1;
    file.store(static_cast<int>(opened));
    owner.store(pid);
    return static_cast<int>(opened);
}

}  // namespace

void count_event(HostEvent event, uint64_t bytes) {
    if (!armed()) return;
    const auto kind = static_cast<size_t>(event);
    // Whole ones: what a message is about must count, not how many digits a process id in it has.
    const uint64_t kib = bytes / 1024;
    if (page->record != 0) {
        self.tally.events[kind] += 1;
        self.tally.bytes[kind] += kib * 1024;
    }
    if (page->mode != Mode::modelled) return;
    const HostPrice& price = page->costs.work[static_cast<size_t>(own_role())][kind];
    charge_ns(price.event_ns + static_cast<int64_t>(kib) * price.kib_ns);
}

void count_wake(Reason reason) {
    if (self.device_depth > 0) return;
    const HostEvent event = event_after(reason);
    if (event != HostEvent::count_) count_event(event);
}

void begin_device_call(HostEvent event) {
    charge_cpu();
    ++self.device_depth;
    if (!self.uses_device) {
        self.uses_device = true;
        self.process->device.store(1, std::memory_order_relaxed);
    }
    if (page->mode == Mode::wall || !priced()) return;
    const int64_t driver_ns = page->costs.driver_ns[static_cast<size_t>(event)];
    std::atomic<int64_t>& local_ns = self.slot->local_ns;
    local_ns.store(std::max(page->v_ns.load(), local_ns.load(std::memory_order_relaxed)) + driver_ns,
                   std::memory_order_relaxed);
}

void end_device_call(HostEvent event, uint64_t bytes) {
    --self.device_depth;
    forget_cpu();
    count_event(event, bytes);
}

void record_stretch(Reason next_wait) {
    if (page->record == 0 || !armed() || self.tally.cpu_ns == 0) return;
    if (event_after(next_wait) == HostEvent::count_ && next_wait != Reason::gpu) return;
    const Stretch stretch = {
        self.slot->pid.load(), self.slot->tid.load(), own_role(), next_wait, page->v_ns.load(), self.tally};
    self.tally = {};
    const int file = record_file();
    if (file >= 0) raw_syscall(SYS_write, file, to_arg(&stretch), sizeof stretch);
}

}  // namespace revati::clock
