#include "placement.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <string>

#include "../scheduling.h"

namespace revati::clock {
namespace {

constexpr int most_groups_on_a_cpu = 64;
constexpr uint32_t fewest_cpus_for_fifo = 4;

cpu_set_t allowed_cpus() {
    cpu_set_t set;
    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof set, &set);
    return set;
}

bool set_class(int32_t tid, int policy, int priority) {
    const sched_param parameters = {priority};
    return sched_setscheduler(tid, policy | SCHED_RESET_ON_FORK, &parameters) == 0;
}

bool may_use_fifo() {
    const bool may = set_class(0, SCHED_FIFO, member_priority);
    if (may) set_class(0, SCHED_OTHER, 0);
    return may;
}

// An abstract socket's name is ours until it is closed or this process ends, however it ends, and leaves no
// file behind. It is never listened on. Negative: somebody else has it.
int claim(const std::string& what) {
    // Tests keep out of each other's way.
    const char* prefix = getenv("REVATI_CLOCK_CLAIMS");
    const std::string name = std::string(prefix != nullptr ? prefix : "revati") + "-" + what;
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    const size_t length = name.copy(address.sun_path + 1, sizeof address.sun_path - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length);
    if (bind(fd, reinterpret_cast<sockaddr*>(&address), bytes) == 0) return fd;
    close(fd);
    return -1;
}

std::string cpu_name(int cpu) {
    return "cpu-" + std::to_string(cpu);
}
std::string fifo_name(int cpu) {
    return "fifo-" + std::to_string(cpu);
}

// Whoever is not in a real-time class would hardly run there.
bool has_fifo_group(int cpu) {
    const int fd = claim(fifo_name(cpu));
    if (fd >= 0) close(fd);
    return fd < 0;
}

int first_of(const cpu_set_t& set) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(cpu, &set)) return cpu;
    }
    return -1;
}

}  // namespace

Placement::Placement(Page& page, const SessionOptions& options) : page_(page) {
    const bool permitted = options.scheduler != Scheduler::fair && may_use_fifo();
    // Where one thread runs at a time anyway, the others' CPUs are of no use, and waking a thread on another
    // CPU costs ten times as much. In wall mode work that is spread takes less time, and that time counts.
    const bool takes_turns = page.serial != 0 || page.mode == Mode::cpu;
    if (options.scheduler == Scheduler::fifo) {
        if (page.mode == Mode::wall) {
            obstacle_ =
                "--scheduler fifo puts the whole group on one CPU, which in wall mode would make its work "
                "take "
                "longer; use --scheduler fair or another clock mode";
        } else if (!permitted) {
            obstacle_ =
                "--scheduler fifo is not permitted here: it needs CAP_SYS_NICE or a limit on real-time "
                "priority "
                "of at least " +
                std::to_string(member_priority) + " (ulimit -r, rtprio in limits.conf; in a container " +
                "--cap-add SYS_NICE or --ulimit rtprio=" + std::to_string(member_priority) +
                "); get that, or use --scheduler fair";
        }
        fifo_ = true;
    } else {
        // A group that has work leaves nothing of its CPU to anybody else: not unasked, where there are few.
        fifo_ = permitted && takes_turns && options.pin && page.host_cpus >= fewest_cpus_for_fifo;
    }
    one_cpu_ = fifo_ || (takes_turns && options.pin);
}

// Several groups spread: the second one on a CPU comes only when all have one. From the last CPU down: the
// first one, which tends to get the interrupts, is left to everybody else by groups of a real-time class.
void Placement::claim_cpu() {
    const cpu_set_t allowed = allowed_cpus();
    const int left_to_others = fifo_ && page_.host_cpus > 1 ? first_of(allowed) : -1;
    for (int place = 0; place < most_groups_on_a_cpu; ++place) {
        for (int cpu = CPU_SETSIZE - 1; cpu >= 0; --cpu) {
            if (!CPU_ISSET(cpu, &allowed) || cpu == left_to_others || (!fifo_ && has_fifo_group(cpu)))
                continue;
            if (claim(cpu_name(cpu) + "-" + std::to_string(place)) < 0) continue;
            if (fifo_) claim(fifo_name(cpu));
            cpu_ = cpu;
            return;
        }
    }
}

void Placement::take() {
    if (!one_cpu_) return;
    claim_cpu();
    if (cpu_ < 0) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu_, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) return;
    if (fifo_ && !set_class(0, SCHED_FIFO, coordinator_priority)) page_.outsiders.fetch_add(1);
    page_.fifo.store(fifo_ ? 1 : 0);
    page_.cpu_plus_1.store(static_cast<uint32_t>(cpu_) + 1);
    // A thread that is just starting has told its id before it looks where the group is: one of us moves it.
    for (uint32_t i = 0; i < page_.slot_count.load(); ++i) {
        const int32_t tid = page_.slots[i].tid.load();
        if (page_.slots[i].state.load() == State::free || tid == 0) continue;
        const bool moved = sched_setaffinity(tid, sizeof set, &set) == 0 &&
                           (!fifo_ || set_class(tid, SCHED_RR, member_priority));
        if (!moved && errno != ESRCH) page_.outsiders.fetch_add(1);
    }
}

void Placement::check() {
    if (page_.fifo.load() == 0 || page_.outsiders.load() != 0) return;
    for (uint32_t i = 0; i < page_.slot_count.load(); ++i) {
        const int32_t tid = page_.slots[i].tid.load();
        if (page_.slots[i].state.load() == State::free || tid == 0) continue;
        cpu_set_t set;
        if (sched_getaffinity(tid, sizeof set, &set) != 0) continue;
        if (CPU_COUNT(&set) == 1 && CPU_ISSET(cpu_, &set)) continue;
        page_.outsiders.fetch_add(1);
        fprintf(stderr,
                "revati clock: somebody else has moved thread %d to other CPUs; the session goes on without "
                "relying on its real-time priority\n",
                tid);
        return;
    }
}

}  // namespace revati::clock
