#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>

#include "device/log.h"
#include "device/memory.h"
#include "device/memory_table.h"
#include "device/stats.h"

namespace revati::device {
namespace {

// Copies up to this size move real bytes: everything that steers the host is far smaller, and a 141 GB model
// must not become resident. Larger copies that touch device memory take their virtual time and leave the
// destination's bytes as they were.
size_t copy_limit_bytes() {
    static const size_t limit = [] {
        const char* text = std::getenv("REVATI_COPY_LIMIT_BYTES");
        return text != nullptr ? strtoull(text, nullptr, 10) : size_t{4} << 20;
    }();
    return limit;
}

bool is_device_memory(const void* pointer) {
    Allocation allocation;
    if (!find_allocation(pointer, &allocation)) return false;
    return allocation.kind != MemoryKind::pinned && allocation.kind != MemoryKind::registered;
}

bool same_bytes(uint32_t value, size_t element_bytes) {
    return element_bytes == 1 || value == (value & 0xff) * (element_bytes == 2 ? 0x0101u : 0x01010101u);
}

// Zeroing a whole page is giving it back: it reads as zero and costs nothing. Only for private anonymous
// pages of our own.
void zero_bytes(char* destination, size_t bytes) {
    const size_t page_bytes = 4096;
    Allocation allocation;
    const bool own_pages = bytes >= 16 * page_bytes && find_allocation(destination, &allocation) &&
                           allocation.kind == MemoryKind::device;
    if (!own_pages) {
        memset(destination, 0, bytes);
        return;
    }
    const auto start = reinterpret_cast<uintptr_t>(destination);
    const uintptr_t first = round_up(start, page_bytes), last = (start + bytes) / page_bytes * page_bytes;
    memset(destination, 0, first - start);
    // A mapping that another process shares keeps its pages with MADV_DONTNEED, so it is told to drop them
    // from the file.
    if (madvise(reinterpret_cast<void*>(first), last - first, MADV_REMOVE) != 0) {
        madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
    }
    memset(reinterpret_cast<void*>(last), 0, start + bytes - last);
}

}  // namespace

void move_bytes(void* destination, const void* source, size_t bytes) {
    if (bytes > copy_limit_bytes() && (is_device_memory(destination) || is_device_memory(source))) {
        bump(stats().elided_copies);
        return;
    }
    memmove(destination, source, bytes);
}

void give_back_if_clear(const Allocation& allocation) {
    constexpr size_t least_bytes = 16 << 20, most_bytes = size_t{4} << 30;
    if (allocation.kind != MemoryKind::pinned || allocation.bytes < least_bytes ||
        allocation.bytes > most_bytes)
        return;
    static auto* const mutex = new std::mutex;
    static auto* const seen = new std::set<uint64_t>;
    const std::lock_guard<std::mutex> lock(*mutex);
    if (!seen->insert(allocation.id).second) return;
    const auto* const bytes = reinterpret_cast<const char*>(allocation.base);
    if (bytes[0] != 0 || memcmp(bytes, bytes + 1, allocation.bytes - 1) != 0) return;
    madvise(reinterpret_cast<void*>(allocation.base), allocation.bytes, MADV_DONTNEED);
}

void fill_bytes(void* destination, uint32_t value, size_t element_bytes, size_t elements) {
    const size_t bytes = element_bytes * elements;
    if (bytes == 0) return;
    auto* const target = static_cast<char*>(destination);
    if (value == 0) {
        zero_bytes(target, bytes);
    } else if (bytes > copy_limit_bytes()) {
        bump(stats().elided_copies);
    } else if (same_bytes(value, element_bytes)) {
        memset(target, static_cast<int>(value & 0xff), bytes);
    } else {
        for (size_t index = 0; index < elements; ++index)
            memcpy(target + index * element_bytes, &value, element_bytes);
    }
}

}  // namespace revati::device
