// What the program's own code costs in `modelled` time: prices of events that are the same in every run, by
// who does them. Counts that depend on chance (GIL handovers, contended locks, retries) have no price.
#pragma once

#include <cstdint>

#include "page.h"

namespace revati::clock {

// After the event: the code that follows it costs time. Counts it, too, when the session records.
void count_event(HostEvent event, uint64_t bytes = 0);
// A wait is over. Counts if the program asked for it; what waits inside a device call is ours.
void count_wake(Reason reason);

// Around a call of the virtual GPU's: what it computes in place of the driver is not the program's time.
void begin_device_call(HostEvent event);
void end_device_call(HostEvent event, uint64_t bytes);

// The thread is about to wait: what it did since its last wait becomes one line of the session's record.
void record_stretch(Reason next_wait);

}  // namespace revati::clock
