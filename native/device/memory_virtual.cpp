// Virtual memory management: reserved addresses, physical memory (a memfd each), and mappings between them.
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <set>

#include "device/device.h"
#include "device/memory.h"
#include "device/memory_table.h"

namespace revati::device {

struct PhysicalMemory {
    size_t bytes = 0;
    int device = 0;
    int fd = -1;
    bool charged = false;
    int references = 1;  // the handle's own and one for each mapping
};

namespace {

struct VirtualState {
    std::mutex mutex;
    std::map<uintptr_t, size_t> reservations;
    struct Part {
        PhysicalMemory* memory;
        size_t offset;
    };
    std::map<uintptr_t, Part> mapped;
    std::set<PhysicalMemory*> handles;
};

VirtualState& state() {
    static auto* const instance = new VirtualState;
    return *instance;
}

// Call with the state locked.
void drop_reference(PhysicalMemory* memory) {
    if (--memory->references > 0) return;
    if (memory->charged) release_memory(memory->device, memory->bytes);
    close(memory->fd);
    delete memory;
}

Status adopt(int device, size_t bytes, int fd, bool charged, PhysicalMemory** out) {
    auto* const memory = new PhysicalMemory{bytes, device, fd, charged, 1};
    const std::lock_guard lock(state().mutex);
    state().handles.insert(memory);
    *out = memory;
    return Status::ok;
}

void* reserve(void* address, size_t bytes, int extra_flags) {
    return mmap(address, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | extra_flags, -1, 0);
}

}  // namespace

size_t mapping_granularity() {
    return large_page_bytes;
}

Status reserve_addresses(size_t bytes, size_t alignment, void* hint, void** out) {
    if (out == nullptr || bytes == 0 || bytes % large_page_bytes != 0) return Status::invalid_value;
    if (alignment < large_page_bytes) alignment = large_page_bytes;
    void* const raw = reserve(hint, bytes + alignment, 0);
    if (raw == MAP_FAILED) return Status::out_of_memory;
    const auto start = reinterpret_cast<uintptr_t>(raw);
    const uintptr_t aligned = round_up(start, alignment);
    if (aligned > start) munmap(raw, aligned - start);
    munmap(reinterpret_cast<void*>(aligned + bytes), alignment - (aligned - start));
    const std::lock_guard lock(state().mutex);
    state().reservations[aligned] = bytes;
    *out = reinterpret_cast<void*>(aligned);
    return Status::ok;
}

Status free_addresses(void* pointer, size_t bytes) {
    const std::lock_guard lock(state().mutex);
    const auto found = state().reservations.find(reinterpret_cast<uintptr_t>(pointer));
    if (found == state().reservations.end() || found->second != bytes) return Status::invalid_value;
    const auto inside = state().mapped.lower_bound(found->first);
    if (inside != state().mapped.end() && inside->first < found->first + bytes) return Status::invalid_value;
    munmap(pointer, bytes);
    state().reservations.erase(found);
    return Status::ok;
}

Status create_physical(int device, size_t bytes, PhysicalMemory** out) {
    if (out == nullptr || bytes == 0 || bytes % large_page_bytes != 0) return Status::invalid_value;
    const Status context = ensure_context(device);
    if (context != Status::ok) return context;
    const Status charged = charge_memory(device, bytes);
    if (charged != Status::ok) return charged;
    const int fd = memfd_create("revati-physical-memory", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
        if (fd >= 0) close(fd);
        release_memory(device, bytes);
        return Status::out_of_memory;
    }
    return adopt(device, bytes, fd, true, out);
}

Status release_physical(PhysicalMemory* memory) {
    const std::lock_guard lock(state().mutex);
    if (state().handles.count(memory) == 0) return Status::invalid_value;
    // A handle retained through an address is the same object: each release gives one reference back.
    if (memory->references == 1) state().handles.erase(memory);
    drop_reference(memory);
    return Status::ok;
}

Status retain_physical(void* mapped_address, PhysicalMemory** out) {
    const std::lock_guard lock(state().mutex);
    const auto address = reinterpret_cast<uintptr_t>(mapped_address);
    auto found = state().mapped.upper_bound(address);
    if (found == state().mapped.begin()) return Status::invalid_value;
    --found;
    PhysicalMemory* const memory = found->second.memory;
    if (address - found->first >= memory->bytes) return Status::invalid_value;
    ++memory->references;
    state().handles.insert(memory);
    *out = memory;
    return Status::ok;
}

Status map_physical(void* address, size_t bytes, size_t offset, PhysicalMemory* memory) {
    const auto base = reinterpret_cast<uintptr_t>(address);
    {
        const std::lock_guard lock(state().mutex);
        auto reservation = state().reservations.upper_bound(base);
        if (state().handles.count(memory) == 0 || reservation == state().reservations.begin())
            return Status::invalid_value;
        --reservation;
        const bool fits =
            base + bytes <= reservation->first + reservation->second && offset + bytes <= memory->bytes;
        if (!fits || bytes % large_page_bytes != 0 || state().mapped.count(base) != 0)
            return Status::invalid_value;
        if (mmap(address, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, memory->fd,
                 static_cast<off_t>(offset)) != address) {
            return Status::map_failed;
        }
        state().mapped[base] = {memory, offset};
        ++memory->references;
    }
    MemoryTable& table = memory_table();
    const std::lock_guard lock(table.mutex);
    TableEntry entry;
    entry.allocation = {base, bytes, memory->device, MemoryKind::mapped, next_allocation_id()};
    insert_entry(table, entry);
    return Status::ok;
}

Status unmap_physical(void* address, size_t bytes) {
    const auto base = reinterpret_cast<uintptr_t>(address);
    {
        // One call may cover several adjacent mappings.
        MemoryTable& table = memory_table();
        const std::lock_guard lock(table.mutex);
        const auto first = table.entries.lower_bound(base);
        if (first == table.entries.end() || first->first != base) return Status::invalid_value;
        table.entries.erase(first, table.entries.lower_bound(base + bytes));
    }
    const std::lock_guard lock(state().mutex);
    for (auto found = state().mapped.lower_bound(base);
         found != state().mapped.end() && found->first < base + bytes;) {
        PhysicalMemory* const memory = found->second.memory;
        found = state().mapped.erase(found);
        if (memory->references == 1) state().handles.erase(memory);
        drop_reference(memory);
    }
    reserve(address, bytes, MAP_FIXED);
    return Status::ok;
}

Status export_physical(PhysicalMemory* memory, int* fd) {
    const std::lock_guard lock(state().mutex);
    if (state().handles.count(memory) == 0) return Status::invalid_value;
    *fd = dup(memory->fd);
    return *fd >= 0 ? Status::ok : Status::out_of_memory;
}

Status import_physical(int fd, PhysicalMemory** out) {
    struct stat status;
    const int own = dup(fd);
    if (own < 0 || fstat(own, &status) != 0) {
        if (own >= 0) close(own);
        return Status::invalid_value;
    }
    // The exporter's process carries the charge.
    return adopt(current_device(), static_cast<size_t>(status.st_size), own, false, out);
}

int physical_file_at(const void* pointer, uint64_t* offset) {
    const std::lock_guard lock(state().mutex);
    const auto address = reinterpret_cast<uintptr_t>(pointer);
    auto found = state().mapped.upper_bound(address);
    if (found == state().mapped.begin()) return -1;
    --found;
    *offset = found->second.offset + (address - found->first);
    return found->second.memory->fd;
}

int physical_device_of(const PhysicalMemory* memory) {
    return memory->device;
}

size_t physical_bytes_of(const PhysicalMemory* memory) {
    return memory->bytes;
}

}  // namespace revati::device
