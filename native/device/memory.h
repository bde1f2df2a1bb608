// Device memory: host pages that are mapped lazily, so that 141 GB of weights and KV cache cost nothing until
// somebody writes them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/export.h"
#include "device/status.h"

namespace revati::device {

enum class MemoryKind : uint8_t { device, managed, pinned, registered, imported, mapped };

struct Allocation {
    uintptr_t base = 0;
    size_t bytes = 0;
    int device = 0;
    MemoryKind kind = MemoryKind::device;
    uint64_t id = 0;  // unique in the process, never reused
};

// What travels in a 64-byte IPC handle.
struct MemoryShareHandle {
    uint64_t magic, pid, start_time, bytes, offset;
    int32_t fd, device;
    uint64_t reserved[2];
};
static_assert(sizeof(MemoryShareHandle) == 64, "must fill cudaIpcMemHandle_t");

// All functions are thread-safe. `device` indexes the devices that this process sees.
REVATI_API Status allocate_device(int device, size_t bytes, void** out);
REVATI_API Status allocate_managed(int device, size_t bytes, void** out);
REVATI_API Status free_device(void* pointer);
REVATI_API Status allocate_pinned(int device, size_t bytes, void** out);
REVATI_API Status free_pinned(void* pointer);
// Pinned memory that the program asks a device address for, when it has cleared it: vLLM keeps a row of token
// ids of the longest context for each request, half a gigabyte of zeros in every worker. Clean pages read the
// same and take no room. Only the first time: later the device's side may write at any time.
REVATI_API void give_back_if_clear(const Allocation& allocation);
REVATI_API Status register_host(int device, void* pointer, size_t bytes);
REVATI_API Status unregister_host(void* pointer);

// The allocation that holds `pointer`.
REVATI_API bool find_allocation(const void* pointer, Allocation* out);

// free + used + context = total, as the GPU would report them; shared by all processes of the session.
REVATI_API Status memory_info(int device, size_t* free_bytes, size_t* total_bytes);
// Bytes that process `pid` holds on the physical device `device` (nvml); 0 if none.
REVATI_API uint64_t memory_used_by(int physical_device, int pid);
REVATI_API uint64_t memory_used(int physical_device);
// Processes that hold memory of the device: writes at most `capacity` pids, returns how many there are.
REVATI_API int processes_with_memory(int physical_device, int* pids, int capacity);
// Charges bytes that have no pages behind them (contexts, graphs). Fails with out_of_memory at capacity.
REVATI_API Status charge_memory(int device, size_t bytes);
REVATI_API void release_memory(int device, size_t bytes);

// Moves real bytes where that can matter (see copy_limit_bytes in memory.cpp), from and to any memory.
REVATI_API void move_bytes(void* destination, const void* source, size_t bytes);
REVATI_API void fill_bytes(void* destination, uint32_t value, size_t element_bytes, size_t elements);

// IPC: the same bytes in two processes.
REVATI_API Status share_memory(void* pointer, MemoryShareHandle* out);
REVATI_API Status open_shared_memory(int device, const MemoryShareHandle& handle, void** out);
REVATI_API Status close_shared_memory(void* pointer);
// What a pointer into memory shared with other processes means in all of them: a file and a place in it.
REVATI_API bool shared_place(const void* pointer, uint64_t* file, uint64_t* offset);

// Virtual memory management (reserve / create / map / export / import).
struct PhysicalMemory;
REVATI_API Status reserve_addresses(size_t bytes, size_t alignment, void* hint, void** out);
REVATI_API Status free_addresses(void* pointer, size_t bytes);
REVATI_API Status create_physical(int device, size_t bytes, PhysicalMemory** out);
REVATI_API Status release_physical(PhysicalMemory* memory);
REVATI_API Status retain_physical(void* mapped_address, PhysicalMemory** out);
REVATI_API Status map_physical(void* address, size_t bytes, size_t offset, PhysicalMemory* memory);
REVATI_API Status unmap_physical(void* address, size_t bytes);
REVATI_API Status export_physical(PhysicalMemory* memory, int* fd);
REVATI_API Status import_physical(int fd, PhysicalMemory** out);
REVATI_API int physical_device_of(const PhysicalMemory* memory);
REVATI_API size_t physical_bytes_of(const PhysicalMemory* memory);
REVATI_API size_t mapping_granularity();

}  // namespace revati::device
