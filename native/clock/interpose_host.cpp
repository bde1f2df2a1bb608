// How many CPUs the host has. Programs size their pools by it, so in modelled time all hosts look alike.
#include <sched.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "interpose.h"
#include "raw.h"
#include "real.h"
#include "slot.h"

namespace revati::clock {
namespace {

// 0: say the truth.
uint32_t modelled_cpus() {
    if (page == nullptr || !armed()) return 0;
    if (page->mode == Mode::modelled) return page->cpus;
    return page->cpu_plus_1.load() != 0 ? page->host_cpus : 0;
}

}  // namespace
}  // namespace revati::clock

using namespace revati::clock;

REVATI_INTERPOSE int sched_getaffinity(pid_t pid, size_t bytes, cpu_set_t* set) noexcept {
    memset(set, 0, bytes);
    const long result = raw_syscall(SYS_sched_getaffinity, pid, static_cast<long>(bytes), to_arg(set));
    if (result < 0) {
        errno = static_cast<int>(-result);
        return -1;
    }
    const uint32_t cpus = modelled_cpus();
    if (cpus == 0) return 0;
    memset(set, 0, bytes);
    for (uint32_t i = 0; i < std::min<size_t>(cpus, bytes * 8); ++i) CPU_SET_S(i, bytes, set);
    return 0;
}

REVATI_INTERPOSE int pthread_getaffinity_np(pthread_t thread, size_t bytes, cpu_set_t* set) noexcept {
    const uint32_t cpus = modelled_cpus();
    if (cpus == 0) return real::pthread_getaffinity_np(thread, bytes, set);
    memset(set, 0, bytes);
    for (uint32_t i = 0; i < std::min<size_t>(cpus, bytes * 8); ++i) CPU_SET_S(i, bytes, set);
    return 0;
}

REVATI_INTERPOSE long sysconf(int name) noexcept {
    const uint32_t cpus = modelled_cpus();
    if (cpus != 0 && (name == _SC_NPROCESSORS_ONLN || name == _SC_NPROCESSORS_CONF)) return cpus;
    return real::sysconf(name);
}

REVATI_INTERPOSE int get_nprocs() noexcept {
    const uint32_t cpus = modelled_cpus();
    return cpus != 0 ? static_cast<int>(cpus) : real::get_nprocs();
}

REVATI_INTERPOSE int get_nprocs_conf() noexcept {
    const uint32_t cpus = modelled_cpus();
    return cpus != 0 ? static_cast<int>(cpus) : real::get_nprocs_conf();
}
