#include "watchdog.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cinttypes>
#include <cstring>

namespace revati::clock {
namespace {

std::string read_line(const std::string& path) {
    char text[256] = "";
    FILE* file = fopen(path.c_str(), "re");
    if (file == nullptr) return "?";
    const size_t bytes = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[bytes] = '\0';
    for (size_t i = 0; i < bytes; ++i) {
        if (text[i] == '\n' || text[i] == '\0') text[i] = i + 1 < bytes && text[i] == '\0' ? ' ' : '\0';
    }
    return text;
}

const char* state_name(State state) {
    static constexpr const char* names[] = {"free", "running", "waits", "ready", "in an unknown call",
                                            "ends"};
    return names[static_cast<uint32_t>(state)];
}

const char* mode_name(Mode mode) {
    static constexpr const char* names[] = {"modelled", "cpu", "wall"};
    return names[static_cast<uint32_t>(mode)];
}

std::string thread_path(const Slot& slot, const char* file) {
    return "/proc/" + std::to_string(slot.pid.load()) + "/task/" + std::to_string(slot.tid.load()) + "/" +
           file;
}

}  // namespace

void explain(const Page& page, FILE* out) {
    fprintf(out, "virtual time %.9f s, %d running, %" PRIu64 " releases\n",
            static_cast<double>(page.v_ns.load() - monotonic_origin_ns) * 1e-9, page.running.load(),
            page.epoch.load());
    for (uint32_t i = 0; i < page.slot_count.load(); ++i) {
        const Slot& slot = page.slots[i];
        const State state = slot.state.load();
        if (state == State::free) continue;
        fprintf(out, "  %d/%d %s [%s]: %s", slot.pid.load(), slot.tid.load(),
                read_line("/proc/" + std::to_string(slot.pid.load()) + "/comm").c_str(),
                read_line(thread_path(slot, "comm")).c_str(), state_name(state));
        if (state == State::block || state == State::ready) {
            fprintf(out, " for %s", reason_name(slot.reason.load()));
            if (slot.object.load() != 0) fprintf(out, " 0x%" PRIx64, slot.object.load());
            const int64_t deadline_ns = slot.deadline_ns.load();
            if (deadline_ns != no_deadline)
                fprintf(out, " until %.9f s", static_cast<double>(deadline_ns - monotonic_origin_ns) * 1e-9);
        }
        if (state == State::kernel || state == State::run)
            fprintf(out, " (kernel: %s)", read_line(thread_path(slot, "wchan")).c_str());
        fputc('\n', out);
    }
}

void print_threads(const Page& page, FILE* out) {
    for (uint32_t i = 0; i < page.slot_count.load(); ++i) {
        const Slot& slot = page.slots[i];
        const State state = slot.state.load();
        if (state == State::free) continue;
        const bool waits = state == State::block || state == State::ready;
        fprintf(out,
                "{\"pid\": %d, \"tid\": %d, \"state\": \"%s\", \"waits_for\": \"%s\", \"waits\": %u, "
                "\"client\": %u}\n",
                slot.pid.load(), slot.tid.load(), state_name(state),
                waits ? reason_name(slot.reason.load()) : "", slot.seq.load(),
                page.processes[slot.process.load()].client.load());
    }
}

void end_group(Page& page, const std::string& session, const std::string& why) {
    page.failed.store(1);
    fprintf(stderr, "revati clock: %s; the group ends\n", why.c_str());
    FILE* file = fopen((session + "/fatal.clock").c_str(), "wxe");  // the first reason counts
    if (file != nullptr) {
        fprintf(file, "%s\n", why.c_str());
        explain(page, file);
        fclose(file);
    }
    for (uint32_t i = 0; i < page.process_count.load(); ++i) {
        const Process& process = page.processes[i];
        if (process.used.load() != 0 && process.pid.load() > 1) kill(process.pid.load(), SIGKILL);
    }
}

void print_status(const Page& page, FILE* out) {
    const Counters& c = page.counters;
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    const int64_t real_ns = static_cast<int64_t>(t.tv_sec) * ns_per_s + t.tv_nsec;
    const int64_t v_ns =
        page.armed.load() != 0 && page.mode != Mode::wall ? page.v_ns.load() : real_ns + page.shift_ns.load();
    uint32_t processes = 0;
    uint32_t clients = 0;
    uint32_t threads = 0;
    uint32_t in_unknown_call = 0;
    for (uint32_t i = 0; i < page.process_count.load(); ++i) {
        if (page.processes[i].used.load() == 0) continue;
        ++processes;
        clients += page.processes[i].client.load();
    }
    std::string running;
    for (uint32_t i = 0; i < page.slot_count.load(); ++i) {
        const State state = page.slots[i].state.load();
        if (state == State::free) continue;
        ++threads;
        if (state == State::kernel) ++in_unknown_call;
        if (state == State::run) {
            if (!running.empty()) running += ", ";
            running += "\"" + std::to_string(page.slots[i].pid.load()) + "/" +
                       std::to_string(page.slots[i].tid.load()) + "\"";
        }
    }
    fprintf(out,
            "{\"mode\": \"%s\", \"scheduler\": \"%s\", \"cpu\": %d, \"armed\": %s, \"virtual_s\": %.9f, "
            "\"real_s\": %.6f, \"processes\": %u, "
            "\"threads\": %u, "
            "\"clients\": %u, \"clients_seen\": %u, "
            "\"hold\": %u, \"releases\": %" PRIu64 ", \"jumps\": %" PRIu64 ", \"turns\": %" PRIu64
            ", \"gpu_waits\": %" PRIu64 ", \"payments\": %" PRIu64 ", \"spins\": %" PRIu64
            ", \"rechecks\": %" PRIu64 ", \"proofs\": %" PRIu64 ", \"failed_proofs\": %" PRIu64
            ", \"stat_reads\": %" PRIu64 ", \"proof_ns\": %" PRId64
            ", \"outsiders\": %u, \"unknown_calls\": %" PRIu64
            ", \"in_unknown_call\": %u, \"running\": [%s]}\n",
            mode_name(page.mode), page.fifo.load() != 0 ? "fifo" : "fair",
            static_cast<int>(page.cpu_plus_1.load()) - 1, page.armed.load() != 0 ? "true" : "false",
            static_cast<double>(v_ns - monotonic_origin_ns) * 1e-9,
            static_cast<double>(real_ns - page.real_start_ns) * 1e-9, processes, threads, clients,
            page.clients_seen.load(), page.hold.load(), page.epoch.load(), c.jumps.load(), c.ready.load(),
            c.gpu.load(), c.pay.load(), c.spin.load(), c.rechecks.load(), c.proofs.load(),
            c.failed_proofs.load(), c.stat_reads.load(), c.proof_ns.load(), page.outsiders.load(),
            c.kernel_blocked.load(), in_unknown_call, running.c_str());
}

}  // namespace revati::clock
