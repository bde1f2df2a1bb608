// The way from the runtime to the fake driver library, which owns modules and libraries of kernels.
#pragma once

#include "cuda/runtime/runtime.h"

namespace revati::cuda::runtime {

// Address of `name` as the driver's own look-up gives it; null if it is not there. `*result` (may be null)
// says why, as cudaGetDriverEntryPoint does.
void* driver_entry_point(const char* name, int cuda_version, unsigned long long flags,
                         cudaDriverEntryPointQueryResult* result);

// Calls a driver function by its name. Driver and runtime share their error numbers.
template <typename... Arguments>
cudaError_t call_driver(const char* name, Arguments... arguments) {
    void* const address = driver_entry_point(name, CUDART_VERSION, 0, nullptr);
    if (address == nullptr) return finish(cudaErrorNotSupported);
    return finish(static_cast<cudaError_t>(reinterpret_cast<int (*)(Arguments...)>(address)(arguments...)));
}

}  // namespace revati::cuda::runtime
