#include "device/recording.h"

#include <atomic>
#include <cstring>
#include <deque>
#include <mutex>
#include <new>
#include <unordered_map>

#include "device/device.h"
#include "device/launch_log.h"
#include "device/session.h"
#include "device/trace.h"

namespace revati::device {
namespace {

struct Table {
    std::mutex mutex;
    std::deque<Description> descriptions;  // number - 1
    std::unordered_map<std::string, uint32_t> known;
};

// Never freed: threads may still submit work while the process ends.
Table& table() {
    static auto* const only = new Table;
    return *only;
}
std::atomic<uint32_t> graphs{0};

// Numbers stay what they are, because captured nodes keep them. Another thread may have held the lock.
void free_lock_after_fork() {
    new (&table().mutex) std::mutex;
}

bool start() {
    const bool on = launch_log_on() | tracing();
    if (on) {
        cost::keep_questions(true);
        on_fork_in_child(free_lock_after_fork);
    }
    return on;
}

// What tells descriptions apart, as bytes.
std::string key_of(const Description& description) {
    if (!description.text.empty()) return description.text;
    std::string key(sizeof description.duration.ns + sizeof description.shape.values + 2, '\0');
    char* at = key.data();
    memcpy(at, &description.duration.ns, sizeof description.duration.ns);
    memcpy(at + sizeof description.duration.ns, description.shape.values, sizeof description.shape.values);
    key[key.size() - 2] = static_cast<char>(description.duration.source);
    key[key.size() - 1] = static_cast<char>(description.shape.kind);
    return key + description.label;
}

uint32_t number_of(const cost::Launched& launched, const cost::Duration& duration) {
    const cost::Question question = cost::take_question(duration);
    Description made{launched.name, duration, cost::shape_of(question), {}};
    if (launch_log_on()) made.text = launch_log_text(question, launched);
    std::string key = key_of(made);
    Table& all = table();
    const std::lock_guard<std::mutex> lock(all.mutex);
    const auto next = static_cast<uint32_t>(all.descriptions.size()) + 1;
    const auto [entry, is_new] = all.known.emplace(std::move(key), next);
    if (is_new) all.descriptions.push_back(std::move(made));
    return entry->second;
}

}  // namespace

bool recording() {
    static const bool on = start();
    return on;
}

uint32_t describe_kernel(const Kernel& kernel, const LaunchConfig& config, const cost::Duration& duration) {
    if (!recording()) return 0;
    const uint32_t grid[] = {config.grid.x, config.grid.y, config.grid.z};
    const uint32_t block[] = {config.block.x, config.block.y, config.block.z};
    return number_of({kernel.name.c_str(), grid, block, config.shared_bytes}, duration);
}

uint32_t describe_call(const char* label, const cost::Duration& duration) {
    if (!recording()) return 0;
    return number_of({label, nullptr, nullptr, 0}, duration);
}

const Description* description(uint32_t number) {
    Table& all = table();
    const std::lock_guard<std::mutex> lock(all.mutex);
    return &all.descriptions[number - 1];
}

void record_work(const Stream* stream, uint32_t number, const Instant& end) {
    if (number == 0) return;
    if (launch_log_on()) log_work(stream, number, 0);
    if (tracing()) trace_work(stream, number, end);
}

void record_replay(const Stream* stream, uint32_t* graph, const std::vector<uint32_t>& nodes,
                   const std::vector<ChangedNode>& changed, const ReplayTime& time) {
    if (*graph == 0) *graph = graphs.fetch_add(1) + 1;
    if (launch_log_on()) {
        const uint64_t replay = next_replay();
        size_t next = 0;
        for (uint32_t index = 0; index < nodes.size(); ++index) {
            const bool is_changed = next < changed.size() && changed[next].index == index;
            log_work(stream, is_changed ? changed[next++].number : nodes[index], replay);
        }
    }
    if (tracing()) trace_replay(stream, *graph, nodes, changed, time);
}

}  // namespace revati::device
