#include "device/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <mutex>

#include "device/device.h"
#include "device/ledger.h"
#include "device/log.h"
#include "device/memory_table.h"

namespace revati::device {

MemoryTable& memory_table() {
    static auto* const table = new MemoryTable;
    return *table;
}

uint64_t next_allocation_id() {
    static std::atomic<uint64_t> next{1};
    return next.fetch_add(1, std::memory_order_relaxed);
}

TableEntry* find_entry(MemoryTable& table, const void* pointer) {
    const auto address = reinterpret_cast<uintptr_t>(pointer);
    auto entry = table.entries.upper_bound(address);
    if (entry == table.entries.begin()) return nullptr;
    --entry;
    const Allocation& allocation = entry->second.allocation;
    return address - allocation.base < allocation.bytes ? &entry->second : nullptr;
}

void* map_untouched(size_t bytes) {
    const size_t padded = bytes + large_page_bytes;
    void* const raw =
        mmap(nullptr, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED) {
        log_once(
            "the host refused address space for virtual device memory (%zu bytes); check `ulimit -v` and "
            "vm.overcommit_memory",
            bytes);
        return nullptr;
    }
    const auto start = reinterpret_cast<uintptr_t>(raw);
    const uintptr_t aligned = round_up(start, large_page_bytes);
    if (aligned > start) munmap(raw, aligned - start);
    const size_t tail = start + padded - (aligned + bytes);
    if (tail > 0) munmap(reinterpret_cast<void*>(aligned + bytes), tail);
    auto* const result = reinterpret_cast<void*>(aligned);
    // One byte written must not make two megabytes resident.
    madvise(result, bytes, MADV_NOHUGEPAGE);
    madvise(result, bytes, MADV_DONTDUMP);
    return result;
}

void insert_entry(MemoryTable& table, const TableEntry& entry) {
    table.entries[entry.allocation.base] = entry;
}

namespace {

Mapping* new_mapping(MemoryTable& table, int device, size_t bytes) {
    void* const address = map_untouched(bytes);
    if (address == nullptr) return nullptr;
    auto* const mapping = new Mapping;
    mapping->base = reinterpret_cast<uintptr_t>(address);
    mapping->bytes = bytes;
    mapping->device = device;
    table.mappings[mapping->base] = mapping;
    return mapping;
}

void delete_mapping(MemoryTable& table, Mapping* mapping) {
    munmap(reinterpret_cast<void*>(mapping->base), mapping->bytes);
    if (mapping->fd >= 0) close(mapping->fd);
    table.mappings.erase(mapping->base);
    delete mapping;
}

bool take_from_slab(Mapping* slab, size_t bytes, uintptr_t* out) {
    for (auto range = slab->free_ranges.begin(); range != slab->free_ranges.end(); ++range) {
        if (range->second < bytes) continue;
        const size_t offset = range->first, left = range->second - bytes;
        slab->free_ranges.erase(range);
        if (left > 0) slab->free_ranges[offset + bytes] = left;
        *out = slab->base + offset;
        return true;
    }
    return false;
}

void return_to_slab(Mapping* slab, size_t offset, size_t bytes) {
    auto next = slab->free_ranges.lower_bound(offset);
    if (next != slab->free_ranges.end() && offset + bytes == next->first) {
        bytes += next->second;
        next = slab->free_ranges.erase(next);
    }
    if (next != slab->free_ranges.begin()) {
        auto previous = next;
        --previous;
        if (previous->first + previous->second == offset) {
            previous->second += bytes;
            return;
        }
    }
    slab->free_ranges[offset] = bytes;
}

// As the driver does: small allocations share pages of two megabytes, so that a thousand of them do not cost
// two gigabytes.
Status allocate_small(MemoryTable& table, int device, size_t bytes, TableEntry* entry) {
    bytes = round_up(bytes, small_unit_bytes);
    for (const auto& [base, mapping] : table.mappings) {
        if (!mapping->slab || mapping->device != device ||
            !take_from_slab(mapping, bytes, &entry->allocation.base))
            continue;
        entry->mapping = mapping;
        return Status::ok;
    }
    const Status charged = charge_memory(device, large_page_bytes);
    if (charged != Status::ok) return charged;
    Mapping* const slab = new_mapping(table, device, large_page_bytes);
    if (slab == nullptr) {
        release_memory(device, large_page_bytes);
        return Status::out_of_memory;
    }
    slab->slab = true;
    slab->free_ranges[0] = large_page_bytes;
    take_from_slab(slab, bytes, &entry->allocation.base);
    entry->mapping = slab;
    return Status::ok;
}

Status allocate_large(MemoryTable& table, int device, size_t bytes, bool charged, TableEntry* entry) {
    const size_t rounded = round_up(bytes, large_page_bytes);
    if (charged) {
        const Status status = charge_memory(device, rounded);
        if (status != Status::ok) return status;
        entry->charged_bytes = rounded;
    }
    entry->mapping = new_mapping(table, device, rounded);
    if (entry->mapping == nullptr) {
        release_memory(device, entry->charged_bytes);
        return Status::out_of_memory;
    }
    entry->allocation.base = entry->mapping->base;
    return Status::ok;
}

Status allocate(int device, size_t bytes, MemoryKind kind, void** out) {
    if (out == nullptr) return Status::invalid_value;
    *out = nullptr;
    const Status context = ensure_context(device);
    if (context != Status::ok) return context;
    if (bytes == 0) return Status::ok;
    if (kind == MemoryKind::device && bytes > gpu().memory_bytes) return Status::out_of_memory;
    MemoryTable& table = memory_table();
    const std::lock_guard lock(table.mutex);
    TableEntry entry;
    const bool small = kind == MemoryKind::device && bytes <= large_page_bytes / 2;
    const Status status = small ? allocate_small(table, device, bytes, &entry)
                                : allocate_large(table, device, bytes, kind == MemoryKind::device, &entry);
    if (status != Status::ok) return status;
    entry.allocation = {entry.allocation.base, bytes, device, kind, next_allocation_id()};
    insert_entry(table, entry);
    *out = reinterpret_cast<void*>(entry.allocation.base);
    return Status::ok;
}

Status release(void* pointer, MemoryKind first, MemoryKind second) {
    if (pointer == nullptr) return Status::ok;
    MemoryTable& table = memory_table();
    const std::lock_guard lock(table.mutex);
    const auto found = table.entries.find(reinterpret_cast<uintptr_t>(pointer));
    if (found == table.entries.end()) return Status::invalid_value;
    const TableEntry entry = found->second;
    if (entry.allocation.kind != first && entry.allocation.kind != second) return Status::invalid_value;
    table.entries.erase(found);
    if (!entry.mapping->slab) {
        release_memory(entry.allocation.device, entry.charged_bytes);
        delete_mapping(table, entry.mapping);
        return Status::ok;
    }
    Mapping* const slab = entry.mapping;
    return_to_slab(slab, entry.allocation.base - slab->base,
                   round_up(entry.allocation.bytes, small_unit_bytes));
    if (slab->free_ranges.begin()->second == slab->bytes) {
        release_memory(slab->device, slab->bytes);
        delete_mapping(table, slab);
    }
    return Status::ok;
}

}  // namespace

Status allocate_device(int device, size_t bytes, void** out) {
    return allocate(device, bytes, MemoryKind::device, out);
}

Status allocate_managed(int device, size_t bytes, void** out) {
    return allocate(device, bytes, MemoryKind::managed, out);
}

Status allocate_pinned(int device, size_t bytes, void** out) {
    return allocate(device, bytes, MemoryKind::pinned, out);
}

Status free_device(void* pointer) {
    return release(pointer, MemoryKind::device, MemoryKind::managed);
}

Status free_pinned(void* pointer) {
    return release(pointer, MemoryKind::pinned, MemoryKind::pinned);
}

Status register_host(int device, void* pointer, size_t bytes) {
    if (pointer == nullptr || bytes == 0) return Status::invalid_value;
    const Status context = ensure_context(device);
    if (context != Status::ok) return context;
    MemoryTable& table = memory_table();
    const std::lock_guard lock(table.mutex);
    const auto base = reinterpret_cast<uintptr_t>(pointer);
    const auto next = table.entries.lower_bound(base);
    const bool overlaps_next = next != table.entries.end() && next->first < base + bytes;
    if (overlaps_next || find_entry(table, pointer) != nullptr) return Status::host_memory_already_registered;
    TableEntry entry;
    entry.allocation = {base, bytes, device, MemoryKind::registered, next_allocation_id()};
    insert_entry(table, entry);
    return Status::ok;
}

Status unregister_host(void* pointer) {
    MemoryTable& table = memory_table();
    const std::lock_guard lock(table.mutex);
    const auto found = table.entries.find(reinterpret_cast<uintptr_t>(pointer));
    if (found == table.entries.end() || found->second.allocation.kind != MemoryKind::registered)
        return Status::host_memory_not_registered;
    table.entries.erase(found);
    return Status::ok;
}

bool find_allocation(const void* pointer, Allocation* out) {
    MemoryTable& table = memory_table();
    const std::shared_lock lock(table.mutex);
    const TableEntry* const entry = find_entry(table, pointer);
    if (entry == nullptr) return false;
    if (out != nullptr) *out = entry->allocation;
    return true;
}

Status memory_info(int device, size_t* free_bytes, size_t* total_bytes) {
    const Status context = ensure_context(device);
    if (context != Status::ok) return context;
    *total_bytes = gpu().memory_bytes;
    *free_bytes = gpu().memory_bytes - ledger_total(physical_index(device));
    return Status::ok;
}

uint64_t memory_used_by(int physical_device, int pid) {
    return ledger_of_process(physical_device, pid);
}

uint64_t memory_used(int physical_device) {
    return ledger_total(physical_device);
}

int processes_with_memory(int physical_device, int* pids, int capacity) {
    return ledger_processes(physical_device, pids, capacity);
}

Status charge_memory(int device, size_t bytes) {
    return ledger_take(physical_index(device), bytes, gpu().memory_bytes) ? Status::ok
                                                                          : Status::out_of_memory;
}

void release_memory(int device, size_t bytes) {
    if (bytes > 0) ledger_give(physical_index(device), bytes);
}

}  // namespace revati::device
