// What host programs register at start-up: fat binaries, kernels, variables.
#pragma once

#include "cuda/runtime/runtime.h"

namespace revati::cuda::runtime {

// The kernel behind a host function, or behind a cudaKernel_t that was cast to one; null if there is none.
// Lock-free.
device::Kernel* find_kernel(const void* function);
// The host function that a kernel was registered under; null for kernels of other origin.
const void* host_function_of(const device::Kernel* kernel);

// Makes `find_kernel` know a kernel that the driver made (cudaLibraryGetKernel).
void remember_library_kernel(const void* kernel);

// The address and size of a device variable on the current device, allocated when first asked for.
Status find_symbol_memory(const void* symbol, void** address, size_t* bytes);

}  // namespace revati::cuda::runtime
