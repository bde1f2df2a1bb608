#include "cuda/common/attributes.h"

#include <algorithm>
#include <cstdio>

#include "device/device.h"
#include "device/memory.h"

namespace revati::cuda {
namespace {

using device::GpuSpec;
using device::Status;

struct FixedAttribute {
    int attribute;
    int value;
};

// The same on every GPU from compute capability 8.0 on (CUDA programming guide, table of technical
// specifications).
constexpr FixedAttribute fixed_attributes[] = {
    {2, max_block_dim[0]},
    {3, max_block_dim[1]},
    {4, max_block_dim[2]},
    {5, max_grid_dim[0]},
    {6, max_grid_dim[1]},
    {7, max_grid_dim[2]},
    {9, total_constant_bytes},
    {11, 2147483647},  // max pitch
    {14, 512},         // texture alignment
    {15, 1},           // GPU overlap
    {17, 0},           // kernel time-out
    {18, 0},           // integrated
    {19, 1},           // can map host memory
    {20, 0},           // compute mode: default
    {21, 131072},
    {22, 131072},
    {23, 65536},
    {24, 16384},
    {25, 16384},
    {26, 16384},  // textures
    {27, 32768},
    {28, 32768},
    {29, 2048},
    {30, 512},  // surface alignment
    {31, 1},    // concurrent kernels
    {32, 1},    // ECC
    {34, 0},    // PCI device
    {35, 0},    // TCC driver
    {41, 1},    // unified addressing
    {42, 32768},
    {43, 2048},
    {44, 1},
    {45, 32768},
    {46, 32768},
    {47, 8192},
    {48, 8192},
    {49, 32768},
    {50, 0},   // PCI domain
    {51, 32},  // texture pitch alignment
    {52, 32768},
    {53, 32768},
    {54, 2046},
    {55, 32768},
    {56, 131072},
    {57, 65536},
    {58, 16384},
    {59, 16384},
    {60, 16384},
    {61, 32768},
    {62, 2048},
    {63, 32768},
    {64, 32768},
    {65, 2048},
    {66, 32768},
    {67, 32768},
    {68, 2046},
    {69, 268435456},
    {70, 131072},
    {71, 65000},
    {72, 2097120},
    {73, 32768},
    {74, 32768},
    {77, 32768},
    {78, 1},
    {79, 1},
    {80, 1},
    {83, 1},  // managed memory
    {84, 0},
    {85, 0},  // multi-GPU board
    {86, 0},  // host native atomics
    {88, 0},  // pageable memory access
    {89, 1},  // concurrent managed access
    {90, 1},  // compute preemption
    {91, 1},  // host pointer for registered memory
    {92, 0},
    {93, 0},
    {94, 0},  // stream memory operations, first version: withdrawn in CUDA 12
    {95, 1},  // cooperative launch
    {96, 0},  // cooperative multi-device launch: withdrawn
    {98, 1},  // flush of remote writes
    {99, 1},  // host registration
    {100, 0},
    {101, 0},
    {102, 1},  // virtual memory management
    {103, 1},  // export to POSIX file descriptors
    {104, 0},
    {105, 0},
    {107, 0},  // compressible memory
    {110, 0},  // GPUDirect RDMA with VMM: there is no network card that could reach virtual memory
    {112, 1},
    {113, 0},
    {114, 0},  // timeline semaphores
    {115, 1},  // memory pools
    {116, 0},
    {117, 0},
    {118, 0},  // GPUDirect RDMA
    {119, 0},  // sharing of memory pools
    {121, 0},
    {122, 0},
    {123, 0},  // stream memory operations
    {124, 0},  // DMA-BUF
    {125, 1},  // IPC events
    {127, 0},  // tensor maps on this architecture: see below
    {128, 0},  // fabric handles
    {129, 1},  // unified function pointers
    {130, 0},  // NUMA configuration: none
    {131, -1},
    {133, 0},  // MPS
    {134, -1},
    {135, 0},
    {136, 0},
    {137, 0},
    {138, 0},
    {140, 0},
    {141, 0},
    {142, 0},
    {143, 0},
    {144, 0},
    {145, 0},
    {146, 0},
    {147, 0},
};

int precision_ratio(const GpuSpec& spec) {
    if (spec.fp64_flops <= 0) return 1;
    return std::max(1, static_cast<int>(spec.fp32_flops / spec.fp64_flops + 0.5));
}

int pci_bus_of(int device) {
    char text[16];
    device::device_pci_bus_id(device::physical_index(device), text, sizeof text);
    unsigned domain = 0, bus = 0;
    sscanf(text, "%x:%x", &domain, &bus);
    return static_cast<int>(bus);
}

// Attributes that differ from GPU to GPU.
bool spec_attribute(int attribute, int device, int* value) {
    const GpuSpec& spec = device::gpu();
    const bool hopper = spec.compute_major >= 9;
    switch (attribute) {
        case 1:
            *value = spec.max_threads_per_block;
            return true;
        case 8:
            *value = static_cast<int>(spec.shared_per_block_bytes);
            return true;
        case 10:
            *value = spec.warp_size;
            return true;
        case 12:
            *value = spec.registers_per_block;
            return true;
        case 13:
            *value = static_cast<int>(spec.clock_khz);
            return true;
        case 16:
            *value = spec.sm_count;
            return true;
        case 33:
            *value = pci_bus_of(device);
            return true;
        case 36:
            *value = static_cast<int>(spec.memory_clock_khz);
            return true;
        case 37:
            *value = spec.memory_bus_bits;
            return true;
        case 38:
            *value = static_cast<int>(spec.l2_bytes);
            return true;
        case 39:
            *value = spec.max_threads_per_sm;
            return true;
        case 40:
            *value = spec.async_engines;
            return true;
        case 75:
            *value = spec.compute_major;
            return true;
        case 76:
            *value = spec.compute_minor;
            return true;
        case 81:
            *value = static_cast<int>(spec.shared_per_sm_bytes);
            return true;
        case 82:
            *value = spec.registers_per_sm;
            return true;
        case 87:
            *value = precision_ratio(spec);
            return true;
        case 97:
            *value = static_cast<int>(spec.shared_per_block_optin_bytes);
            return true;
        case 106:
            *value = spec.max_blocks_per_sm;
            return true;
        case 108:
            *value = static_cast<int>(spec.persisting_l2_max_bytes);
            return true;
        case 109:
            *value = static_cast<int>(spec.access_policy_window_max_bytes);
            return true;
        case 111:
            *value = static_cast<int>(spec.shared_reserved_per_block_bytes);
            return true;
        case 120:
            *value = spec.max_cluster_blocks > 0;
            return true;
        case 126:
            *value = hopper ? 4 : 1;
            return true;  // memory synchronisation domains
        case 127:
            *value = hopper;
            return true;  // tensor maps
        case 132:
            *value = spec.multicast;
            return true;
        default:
            return false;
    }
}

int round_up(int value, int unit) {
    return (value + unit - 1) / unit * unit;
}

int shared_bytes_of_block(const device::KernelAttributes& kernel, std::size_t dynamic_bytes) {
    constexpr int allocation_unit = 128;
    const auto requested = static_cast<int>(kernel.shared_static_bytes + dynamic_bytes);
    return round_up(requested, allocation_unit) +
           static_cast<int>(device::gpu().shared_reserved_per_block_bytes);
}

}  // namespace

Status device_attribute(int attribute, int device, int* value) {
    if (value == nullptr) return Status::invalid_value;
    if (spec_attribute(attribute, device, value)) return Status::ok;
    for (const FixedAttribute& fixed : fixed_attributes) {
        if (fixed.attribute != attribute) continue;
        *value = fixed.value;
        return Status::ok;
    }
    return Status::invalid_value;
}

int resident_blocks(const device::KernelAttributes& kernel, int block_threads,
                    std::size_t dynamic_shared_bytes) {
    const GpuSpec& spec = device::gpu();
    if (block_threads <= 0 ||
        block_threads > std::min(kernel.max_threads_per_block, spec.max_threads_per_block))
        return 0;
    if (dynamic_shared_bytes > static_cast<std::size_t>(spec.shared_per_sm_bytes)) return 0;
    const int warps = round_up(block_threads, spec.warp_size) / spec.warp_size;
    int blocks = std::min(spec.max_blocks_per_sm, spec.max_threads_per_sm / spec.warp_size / warps);
    const int shared = shared_bytes_of_block(kernel, dynamic_shared_bytes);
    if (shared > 0) blocks = std::min(blocks, static_cast<int>(spec.shared_per_sm_bytes) / shared);
    if (kernel.registers > 0) {
        // Registers are handed out to warps in units of 256, and each of the four partitions of a
        // multiprocessor has a quarter of them.
        constexpr int unit = 256, partitions = 4;
        const int of_warp = round_up(kernel.registers * spec.warp_size, unit);
        const int warps_per_partition = spec.registers_per_sm / partitions / of_warp;
        blocks = std::min(blocks, warps_per_partition * partitions / warps);
    }
    return std::max(blocks, 0);
}

std::size_t dynamic_shared_for(const device::KernelAttributes& kernel, int blocks) {
    const GpuSpec& spec = device::gpu();
    const auto share = spec.shared_per_sm_bytes / std::max(blocks, 1) - spec.shared_reserved_per_block_bytes;
    const auto limit = std::min(share, spec.shared_per_block_optin_bytes) - kernel.shared_static_bytes;
    return limit > 0 ? static_cast<std::size_t>(limit) : 0;
}

int resident_clusters(const device::KernelAttributes& kernel, int block_threads,
                      std::size_t dynamic_shared_bytes, int cluster_blocks) {
    if (cluster_blocks <= 0 || cluster_blocks > device::gpu().max_cluster_blocks) return 0;
    return resident_blocks(kernel, block_threads, dynamic_shared_bytes) * device::gpu().sm_count /
           cluster_blocks;
}

Status check_geometry(const device::KernelAttributes& kernel, const device::Dim3& grid,
                      const device::Dim3& block, std::size_t dynamic_shared_bytes, bool* too_large) {
    *too_large = false;
    const uint64_t threads = static_cast<uint64_t>(block.x) * block.y * block.z;
    if (threads == 0 || grid.x == 0 || grid.y == 0 || grid.z == 0) return Status::invalid_value;
    if (threads > 1024 || block.z > 64 || grid.x > 2147483647u || grid.y > 65535 || grid.z > 65535)
        return Status::invalid_value;
    *too_large = true;
    if (threads > static_cast<uint64_t>(kernel.max_threads_per_block)) return Status::invalid_value;
    if (dynamic_shared_bytes > static_cast<std::size_t>(kernel.max_dynamic_shared_bytes))
        return Status::invalid_value;
    return Status::ok;
}

}  // namespace revati::cuda
