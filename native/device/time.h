// Virtual time as the device model needs it. With librevati_clock.so preloaded it is the group's virtual
// clock; without it, real time.
#pragma once

#include <cstdint>

#include "device/export.h"

namespace revati::device {

// Nanoseconds on the CLOCK_MONOTONIC base.
REVATI_API int64_t now_ns();
// Blocks the calling thread until `deadline_ns`. `rank` breaks ties between equal deadlines (lower first).
void wait_until_ns(int64_t deadline_ns, uint32_t rank);
// Calls of the host that cost it time of its own. In `modelled` mode a thread pays for them before its next
// visible act.
enum class HostCall : uint8_t { launch, library, graph_launch, copy, fill, event, wait, count_ };
void charge(HostCall call);
// A look at the device that found it busy: costs host time, so that polling loops make progress in virtual
// time.
void charge_poll();

}  // namespace revati::device
