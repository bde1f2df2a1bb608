// A program's own wishes for CPUs and priorities are heard and not followed while the group has a CPU: the
// order in which its threads run is the coordinator's, and its proof relies on their priority.
#include "scheduling.h"

#include <pthread.h>
#include <sched.h>

#include <cerrno>

#include "interpose.h"
#include "raw.h"
#include "real.h"
#include "slot.h"

namespace revati::clock {
namespace {

bool has_place() {
    return page != nullptr && self.slot != nullptr && page->cpu_plus_1.load() != 0;
}

}  // namespace

void follow_scheduling() {
    const uint32_t cpu_plus_1 = page->cpu_plus_1.load();
    if (cpu_plus_1 == 0) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu_plus_1 - 1, &set);
    bool follows = raw_syscall(SYS_sched_setaffinity, 0, sizeof set, to_arg(&set)) >= 0;
    if (page->fifo.load() != 0) {
        const sched_param priority = {member_priority};
        follows =
            raw_syscall(SYS_sched_setscheduler, 0, SCHED_RR | SCHED_RESET_ON_FORK, to_arg(&priority)) == 0 &&
            follows;
    }
    // Started by somebody with fewer rights: from now on the kernel is asked about everybody.
    if (!follows) page->outsiders.fetch_add(1);
}

}  // namespace revati::clock

using namespace revati::clock;

REVATI_INTERPOSE int sched_setaffinity(pid_t pid, size_t bytes, const cpu_set_t* set) noexcept {
    if (has_place()) return 0;
    const long result = raw_syscall(SYS_sched_setaffinity, pid, static_cast<long>(bytes), to_arg(set));
    if (result >= 0) return 0;
    errno = static_cast<int>(-result);
    return -1;
}

REVATI_INTERPOSE int pthread_setaffinity_np(pthread_t thread, size_t bytes, const cpu_set_t* set) noexcept {
    return has_place() ? 0 : real::pthread_setaffinity_np(thread, bytes, set);
}

REVATI_INTERPOSE int sched_setscheduler(pid_t pid, int policy, const sched_param* parameters) noexcept {
    if (has_place()) return 0;
    const long result = raw_syscall(SYS_sched_setscheduler, pid, policy, to_arg(parameters));
    if (result >= 0) return static_cast<int>(result);
    errno = static_cast<int>(-result);
    return -1;
}

REVATI_INTERPOSE int pthread_setschedparam(pthread_t thread, int policy,
                                           const sched_param* parameters) noexcept {
    return has_place() ? 0 : real::pthread_setschedparam(thread, policy, parameters);
}

REVATI_INTERPOSE int sched_getscheduler(pid_t pid) noexcept {
    if (has_place() && page->fifo.load() != 0) return SCHED_OTHER;
    const long result = raw_syscall(SYS_sched_getscheduler, pid);
    if (result >= 0) return static_cast<int>(result);
    errno = static_cast<int>(-result);
    return -1;
}
