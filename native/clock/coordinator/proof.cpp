#include "proof.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace revati::clock {

// A thread that sleeps on its own slot is woken by nobody but us. All others are woken by acts, and whoever
// acts says so first; so a thread found asleep stays asleep until the counter that covers it moves. Threads
// inside calls that are not wrapped have no such counter: they are looked at twice, every time.
bool Proof::quiescent() {
    const uint64_t activity = page_.activity.load();
    const uint64_t acts = page_.acts.load();
    const uint64_t signals = page_.signals.load();
    const uint32_t count = page_.slot_count.load();
    bool uncovered = false;
    for (int pass = 0; pass < (uncovered ? 2 : 1); ++pass) {
        for (uint32_t i = 0; i < count; ++i) {
            Slot& slot = page_.slots[i];
            const State state = slot.state.load();
            if (state == State::kernel) {
                uncovered = true;
            } else if (state != State::block) {
                continue;
            }
            const Process& process = page_.processes[slot.process.load()];
            const Proven now{slot.seq.load(), acts, process.wakes.load()};
            if (is_covered(i, state, now, signals != signals_)) continue;
            if (look_at(i) == Look::busy) return false;
            if (slot.seq.load() == now.seq) proven_[i] = now;
        }
    }
    if (page_.activity.load() != activity || page_.acts.load() != acts || page_.running.load() != 0)
        return false;
    signals_ = signals;
    return true;
}

bool Proof::is_covered(uint32_t index, State state, const Proven& now, bool signals_sent) const {
    if (state == State::kernel) return false;
    const Proven& before = proven_[index];
    switch (page_.slots[index].wait.load()) {
        case Wait::park:
            return true;
        case Wait::signals:
            return !signals_sent;
        case Wait::process:
            return before.seq == now.seq && before.wakes == now.wakes;
        default:
            return before.seq == now.seq && before.acts == now.acts;
    }
}

Proof::Look Proof::look_at(uint32_t index) {
    const Slot& slot = page_.slots[index];
    const int32_t pid = slot.pid.load();
    const int32_t tid = slot.tid.load();
    if (tid == 0) return pid == 0 ? Look::busy : Look::asleep;
    StatFile& file = files_[index];
    if (file.fd >= 0 && (file.pid != pid || file.tid != tid)) forget(index);
    if (file.fd < 0) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/task/%d/stat", pid, tid);
        file = {open(path, O_RDONLY | O_CLOEXEC), pid, tid};
        if (file.fd < 0) return errno == ENOENT || errno == ESRCH ? Look::gone : Look::busy;
    }
    char text[512];
    page_.counters.stat_reads.fetch_add(1, std::memory_order_relaxed);
    const ssize_t bytes = pread(file.fd, text, sizeof text - 1, 0);
    if (bytes <= 0) {
        const bool gone = bytes == 0 || errno == ESRCH;
        forget(index);
        return gone ? Look::gone : Look::busy;
    }
    text[bytes] = '\0';
    // The name in parentheses may itself hold parentheses.
    const char* after_name = strrchr(text, ')');
    const char state = after_name != nullptr && after_name[1] == ' ' ? after_name[2] : 'R';
    switch (state) {
        case 'S':
        case 'T':
        case 't':
        case 'I':
            return Look::asleep;
        case 'Z':
        case 'X':
        case 'x':
            return Look::gone;
        default:
            return Look::busy;
    }
}

void Proof::forget(uint32_t index) {
    if (files_[index].fd >= 0) close(files_[index].fd);
    files_[index].fd = -1;
    proven_[index] = {};
}

}  // namespace revati::clock
