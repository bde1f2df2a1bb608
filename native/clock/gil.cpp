#include "gil.h"

#include <dlfcn.h>
#include <link.h>

#include <atomic>

#include "slot.h"

namespace revati::clock {
namespace {

struct Range {
    uintptr_t low = 0;
    uintptr_t high = 0;
};

// Zero until found; `searched` counts, because a program may load the interpreter late.
std::atomic<uintptr_t> core_low{0};
std::atomic<uintptr_t> core_high{0};
std::atomic<int> searched{0};

int widen(dl_phdr_info* info, size_t, void* argument) {
    auto* wanted = static_cast<Range*>(argument);
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const ElfW(Phdr) & header = info->dlpi_phdr[i];
        const uintptr_t low = info->dlpi_addr + header.p_vaddr;
        if (header.p_type != PT_LOAD || (header.p_flags & PF_X) == 0 || wanted->low < low ||
            wanted->low >= low + header.p_memsz)
            continue;
        *wanted = {low, low + header.p_memsz};
        return 1;
    }
    return 0;
}

void search() {
    const void* symbol = dlsym(RTLD_DEFAULT, "PyEval_SaveThread");
    if (symbol == nullptr) return;
    Range range{reinterpret_cast<uintptr_t>(symbol), 0};
    if (dl_iterate_phdr(widen, &range) == 0) return;
    core_high.store(range.high);
    core_low.store(range.low);
}

}  // namespace

bool is_python_core(const void* caller) {
    if (core_low.load(std::memory_order_relaxed) == 0) {
        if (searched.load(std::memory_order_relaxed) > 64) return false;
        searched.fetch_add(1);
        search();
    }
    const auto address = reinterpret_cast<uintptr_t>(caller);
    return address >= core_low.load(std::memory_order_relaxed) &&
           address < core_high.load(std::memory_order_relaxed);
}

RealLimit gil_limit() {
    // In serial mode the holder runs alone and gives the lock up when it waits. The limit only keeps loops
    // alive that watch memory; it is long, and in CPU time, so that a busy host does not decide who runs.
    if (serial()) return {500'000'000, 2'000'000'000};
    return {5'000'000, 0};
}

}  // namespace revati::clock
