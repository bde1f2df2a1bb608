// What a virtual GPU answers about itself. The runtime's cudaDeviceAttr and the driver's CUdevice_attribute
// share their numbers.
#pragma once

#include <cstddef>

#include "device/kernel.h"
#include "device/status.h"

namespace revati::cuda {

// Returns invalid_value for an attribute that is unknown; `device` must be valid.
device::Status device_attribute(int attribute, int device, int* value);

constexpr int total_constant_bytes = 65536;
constexpr int max_block_dim[3] = {1024, 1024, 64};
constexpr int max_grid_dim[3] = {2147483647, 65535, 65535};

// Blocks of one kernel that fit on a multiprocessor at the same time: limited by blocks, threads, shared
// memory, and by registers if their number is known. 0 if not even one fits.
int resident_blocks(const device::KernelAttributes& kernel, int block_threads,
                    std::size_t dynamic_shared_bytes);
// Dynamic shared memory per block that still lets `blocks` blocks be resident.
std::size_t dynamic_shared_for(const device::KernelAttributes& kernel, int blocks);
// Clusters of `cluster_blocks` blocks that fit on the whole GPU; an upper bound, because the map of
// processing clusters is not public.
int resident_clusters(const device::KernelAttributes& kernel, int block_threads,
                      std::size_t dynamic_shared_bytes, int cluster_blocks);

// invalid_value if the kernel may not be launched with this geometry; `*too_large` tells a kernel's own limit
// from the device's.
device::Status check_geometry(const device::KernelAttributes& kernel, const device::Dim3& grid,
                              const device::Dim3& block, std::size_t dynamic_shared_bytes, bool* too_large);

}  // namespace revati::cuda
