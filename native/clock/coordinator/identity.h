// Who is who when time becomes virtual, told by what does not change between runs.
#pragma once

#include <cstdio>

#include "../page.h"

namespace revati::clock {

// Gives every thread a new key, made from its process's name, the function it started with, its own name and
// its place among those that share all of these. Start-up runs in real time: how many threads a creator had
// made before (compilers, pools sized by the host's CPUs) must not decide ties later. `trace`, if not null,
// is told whose key is whose.
void assign_keys(Page& page, FILE* trace);

}  // namespace revati::clock
