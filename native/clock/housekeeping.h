// Loops of frameworks that wake many times a second only to see whether they shall end.
#pragma once

#include <cstdint>

#include "page.h"

namespace revati::clock {

// How long a wait of `timeout_ns` that `caller` (its return address) asks for may last in virtual time:
// `timeout_ns` itself, but for the known housekeeping loops. Ends of such waits by an event, a signal or a
// descriptor are not delayed.
int64_t stretched_timeout_ns(const void* caller, Reason reason, int64_t timeout_ns);

}  // namespace revati::clock
