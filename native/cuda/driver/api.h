// What every file of the fake driver needs: the public header with each function under its exported name, and
// the translation of handles.
//
// A CUstream is a device::Stream, a CUevent a device::Event, a CUgraph a device::Graph, a CUfunction and a
// CUkernel a device::Kernel: the runtime hands out the same objects, so that a stream of the one works in the
// other.
#pragma once

// Makes <cuda.h> declare `cuMemAlloc_v2` and not rename it behind our back; all versions are then declared
// and checked by the compiler.
#define __CUDA_API_VERSION_INTERNAL 1
#include <cuda.h>

#include "device/device.h"
#include "device/export.h"
#include "device/graph.h"
#include "device/kernel.h"
#include "device/log.h"
#include "device/memory.h"
#include "device/status.h"
#include "device/stream.h"

#define REVATI_DRIVER extern "C" REVATI_API CUresult

namespace revati::driver {

inline CUresult result(device::Status status) {
    return static_cast<CUresult>(status);
}

// CUDA_SUCCESS if the calling thread has a current context, else the error to return.
CUresult require_context();

inline bool valid_device(CUdevice device) {
    return device >= 0 && device < device::device_count();
}

// Null if the handle means no stream. 0 and 1 are the legacy default stream, 2 is the one of the thread.
inline device::Stream* to_stream(CUstream handle) {
    auto bits = reinterpret_cast<uintptr_t>(handle);
    if (bits <= 1) return device::default_stream(device::current_device());
    if (bits == 2) return device::default_stream(device::current_device(), true);
    return device::is_stream(handle) ? reinterpret_cast<device::Stream*>(handle) : nullptr;
}

inline device::Event* to_event(CUevent handle) {
    return handle != nullptr && device::is_event(handle) ? reinterpret_cast<device::Event*>(handle) : nullptr;
}

inline device::Kernel* to_kernel(CUfunction handle) {
    return reinterpret_cast<device::Kernel*>(handle);
}
inline device::Kernel* to_kernel(CUkernel handle) {
    return reinterpret_cast<device::Kernel*>(handle);
}
inline CUfunction to_function(device::Kernel* kernel) {
    return reinterpret_cast<CUfunction>(kernel);
}

inline void* to_pointer(CUdeviceptr address) {
    return reinterpret_cast<void*>(address);
}
inline CUdeviceptr to_address(const void* pointer) {
    return reinterpret_cast<CUdeviceptr>(pointer);
}

}  // namespace revati::driver
