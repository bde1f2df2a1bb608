// Other processes of the session.
#pragma once

#include <cstdint>

namespace revati::device {

// When the process was started, in ticks since boot: a pid may be used again. 0 if there is no such process
// or it has ended and only waits for its parent to notice.
uint64_t start_time_of(int64_t pid);

}  // namespace revati::device
