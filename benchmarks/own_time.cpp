// Samples where a process spends its CPU time: in Revati's libraries themselves, or in something they called.
//
// Preloaded beside the product and driven through ctypes: own_time_start(), own_time_stop(),
// own_time_read(counts). A sample counts as `self` if the program counter lies in one of our libraries and as
// `called` if one of the topmost words of the stack does, which also takes in the C library's work on our
// behalf (and, at worst, a stale word: the figure is an upper bound).
#include <link.h>
#include <ucontext.h>

#include <csignal>
#include <cstdint>
#include <cstring>
#include <ctime>

namespace {

struct Range {
    uintptr_t start, end;
};
constexpr int max_ranges = 64;
constexpr int stack_words = 48;
Range ranges[max_ranges];
int range_count = 0;
uint64_t total = 0, self = 0, called = 0;
timer_t timer;

bool is_own(const char* path) {
    const char* const name = strrchr(path, '/');
    return strstr(path, "/revati/lib/") != nullptr && name != nullptr && strstr(name, "own_time") == nullptr;
}

int collect(dl_phdr_info* info, size_t, void*) {
    if (!is_own(info->dlpi_name)) return 0;
    for (int index = 0; index < info->dlpi_phnum && range_count < max_ranges; ++index) {
        const ElfW(Phdr) & header = info->dlpi_phdr[index];
        if (header.p_type != PT_LOAD || (header.p_flags & PF_X) == 0) continue;
        const uintptr_t start = info->dlpi_addr + header.p_vaddr;
        ranges[range_count++] = {start, start + header.p_memsz};
    }
    return 0;
}

bool owned(uintptr_t address) {
    for (int index = 0; index < range_count; ++index) {
        if (address >= ranges[index].start && address < ranges[index].end) return true;
    }
    return false;
}

void sample(int, siginfo_t*, void* context) {
    const auto* const registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    ++total;
    if (owned(static_cast<uintptr_t>(registers[REG_RIP]))) {
        ++self;
        return;
    }
    const auto* const stack = reinterpret_cast<const uintptr_t*>(registers[REG_RSP]);
    for (int word = 0; word < stack_words; ++word) {
        if (!owned(stack[word])) continue;
        ++called;
        return;
    }
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) int own_time_start(long interval_us) {
    range_count = 0;
    total = self = called = 0;
    dl_iterate_phdr(collect, nullptr);
    struct sigaction action{};
    action.sa_sigaction = sample;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigaction(SIGPROF, &action, nullptr);
    sigevent event{};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGPROF;
    if (timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer) != 0) return -1;
    const itimerspec period{{0, interval_us * 1000}, {0, interval_us * 1000}};
    return timer_settime(timer, 0, &period, nullptr);
}

__attribute__((visibility("default"))) void own_time_stop() {
    timer_delete(timer);
}

__attribute__((visibility("default"))) void own_time_read(uint64_t out[3]) {
    out[0] = total;
    out[1] = self;
    out[2] = called;
}
}
