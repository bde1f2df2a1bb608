// What the opaque handles of the CUDA runtime and driver are: pointers to objects of the device model, the
// same in both libraries, so that a stream made by one can be used with the other.
#pragma once

#include <cstdint>

#include "device/device.h"
#include "device/graph.h"
#include "device/stream.h"

namespace revati::cuda {

template <typename Handle>
device::Event* event_of(Handle handle) {
    return reinterpret_cast<device::Event*>(handle);
}
template <typename Handle>
device::Graph* graph_of(Handle handle) {
    return reinterpret_cast<device::Graph*>(handle);
}
template <typename Handle>
device::GraphNode* node_of(Handle handle) {
    return reinterpret_cast<device::GraphNode*>(handle);
}
template <typename Handle>
device::GraphExec* exec_of(Handle handle) {
    return reinterpret_cast<device::GraphExec*>(handle);
}

// The stream that a handle means to the current device. CUDA's special values: 0 is the legacy default stream
// (the per-thread one in code that was compiled so), 1 always the legacy one, 2 always the per-thread one.
// Makes sure of the context, as every call on a stream does.
inline device::Status resolve_stream(const void* handle, device::Stream** out) {
    const int device = device::current_device();
    const device::Status status = device::ensure_context(device);
    if (status != device::Status::ok) return status;
    const auto value = reinterpret_cast<std::uintptr_t>(handle);
    if (value <= 2) {
        *out = device::default_stream(device, value == 2);
        return device::Status::ok;
    }
    if (!device::is_stream(handle)) return device::Status::invalid_handle;
    *out = static_cast<device::Stream*>(const_cast<void*>(handle));
    return device::Status::ok;
}

}  // namespace revati::cuda
