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
// Calls that cost the host time of its own, in the order of the clock's HostEvent (native/clock/page.h).
enum class HostCall : uint8_t { launch, library, graph_launch, copy, fill, event, sync };
// Lives while the call is worked on: the clock charges what the real driver would take, and nothing for what
// we compute in its place.
class DeviceCall {
  public:
    explicit DeviceCall(HostCall call);
    ~DeviceCall();
    // Between host and device.
    void copied(uint64_t bytes) { bytes_ = bytes; }
    DeviceCall(const DeviceCall&) = delete;
    DeviceCall& operator=(const DeviceCall&) = delete;

  private:
    HostCall call_;
    uint64_t bytes_ = 0;
};
// A look at the device that found it busy: costs host time, so that polling loops make progress in virtual
// time.
void charge_poll();

}  // namespace revati::device
