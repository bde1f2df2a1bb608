// A thread's place in the running count: how it gives the place up to wait and how it gets it back.
#pragma once

#include <poll.h>

#include <cstdint>

#include "page.h"

namespace revati::clock {

enum class Wake { woken, deadline, signal };

// What a thread keeps to itself. Plain data: it must be usable before constructors and inside signal
// handlers.
struct ThreadState {
    Slot* slot;
    Process* process;
    int depth;            // > 0: inside the library; interposers pass straight through
    uint32_t signals;     // private signals taken
    int64_t cpu_mark_ns;  // cpu mode: CPU time already accounted for
    int device_depth;     // > 0: inside a call of the virtual GPU's, whose CPU time is nobody's
    bool uses_device;
    HostTally tally;  // since the last wait, when the session records
    uint32_t streak;  // looks without progress, see spin.h
    int64_t backoff_ns;
    int watched_count;
    pollfd watched[16];
    int set_plus_1;  // descriptor of the set that the coordinator watches, see watched_files.h; 0: none
    bool watch_refused;
    int in_set_count;
    int in_set[16];
};

extern Page* page;  // null: inert
extern thread_local ThreadState self __attribute__((tls_model("initial-exec")));

inline bool armed() {
    return page->armed.load(std::memory_order_acquire) != 0;
}

// False from arming until the group has come to rest at the first moment: see docs/clock.md.
inline bool priced() {
    return page->priced.load(std::memory_order_relaxed) != 0;
}

inline bool serial() {
    return page->serial != 0 && armed();
}

// The calling thread takes part and is not already inside the library.
inline bool taking_part() {
    return page != nullptr && self.slot != nullptr && self.depth == 0;
}
inline bool in_virtual_time() {
    return taking_part() && armed();
}

class Inside {
  public:
    Inside() { ++self.depth; }
    ~Inside() { --self.depth; }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;
};

void kick_coordinator();

// A thread that woke inside a call which is not wrapped runs without a place: every interposer gives it one
// first.
void regain_place();
inline void enter() {
    if (self.slot->state.load(std::memory_order_relaxed) == State::kernel) regain_place();
}

struct WaitFor {
    Wait wait;
    Reason reason;
    int64_t deadline_ns = no_deadline;
    uint64_t object = 0;
    uint32_t rank = host_rank;
    bool spinner = false;
};

// Ends a wait in real time: looks every `look_ns` (< 0: never) whether the process has used `cpu_ns` since
// the wait began.
struct RealLimit {
    int64_t look_ns = -1;
    int64_t cpu_ns = 0;
};

// Gives the place up. Between this and the end of the wait the thread must do nothing but block.
void begin_wait(const WaitFor& wait);
// For waits that the kernel ends: gets the place back, in serial mode when it is this thread's turn.
Wake end_wait();
// What woke the thread was an act: nothing that it does may seem earlier.
void inherit_act_time();
// For Wait::park: sleeps until granted or released; if `interruptible`, also until the program handles a
// signal. A limit ends the wait, too.
Wake park(bool interruptible = false, const RealLimit& limit = {});
// After begin_wait(): whoever wakes us may have come before. True: the wait is over.
bool withdraw();

// Lets a parked thread go on; it inherits the caller's time.
void grant(Slot& slot);

// One event of the clock.
void sleep_until(int64_t deadline_ns, Reason reason, uint32_t rank = host_rank, bool spinner = false);
Wake sleep_until_or_signal(int64_t deadline_ns, Reason reason);

}  // namespace revati::clock
