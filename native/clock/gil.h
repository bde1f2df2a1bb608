// CPython's global interpreter lock is made of conditions that only the interpreter itself uses.
#pragma once

#include "slot.h"

namespace revati::clock {

// The interpreter uses conditions for nothing but the GIL where it has POSIX semaphores (3.7 to 3.14 on
// Linux): its return address tells.
bool is_python_core(const void* caller);

// When a waiter asks the holder to give the GIL up.
RealLimit gil_limit();

}  // namespace revati::clock
