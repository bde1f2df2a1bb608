// Signals end waits, and one that comes just before a thread falls asleep would be missed.
#pragma once

#include <sys/types.h>

namespace revati::clock {

// Before a signal is sent to `pid` (not positive: to several): whoever has said that it waits until a signal
// comes is asleep by then. The proof of quiescence does not ask, because only a signal makes the difference.
void let_sleepers_fall_asleep(pid_t pid);

}  // namespace revati::clock
