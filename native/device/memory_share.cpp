// IPC handles: the same bytes in two processes. Device memory is private and anonymous until somebody exports
// it; then its pages move into a memfd mapped over the same addresses, and the importer opens that file
// through the exporter's /proc entry.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <vector>

#include "device/device.h"
#include "device/log.h"
#include "device/memory.h"
#include "device/memory_table.h"

namespace revati::device {
namespace {

constexpr uint64_t share_magic = 0x5256544953484d31;
constexpr size_t page_bytes = 4096;

// Copies the resident pages of a mapping into the file, leaving holes elsewhere.
bool copy_resident_pages(const Mapping& mapping, int fd) {
    std::vector<unsigned char> resident(mapping.bytes / page_bytes);
    if (mincore(reinterpret_cast<void*>(mapping.base), mapping.bytes, resident.data()) != 0) return false;
    for (size_t page = 0; page < resident.size(); ++page) {
        if ((resident[page] & 1) == 0) continue;
        const auto* const bytes = reinterpret_cast<const void*>(mapping.base + page * page_bytes);
        if (pwrite(fd, bytes, page_bytes, static_cast<off_t>(page * page_bytes)) !=
            static_cast<ssize_t>(page_bytes))
            return false;
    }
    return true;
}

Status back_by_file(Mapping* mapping) {
    if (mapping->fd >= 0) return Status::ok;
    const int fd = memfd_create("revati-device-memory", MFD_CLOEXEC);
    if (fd < 0) return Status::out_of_memory;
    const bool filled =
        ftruncate(fd, static_cast<off_t>(mapping->bytes)) == 0 && copy_resident_pages(*mapping, fd);
    void* const base = reinterpret_cast<void*>(mapping->base);
    if (!filled || mmap(base, mapping->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
                        fd, 0) != base) {
        close(fd);
        return Status::map_failed;
    }
    mapping->fd = fd;
    return Status::ok;
}

}  // namespace

Status share_memory(void* pointer, MemoryShareHandle* out) {
    if (pointer == nullptr || out == nullptr) return Status::invalid_value;
    MemoryTable& table = memory_table();
    const std::lock_guard lock(table.mutex);
    TableEntry* const entry = find_entry(table, pointer);
    if (entry == nullptr || entry->allocation.kind != MemoryKind::device || entry->mapping == nullptr)
        return Status::invalid_value;
    const Status backed = back_by_file(entry->mapping);
    if (backed != Status::ok) return backed;
    memset(out, 0, sizeof *out);
    out->magic = share_magic;
    out->pid = static_cast<uint64_t>(getpid());
    out->bytes = entry->mapping->bytes;
    // As the real handle, it means the allocation's start, wherever in it `pointer` lies.
    out->offset = entry->allocation.base - entry->mapping->base;
    out->fd = entry->mapping->fd;
    out->device = physical_index(entry->allocation.device);
    return Status::ok;
}

Status open_shared_memory(int device, const MemoryShareHandle& handle, void** out) {
    if (out == nullptr || handle.magic != share_magic || handle.offset >= handle.bytes)
        return Status::invalid_value;
    const Status context = ensure_context(device);
    if (context != Status::ok) return context;
    // A process cannot open its own handle: the real driver refuses that too.
    if (handle.pid == static_cast<uint64_t>(getpid())) return Status::invalid_context;
    if (node_of(handle.device) != own_node()) {
        log_once("IPC memory of GPU %d is on node %d, out of reach for node %d", handle.device,
                 node_of(handle.device), own_node());
        return Status::map_failed;
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/%llu/fd/%d", static_cast<unsigned long long>(handle.pid), handle.fd);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        log_once(
            "cannot open the IPC memory of process %llu (%s); it has ended, or belongs to another user or "
            "container",
            static_cast<unsigned long long>(handle.pid), strerror(errno));
        return Status::map_failed;
    }
    void* const base = mmap(nullptr, handle.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (base == MAP_FAILED) {
        close(fd);
        return Status::map_failed;
    }
    auto* const mapping = new Mapping;
    mapping->base = reinterpret_cast<uintptr_t>(base);
    mapping->bytes = handle.bytes;
    mapping->device = device;
    mapping->fd = fd;
    MemoryTable& table = memory_table();
    const std::lock_guard lock(table.mutex);
    table.mappings[mapping->base] = mapping;
    TableEntry entry;
    entry.allocation = {mapping->base + handle.offset, handle.bytes - handle.offset, device,
                        MemoryKind::imported, next_allocation_id()};
    entry.mapping = mapping;
    insert_entry(table, entry);
    *out = reinterpret_cast<void*>(entry.allocation.base);
    return Status::ok;
}

Status close_shared_memory(void* pointer) {
    MemoryTable& table = memory_table();
    const std::lock_guard lock(table.mutex);
    const auto found = table.entries.find(reinterpret_cast<uintptr_t>(pointer));
    if (found == table.entries.end() || found->second.allocation.kind != MemoryKind::imported)
        return Status::invalid_value;
    Mapping* const mapping = found->second.mapping;
    table.entries.erase(found);
    table.mappings.erase(mapping->base);
    munmap(reinterpret_cast<void*>(mapping->base), mapping->bytes);
    close(mapping->fd);
    delete mapping;
    return Status::ok;
}

bool shared_place(const void* pointer, uint64_t* file, uint64_t* offset) {
    int fd = -1;
    {
        MemoryTable& table = memory_table();
        const std::lock_guard lock(table.mutex);
        const TableEntry* const entry = find_entry(table, pointer);
        if (entry == nullptr) return false;
        if (entry->mapping != nullptr) {
            fd = entry->mapping->fd;
            *offset = reinterpret_cast<uintptr_t>(pointer) - entry->mapping->base;
        }
    }
    if (fd < 0) fd = physical_file_at(pointer, offset);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) return false;
    *file = status.st_ino;
    return true;
}

}  // namespace revati::device
