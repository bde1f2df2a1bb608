// Internal to the memory files: the table of allocations and the mappings beneath them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <shared_mutex>

#include "device/memory.h"

namespace revati::device {

constexpr size_t large_page_bytes = size_t{2} << 20;
constexpr size_t small_unit_bytes = 512;  // the runtime's alignment of small allocations

constexpr size_t round_up(size_t bytes, size_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

// A range of pages of our own. Small device allocations share one; others have one each.
struct Mapping {
    uintptr_t base = 0;
    size_t bytes = 0;
    int device = 0;
    int fd = -1;                           // memfd behind it once it is shared with another process
    std::map<size_t, size_t> free_ranges;  // offset -> bytes, for slabs
    bool slab = false;
};

struct TableEntry {
    Allocation allocation;
    Mapping* mapping = nullptr;  // null for registered memory and mapped physical memory
    size_t charged_bytes = 0;
};

struct MemoryTable {
    std::shared_mutex mutex;
    std::map<uintptr_t, TableEntry> entries;  // by base
    std::map<uintptr_t, Mapping*> mappings;   // by base
};

MemoryTable& memory_table();
uint64_t next_allocation_id();
// Entry whose range holds `pointer`, or null. Call with the table locked.
TableEntry* find_entry(MemoryTable& table, const void* pointer);
// Address space of `bytes`, aligned to large pages, readable, writable and untouched; null if the process has
// none left.
void* map_untouched(size_t bytes);
// The file behind a mapped address, and the place in it; -1 if there is none.
int physical_file_at(const void* pointer, uint64_t* offset);
void insert_entry(MemoryTable& table, const TableEntry& entry);

}  // namespace revati::device
