// How many blocks of a kernel an SM holds at once: the rules of the CUDA occupancy calculator (<cuda_occupancy.h> documents them).
#pragma once

#include <cstddef>

#include "device/device.h"
#include "device/kernel.h"

namespace revati::cuda {

// 0 if a block does not fit at all.
int blocks_per_sm(const device::GpuSpec& spec, const device::KernelAttributes& kernel, int block_threads, size_t dynamic_shared_bytes);

}  // namespace revati::cuda
