// Who takes part: slots for threads and entries for processes, handed out before the new thread or process
// runs.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "slot.h"

namespace revati::clock {

// Maps the session's page if there is one. Without it the library stays inert.
void attach_session();

// A slot for a thread or process that the calling thread is about to create. null: no slot is left; the group
// is ended.
Slot* announce_thread(const void* first_function);
Slot* announce_process();
void adopt_thread(Slot& slot);  // in the new thread; waits for its turn
void withdraw_announcement(Slot& slot);
void leave_thread();  // the calling thread is about to end

// After fork(), in both processes. The child has its slot since before the fork.
void finish_fork(pid_t pid);

void name_child(Slot& slot, pid_t pid);  // posix_spawn: the child finds its slot by pid

void leave_process();  // the process is about to end, as it wants to
// Around exec: the new program may be one that the library cannot enter, and then nobody says how it ends.
// What the process is to a group of so many ranks, for messages to people. The largest group counts.
void set_title(const char* title, uint32_t ranks);

void set_may_vanish(bool may_vanish);
void mark_orderly(pid_t pid);  // this process's end is not an accident
Process* find_process(pid_t pid);

// Ends the whole group: a state that would give wrong times. Prints, does not return.
[[noreturn]] void fail_session(const char* message);

}  // namespace revati::clock
