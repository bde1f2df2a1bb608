// Waiting for descriptors until a virtual deadline.
#pragma once

#include <poll.h>
#include <signal.h>

#include "slot.h"

namespace revati::clock {

// The coordinator ends waits inside poll with this signal. It is blocked everywhere else. The C library
// itself uses the first two.
inline int private_signal() {
    return SIGRTMAX - 3;
}

void install_private_signal();  // once in a process
void block_private_signal();    // once in a thread

// Like ppoll() with `wait`'s deadline. Serial mode: returns when it is the thread's turn, with what is ready
// then.
int wait_files(pollfd* files, int count, const WaitFor& wait, const sigset_t* mask);

int poll_now(pollfd* files, int count);

}  // namespace revati::clock
