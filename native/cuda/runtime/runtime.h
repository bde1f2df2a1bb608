// What the files of the fake CUDA runtime share: the public header with its legacy names, the thread's last
// error, streams by handle.
#pragma once

// Declares every exported function under its own name; without it the header renames some to their newest
// version.
#define __CUDA_API_VERSION_INTERNAL
#pragma GCC visibility push(default)
#include <cuda_runtime_api.h>
#pragma GCC visibility pop

#include "cuda/common/error.h"
#include "cuda/common/handles.h"
#include "device/export.h"

namespace revati::cuda::runtime {

using device::Status;
using device::Stream;

// The sticky-until-read error of cudaGetLastError.
extern thread_local cudaError_t last_error __attribute__((tls_model("initial-exec")));

inline cudaError_t finish(cudaError_t error) {
    if (__builtin_expect(error != cudaSuccess, 0)) last_error = error;
    return error;
}

inline cudaError_t finish(Status status) {
    return finish(to_runtime(status));
}

// NotReady is an answer and no error (CUDA runtime API, cudaErrorNotReady): it is not kept.
inline cudaError_t finish_query(Status status) {
    return status == Status::not_ready ? cudaErrorNotReady : finish(status);
}

// The current device with a context on it: what almost every call needs first.
inline Status ready_device(int* device) {
    *device = device::current_device();
    return device::ensure_context(*device);
}

template <typename Work>
cudaError_t on_device(Work&& work) {
    int device = 0;
    const Status status = ready_device(&device);
    return finish(status == Status::ok ? work(device) : status);
}

template <typename Work>
cudaError_t on_stream(cudaStream_t handle, Work&& work) {
    Stream* stream = nullptr;
    const Status status = resolve_stream(handle, &stream);
    return finish(status == Status::ok ? work(stream) : status);
}

inline bool valid_device(int device) {
    return device >= 0 && device < device::device_count();
}

// Says why a device number is wrong.
inline Status check_device(int device) {
    if (device::device_count() == 0) return Status::no_device;
    return valid_device(device) ? Status::ok : Status::invalid_device;
}

// The handle that the `_ptsz` variants mean by 0.
inline cudaStream_t per_thread(cudaStream_t stream) {
    return stream == nullptr ? cudaStreamPerThread : stream;
}

}  // namespace revati::cuda::runtime
