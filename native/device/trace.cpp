#include "device/trace.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <deque>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "device/device.h"
#include "device/session.h"
#include "device/trace_file.h"

namespace revati::device {
namespace {

TraceFile* current = nullptr;
std::mutex creation;
thread_local uint32_t thread = 0;

// A record, and those that follow it, with times that may not be known yet.
struct Dated {
    std::vector<TraceRecord> records;
    Instant start, end;
};
// Under the file's lock. Never freed: threads may still submit work while the process ends.
auto& undated = *new std::deque<Dated>;

bool date(Dated* dated) {
    dated->start.resolve();
    dated->end.resolve();
    dated->records.front().values[0] = dated->start.known_ns;
    dated->records.front().values[1] = dated->end.known_ns;
    return dated->start.is_known() && dated->end.is_known();
}

void append_undated(TraceFile* out) {
    while (!undated.empty() && date(&undated.front())) {
        for (const TraceRecord& record : undated.front().records) out->append(record);
        undated.pop_front();
    }
}

void append_dated(Dated&& dated, TraceFile* out) {
    append_undated(out);
    if (!undated.empty() || !date(&dated)) return undated.push_back(std::move(dated));
    for (const TraceRecord& record : dated.records) out->append(record);
}

// The parent's file may be locked by a thread that the child does not have: it is left alone.
void forget_after_fork() {
    current = nullptr;
    undated.clear();
    thread = 0;
    new (&creation) std::mutex;
}

bool start() {
    if (!in_session()) return false;
    const std::string asked_for = std::string(session_directory()) + "/tracing";
    if (access(asked_for.c_str(), F_OK) != 0) return false;
    on_fork_in_child(forget_after_fork);
    return true;
}

TraceFile& file() {
    const std::lock_guard<std::mutex> lock(creation);
    if (current == nullptr) current = new TraceFile;
    return *current;
}

int64_t place(int device) {
    if (thread == 0) thread = static_cast<uint32_t>(syscall(SYS_gettid));
    return static_cast<int64_t>(physical_index(device)) << 32 | thread;
}

}  // namespace

bool tracing() {
    static const bool on = start();
    return on;
}

void trace_work(const Stream* stream, uint32_t number, const Instant& end) {
    Instant start = end;
    start.add(-description(number)->duration.ns);
    TraceRecord record{};
    record.kind = TraceKind::work;
    record.number = number;
    record.values[2] = now_ns();
    record.values[3] = static_cast<int64_t>(stream->id());
    record.values[4] = place(stream->device());
    TraceFile& out = file();
    const std::lock_guard<std::mutex> lock(out.mutex);
    out.need_description(number);
    append_dated({{record}, start, end}, &out);
}

void trace_replay(const Stream* stream, uint32_t graph, const std::vector<uint32_t>& nodes,
                  const std::vector<ChangedNode>& changed, const ReplayTime& time) {
    TraceRecord record{};
    record.kind = TraceKind::replay;
    record.number = graph;
    record.values[2] = now_ns();
    record.values[3] = static_cast<int64_t>(stream->id());
    record.values[4] = place(stream->device());
    record.values[5] = static_cast<int64_t>(changed.size());
    TraceFile& out = file();
    const std::lock_guard<std::mutex> lock(out.mutex);
    out.need_graph(graph, nodes);
    for (const ChangedNode& node : changed) out.need_description(node.number);
    Dated dated{{record}, time.start, time.end};
    for (const ChangedNode& node : changed) {
        TraceRecord part{};
        part.kind = TraceKind::changed;
        part.number = node.number;
        part.values[0] = node.index;
        dated.records.push_back(part);
    }
    append_dated(std::move(dated), &out);
}

void trace_host_call(HostCall call, int64_t start_ns, int64_t end_ns) {
    TraceRecord record{};
    record.kind = TraceKind::host_call;
    record.number = static_cast<uint32_t>(call);
    record.values[0] = start_ns;
    record.values[1] = end_ns;
    record.values[4] = place(0);
    TraceFile& out = file();
    const std::lock_guard<std::mutex> lock(out.mutex);
    out.append(record);
}

void trace_host_wait(int device, int64_t start_ns, int64_t end_ns) {
    TraceRecord record{};
    record.kind = TraceKind::host_wait;
    record.values[0] = start_ns;
    record.values[1] = end_ns;
    record.values[4] = place(device);
    TraceFile& out = file();
    const std::lock_guard<std::mutex> lock(out.mutex);
    append_undated(&out);
    out.append(record);
}

}  // namespace revati::device
