// Replays. What can be known at instantiation is summed up then, so that a replay costs what its few active
// nodes cost.
#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include "device/device.h"
#include "device/log.h"
#include "device/memory.h"
#include "device/recording.h"
#include "device/stats.h"
#include "device/stream_internal.h"
#include "device/time.h"

namespace revati::device {

class GraphExec {
  public:
    std::unique_ptr<Graph> graph;          // the nodes' payload, our own copy
    std::vector<GraphNode*> order;         // topological
    std::vector<std::vector<int>> before;  // indices into `order` of each node's dependencies
    std::vector<int> active;               // nodes that do something on the host or are priced at each replay
    bool chain = false;                    // every node depends on the one before it and on nothing else
    bool has_dynamic = false;
    bool has_joint = false;
    std::vector<int64_t> before_ns;  // chain: static durations and gaps before each node
    int64_t static_ns =
        0;  // chain: sum over static nodes and gaps; otherwise the critical path if nothing is dynamic
    std::vector<std::pair<cost::Duration, uint64_t>>
        totals;                          // static durations by family and source, with counts
    std::vector<uint32_t> descriptions;  // of `order`
    uint32_t recorded_as = 0;
    int device = 0;
    size_t charged_bytes = 0;
};

namespace {

bool is_active(const GraphNode& node) {
    switch (node.kind) {
        case NodeKind::kernel:
            return node.dynamic || node.kernel->effect != nullptr;
        case NodeKind::library:
        case NodeKind::empty:
            return false;
        default:
            return true;
    }
}

// A child graph takes part as if its nodes stood in its place; here it is flattened with edges from and to
// all of its neighbours.
void flatten(Graph* graph) {
    for (size_t index = 0; index < graph->nodes.size(); ++index) {
        GraphNode* const parent = graph->nodes[index].get();
        if (parent->kind != NodeKind::child || parent->child == nullptr) continue;
        const std::unique_ptr<Graph> child = std::move(parent->child);
        flatten(child.get());
        parent->kind = NodeKind::empty;
        GraphNode exit;
        GraphNode* exit_node = nullptr;
        add_node(graph, std::move(exit), nullptr, 0, &exit_node);
        for (GraphNode* const dependent : parent->dependents) {
            std::replace(dependent->dependencies.begin(), dependent->dependencies.end(), parent, exit_node);
            exit_node->dependents.push_back(dependent);
        }
        parent->dependents.clear();
        for (auto& node : child->nodes) {
            node->graph = graph;
            if (node->dependencies.empty())
                add_edges(graph, &parent, std::vector<GraphNode*>{node.get()}.data(), 1);
            if (node->dependents.empty())
                add_edges(graph, std::vector<GraphNode*>{node.get()}.data(), &exit_node, 1);
            graph->nodes.push_back(std::move(node));
        }
        if (exit_node->dependencies.empty()) add_edges(graph, &parent, &exit_node, 1);
    }
}

// False if the edges form a cycle.
bool sort(GraphExec* exec) {
    std::unordered_map<const GraphNode*, int> position;
    std::vector<size_t> missing;
    std::vector<GraphNode*> ready;
    std::unordered_map<const GraphNode*, size_t> waiting;
    for (const auto& node : exec->graph->nodes) {
        waiting[node.get()] = node->dependencies.size();
        if (node->dependencies.empty()) ready.push_back(node.get());
    }
    for (size_t index = 0; index < ready.size(); ++index) {
        for (GraphNode* const dependent : ready[index]->dependents) {
            if (--waiting[dependent] == 0) ready.push_back(dependent);
        }
    }
    if (ready.size() != exec->graph->nodes.size()) return false;
    exec->order = ready;
    for (size_t index = 0; index < ready.size(); ++index) position[ready[index]] = static_cast<int>(index);
    exec->before.resize(ready.size());
    exec->chain = true;
    for (size_t index = 0; index < ready.size(); ++index) {
        for (const GraphNode* const dependency : ready[index]->dependencies)
            exec->before[index].push_back(position[dependency]);
        const bool follows = index == 0
                                 ? exec->before[0].empty()
                                 : exec->before[index] == std::vector<int>{static_cast<int>(index) - 1};
        exec->chain = exec->chain && follows;
    }
    return true;
}

int64_t critical_path_ns(const GraphExec& exec, const std::vector<int64_t>& durations) {
    const int64_t gap_ns = gpu().graph_kernel_gap_ns;
    std::vector<int64_t> end(durations.size());
    int64_t last = 0;
    for (size_t index = 0; index < durations.size(); ++index) {
        int64_t start = 0;
        for (const int dependency : exec.before[index]) start = std::max(start, end[dependency] + gap_ns);
        end[index] = start + durations[index];
        last = std::max(last, end[index]);
    }
    return last;
}

void summarise(GraphExec* exec) {
    exec->active.clear();
    exec->totals.clear();
    exec->descriptions.clear();
    exec->recorded_as = 0;
    exec->has_dynamic = exec->has_joint = false;
    exec->before_ns.clear();
    std::map<std::pair<int, int>, std::pair<cost::Duration, uint64_t>> totals;
    std::vector<int64_t> durations;
    for (size_t index = 0; index < exec->order.size(); ++index) {
        const GraphNode& node = *exec->order[index];
        if (is_active(node)) exec->active.push_back(static_cast<int>(index));
        exec->descriptions.push_back(node.description);
        exec->has_dynamic = exec->has_dynamic || node.dynamic;
        exec->has_joint = exec->has_joint || node.kind == NodeKind::joint;
        durations.push_back(node.dynamic || node.kind == NodeKind::joint ? 0 : node.duration.ns);
        const bool counted = node.kind != NodeKind::empty && node.kind != NodeKind::host &&
                             node.kind != NodeKind::joint && !node.dynamic && node.event == nullptr;
        if (!counted) continue;
        auto& [total, count] =
            totals[{static_cast<int>(node.duration.family), static_cast<int>(node.duration.source)}];
        const int64_t ns = total.ns + node.duration.ns;
        total = node.duration;
        total.ns = ns;
        ++count;
    }
    for (const auto& entry : totals) exec->totals.push_back(entry.second);
    if (exec->chain) {
        const int64_t gaps = exec->order.empty() ? 0 : static_cast<int64_t>(exec->order.size()) - 1;
        exec->static_ns = gaps * gpu().graph_kernel_gap_ns;
        int64_t before_ns = 0;
        for (const int64_t ns : durations) {
            exec->before_ns.push_back(before_ns);
            before_ns += ns + gpu().graph_kernel_gap_ns;
            exec->static_ns += ns;
        }
    } else if (!exec->has_dynamic && !exec->has_joint) {
        exec->static_ns = critical_path_ns(*exec, durations);
    }
}

void count_totals(const GraphExec& exec) {
    StatsPage& page = stats();
    for (const auto& [duration, count] : exec.totals) {
        StatsPage::Cell& cell =
            page.cells[static_cast<int>(duration.family)][static_cast<int>(duration.source)];
        bump(cell.count, count);
        bump(cell.ns, static_cast<uint64_t>(duration.ns));
    }
    bump(page.graph_launches);
    bump(page.graph_nodes, exec.order.size());
}

struct Replay {
    Stream* stream = nullptr;
    std::vector<std::pair<int, int64_t>> dynamic;  // index of the node, duration
    std::vector<ChangedNode> changed;              // the same nodes, if work is recorded
    // Graphs with joint work: the part of the chain up to the latest of it.
    Instant reached;
    int64_t reached_ns = 0;                // static time before that place
    int64_t dynamic_ns = 0;                // since then
    std::vector<Instant> ends;             // of each node, in graphs that are no chain
    std::vector<const GraphNode*> at_end;  // host functions and event records, which need the replay's times
};

bool touches_bytes(const GraphNode& node) {
    return node.kind == NodeKind::copy || node.kind == NodeKind::fill || node.kind == NodeKind::host ||
           (node.kind == NodeKind::kernel && node.kernel->effect != nullptr);
}

void replay_node(const GraphExec& exec, int index, Replay* replay) {
    const GraphNode& node = *exec.order[index];
    if (touches_bytes(node)) deliver(&StreamAccess::deliveries(replay->stream));
    switch (node.kind) {
        case NodeKind::kernel:
            if (node.kernel->effect != nullptr)
                perform(*node.kernel, node.config, node.args.data(), exec.device, replay->stream);
            if (node.dynamic) {
                const cost::Duration duration =
                    price(*node.kernel, node.config, node.args.empty() ? nullptr : node.args.data());
                count_duration(duration);
                replay->dynamic.emplace_back(index, duration.ns);
                if (recording()) {
                    replay->changed.push_back(
                        {static_cast<uint32_t>(index), describe_kernel(*node.kernel, node.config, duration)});
                }
                replay->dynamic_ns += duration.ns;
            }
            break;
        case NodeKind::copy:
            for (size_t row = 0; row < node.height; ++row) {
                move_bytes(static_cast<char*>(node.destination) + row * node.destination_pitch,
                           static_cast<const char*>(node.source) + row * node.source_pitch, node.bytes);
            }
            break;
        case NodeKind::fill:
            fill_bytes(node.destination, node.value, node.element_bytes, node.bytes);
            break;
        case NodeKind::event_wait:
            hold_until(replay->stream, node.event->load());
            add_deliveries(&StreamAccess::deliveries(replay->stream), node.event->deliveries);
            break;
        case NodeKind::joint:
            break;
        default:
            replay->at_end.push_back(&node);
    }
}

Instant join(const GraphNode& node, const Instant& start, Replay* replay) {
    JointStatus result = JointStatus::ok;
    const Instant end = start_joint(*node.joint, start, &StreamAccess::deliveries(replay->stream), &result);
    if (result != JointStatus::ok)
        log_once("%s in a graph: a rank has ended, or ranks replay different graphs", node.joint->label);
    count_duration(node.duration);
    return end;
}

// The moment at which a replay that began at `start` is over.
Instant replay_chain(const GraphExec& exec, const Instant& start, Replay* replay) {
    replay->reached = start;
    replay->reached_ns = replay->dynamic_ns = 0;
    const auto move_on = [&](int64_t static_ns) {
        replay->reached.add(static_ns - replay->reached_ns + replay->dynamic_ns);
        replay->reached_ns = static_ns;
        replay->dynamic_ns = 0;
    };
    for (const int index : exec.active) {
        replay_node(exec, index, replay);
        if (exec.order[index]->kind != NodeKind::joint) continue;
        move_on(exec.before_ns[index]);
        replay->reached = join(*exec.order[index], replay->reached, replay);
    }
    move_on(exec.static_ns);
    return replay->reached;
}

Instant replay_branches(const GraphExec& exec, const Instant& start, Replay* replay) {
    const int64_t gap_ns = gpu().graph_kernel_gap_ns;
    replay->ends.resize(exec.order.size());
    Instant last = start;
    for (size_t index = 0; index < exec.order.size(); ++index) {
        const GraphNode& node = *exec.order[index];
        Instant begin = start;
        for (const int dependency : exec.before[index]) {
            Instant before = replay->ends[dependency];
            before.add(gap_ns);
            begin.raise(before);
        }
        const size_t priced = replay->dynamic.size();
        if (is_active(node)) replay_node(exec, static_cast<int>(index), replay);
        if (node.kind == NodeKind::joint) {
            begin = join(node, begin, replay);
        } else {
            begin.add(replay->dynamic.size() > priced ? replay->dynamic.back().second
                      : node.dynamic                  ? 0
                                                      : node.duration.ns);
        }
        replay->ends[index] = begin;
        last.raise(begin);
    }
    return last;
}

int64_t replay_ns(const GraphExec& exec, const Replay& replay) {
    if (!exec.has_dynamic) return exec.static_ns;
    if (exec.chain) {
        int64_t total = exec.static_ns;
        for (const auto& entry : replay.dynamic) total += entry.second;
        return total;
    }
    std::vector<int64_t> durations;
    for (const GraphNode* const node : exec.order) durations.push_back(node->duration.ns);
    for (const auto& [index, ns] : replay.dynamic) durations[index] = ns;
    return critical_path_ns(exec, durations);
}

// A graph inside a capture becomes a part of the captured graph.
Status capture_child(const GraphExec& exec, Stream* stream) {
    GraphNode node;
    node.kind = NodeKind::child;
    Graph* child = nullptr;
    clone_graph(exec.graph.get(), &child);
    node.child.reset(child);
    return capture_node(stream, std::move(node));
}

}  // namespace

Status instantiate(const Graph* graph, int device, GraphExec** out) {
    const Status context = ensure_context(device);
    if (context != Status::ok) return context;
    auto exec = std::make_unique<GraphExec>();
    Graph* copy = nullptr;
    clone_graph(graph, &copy);
    exec->graph.reset(copy);
    flatten(copy);
    if (!sort(exec.get())) return Status::invalid_value;
    exec->device = device;
    exec->charged_bytes = exec->order.size() * gpu().graph_node_bytes;
    const Status charged = charge_memory(device, exec->charged_bytes);
    if (charged != Status::ok) return charged;
    summarise(exec.get());
    *out = exec.release();
    return Status::ok;
}

Status destroy_exec(GraphExec* exec) {
    release_memory(exec->device, exec->charged_bytes);
    delete exec;
    return Status::ok;
}

Status update_exec(GraphExec* exec, const Graph* graph) {
    GraphExec next;
    Graph* copy = nullptr;
    clone_graph(graph, &copy);
    next.graph.reset(copy);
    flatten(copy);
    if (!sort(&next) || next.before != exec->before) return Status::illegal_state;
    for (size_t index = 0; index < next.order.size(); ++index) {
        if (next.order[index]->kind != exec->order[index]->kind) return Status::illegal_state;
    }
    exec->graph = std::move(next.graph);
    exec->order = std::move(next.order);
    summarise(exec);
    return Status::ok;
}

Status launch_graph(GraphExec* exec, Stream* stream) {
    const DeviceCall call(HostCall::graph_launch);
    const JointWakes wakes;
    const std::lock_guard<std::mutex> lock(StreamAccess::mutex(stream));
    if (is_capturing(stream)) return capture_child(*exec, stream);
    // Kept from replay to replay: a decode step is one of these, and must not allocate.
    static thread_local Replay replay;
    replay.stream = stream;
    replay.dynamic.clear();
    replay.changed.clear();
    replay.at_end.clear();
    WorkTime work;
    work.latency_ns = gpu().graph_launch_latency_ns;
    work.gap_ns = gpu().kernel_gap_ns;
    Instant start, end;
    if (exec->has_joint) {
        start = start_of(stream, work);
        end = exec->chain ? replay_chain(*exec, start, &replay) : replay_branches(*exec, start, &replay);
        finish_at(stream, end);
    } else {
        for (const int index : exec->active) replay_node(*exec, index, &replay);
        work.duration_ns = replay_ns(*exec, replay);
        start = end = advance(stream, work);
        start.add(-work.duration_ns);
    }
    for (const GraphNode* const node : replay.at_end) {
        if (node->kind == NodeKind::host) schedule_host_call(stream, end, node->function, node->user);
        if (node->kind == NodeKind::event_record) {
            node->event->store(end);
            node->event->deliveries.clear();
            add_deliveries(&node->event->deliveries, StreamAccess::deliveries(stream));
            node->event->recorded = true;
        }
    }
    count_totals(*exec);
    if (recording()) {
        record_replay(stream, &exec->recorded_as, exec->descriptions, replay.changed, {start, end});
    }
    return Status::ok;
}

size_t node_count(const GraphExec* exec) {
    return exec->order.size();
}

}  // namespace revati::device
