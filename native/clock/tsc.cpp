#include "tsc.h"

#include <link.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstring>

namespace revati::clock {
namespace {

constexpr uintptr_t page_bytes = 4096;
// rdtsc; shl $32,%rdx; mov %eax,%eax - and the same length of: xor %eax,%eax; xor %edx,%edx; nop...
constexpr unsigned char reads_counter[] = {0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x89, 0xc0};
constexpr unsigned char reads_zero[] = {0x31, 0xc0, 0x31, 0xd2, 0x90, 0x90, 0x90, 0x90};
static_assert(sizeof reads_counter == sizeof reads_zero);

std::atomic<unsigned long long> libraries_seen{0};

void patch_code(unsigned char* begin, unsigned char* end) {
    const uintptr_t first = reinterpret_cast<uintptr_t>(begin) & ~(page_bytes - 1);
    const size_t bytes = reinterpret_cast<uintptr_t>(end) - first;
    bool writable = false;
    for (unsigned char* at = begin; at + sizeof reads_counter <= end; ++at) {
        at = static_cast<unsigned char*>(
            memmem(at, static_cast<size_t>(end - at), reads_counter, sizeof reads_counter));
        if (at == nullptr) break;
        if (!writable &&
            mprotect(reinterpret_cast<void*>(first), bytes, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
            return;
        writable = true;
        memcpy(at, reads_zero, sizeof reads_zero);
    }
    if (writable) mprotect(reinterpret_cast<void*>(first), bytes, PROT_READ | PROT_EXEC);
}

int patch_library(dl_phdr_info* info, size_t, void*) {
    if (info->dlpi_name == nullptr || strstr(info->dlpi_name, "libzmq") == nullptr) return 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const ElfW(Phdr) & header = info->dlpi_phdr[i];
        if (header.p_type != PT_LOAD || (header.p_flags & PF_X) == 0) continue;
        auto* begin = reinterpret_cast<unsigned char*>(info->dlpi_addr + header.p_vaddr);
        patch_code(begin, begin + header.p_memsz);
    }
    return 0;
}

int count_libraries(dl_phdr_info* info, size_t, void* out) {
    *static_cast<unsigned long long*>(out) = info->dlpi_adds;
    return 1;
}

}  // namespace

void patch_time_stamp_readers() {
    unsigned long long loaded = 0;
    dl_iterate_phdr(count_libraries, &loaded);
    if (libraries_seen.exchange(loaded) == loaded) return;
    dl_iterate_phdr(patch_library, nullptr);
}

}  // namespace revati::clock
