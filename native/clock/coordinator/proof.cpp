#include "proof.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>

namespace revati::clock {
namespace {

constexpr char running_thread_wchan[] = "0";

// What /proc says of where a thread sleeps; empty if it says nothing.
std::string_view read_wchan(int file, char (&text)[64]) {
    const ssize_t bytes = file < 0 ? -1 : pread(file, text, sizeof text, 0);
    return {text, bytes > 0 ? static_cast<size_t>(bytes) : 0};
}

// Kernels without symbols, and some sandboxes, call every thread running. Asked once, of a thread that surely
// sleeps.
bool does_wchan_tell() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    std::atomic<int32_t> tid{0};
    std::thread sleeper([&] {
        tid.store(static_cast<int32_t>(syscall(SYS_gettid)));
        char byte;
        while (read(ends[0], &byte, 1) < 0 && errno == EINTR) {
        }
    });
    while (tid.load() == 0) sched_yield();
    const std::string path = "/proc/self/task/" + std::to_string(tid.load()) + "/wchan";
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    bool tells = false;
    for (int look = 0; look < 200 && file >= 0 && !tells; ++look) {
        usleep(1'000);
        char text[64];
        const std::string_view wchan = read_wchan(file, text);
        if (wchan.empty()) break;
        tells = wchan != running_thread_wchan;
    }
    if (file >= 0) close(file);
    close(ends[1]);
    sleeper.join();
    close(ends[0]);
    return tells;
}

}  // namespace

Proof::Proof(Page& page) : page_(page), wchan_tells_(does_wchan_tell()) {
    files_.fill({-1, -1, 0, 0});
}

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
        case Wait::watched:
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
    ThreadFiles& files = files_[index];
    if (files.stat >= 0 && (files.pid != pid || files.tid != tid)) forget(index);
    if (files.stat < 0 && !open_files(index, pid, tid))
        return errno == ENOENT || errno == ESRCH ? Look::gone : Look::busy;
    char text[512];
    page_.counters.stat_reads.fetch_add(1, std::memory_order_relaxed);
    const ssize_t bytes = pread(files.stat, text, sizeof text - 1, 0);
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
            return still_on_its_way(index) ? Look::busy : Look::asleep;
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

bool Proof::open_files(uint32_t index, int32_t pid, int32_t tid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", pid, tid);
    const int stat = open(path, O_RDONLY | O_CLOEXEC);
    if (stat < 0) return false;
    snprintf(path, sizeof path, "/proc/%d/task/%d/wchan", pid, tid);
    files_[index] = {stat, wchan_tells_ ? open(path, O_RDONLY | O_CLOEXEC) : -1, pid, tid};
    return true;
}

// A wait for several words (futex_waitv) calls itself asleep before it compares them; preempted in between,
// it looks asleep although it will find that its word has changed. Only such a thread has not left the run
// queue, and has no place in the kernel where it sleeps.
bool Proof::still_on_its_way(uint32_t index) {
    const ThreadFiles& files = files_[index];
    if (page_.slots[index].wait.load() != Wait::unlimited || files.wchan < 0) return false;
    char text[64];
    return read_wchan(files.wchan, text) == running_thread_wchan;
}

void Proof::forget(uint32_t index) {
    ThreadFiles& files = files_[index];
    if (files.stat >= 0) close(files.stat);
    if (files.wchan >= 0) close(files.wchan);
    files = {-1, -1, 0, 0};
    proven_[index] = {};
}

}  // namespace revati::clock
