// CPython's global interpreter lock is made of conditions that only the interpreter itself uses.
#pragma once

#include <cstdint>

namespace revati::clock {

// The interpreter uses conditions for nothing but the GIL where it has POSIX semaphores (3.7 to 3.14 on
// Linux): its return address tells.
bool is_python_core(const void* caller);

// Real time after which a waiter asks the holder to give the GIL up.
int64_t gil_switch_ns();

}  // namespace revati::clock
