#include "cuda/common/occupancy.h"

#include <algorithm>

namespace revati::cuda {
namespace {

// <cuda_occupancy.h>, compute capability 7.0 and later: registers are given out per warp in units of 256, shared memory per block in units
// of 128 bytes (8.0 and later), and an SM has four partitions.
constexpr int register_unit = 256;
constexpr size_t shared_unit_bytes = 128;
constexpr int partitions_per_sm = 4;

template <typename T>
T round_up(T value, T unit) {
    return (value + unit - 1) / unit * unit;
}

int limit_by_registers(const device::GpuSpec& spec, int registers_per_thread, int warps_per_block) {
    if (registers_per_thread == 0) return spec.max_blocks_per_sm;
    int per_warp = round_up(registers_per_thread * spec.warp_size, register_unit);
    int warps_per_partition = spec.registers_per_sm / partitions_per_sm / per_warp;
    int registers_per_block = per_warp * round_up(warps_per_block, partitions_per_sm);
    if (registers_per_block > spec.registers_per_block) return 0;
    return warps_per_partition * partitions_per_sm / warps_per_block;
}

int limit_by_shared(const device::GpuSpec& spec, const device::KernelAttributes& kernel, size_t dynamic_bytes) {
    size_t wanted = static_cast<size_t>(kernel.shared_static_bytes) + dynamic_bytes;
    size_t reserved = static_cast<size_t>(spec.shared_reserved_per_block_bytes);
    if (wanted > static_cast<size_t>(spec.shared_per_block_optin_bytes)) return 0;
    size_t per_block = round_up(wanted + reserved, shared_unit_bytes);
    return static_cast<int>(static_cast<size_t>(spec.shared_per_sm_bytes) / std::max<size_t>(per_block, 1));
}

}  // namespace

int blocks_per_sm(const device::GpuSpec& spec, const device::KernelAttributes& kernel, int block_threads, size_t dynamic_shared_bytes) {
    if (block_threads <= 0 || block_threads > std::min(spec.max_threads_per_block, kernel.max_threads_per_block)) return 0;
    int warps_per_block = round_up(block_threads, spec.warp_size) / spec.warp_size;
    int warps_per_sm = spec.max_threads_per_sm / spec.warp_size;
    return std::min({spec.max_blocks_per_sm, warps_per_sm / warps_per_block,
                     limit_by_registers(spec, kernel.registers, warps_per_block),
                     limit_by_shared(spec, kernel, dynamic_shared_bytes)});
}

}  // namespace revati::cuda
