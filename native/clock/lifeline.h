// How members notice that both processes of the clock are gone, when nobody is left to tell them.
#pragma once

#include <sys/types.h>

namespace revati::clock {

// The name, in the session directory, of a pipe that both processes of the clock hold open for writing.
constexpr const char* lifeline_name = "clock.alive";

// Once in a process: the kernel sends it a signal when the last writer has gone. Needs no thread.
void watch_clock(const char* session);
void watch_clock_again();  // in a forked child

}  // namespace revati::clock
