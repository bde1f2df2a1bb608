// Graphs: what a capture collects and what a replay does.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cost/features.h"
#include "device/export.h"
#include "device/joint.h"
#include "device/kernel.h"
#include "device/status.h"
#include "device/stream.h"

namespace revati::device {

enum class NodeKind : uint8_t {
    kernel,
    library,
    joint,
    copy,
    fill,
    host,
    event_record,
    event_wait,
    child,
    empty
};

struct GraphNode {
    NodeKind kind = NodeKind::empty;
    uint64_t id = 0;
    Graph* graph = nullptr;
    std::vector<GraphNode*> dependencies;
    std::vector<GraphNode*> dependents;

    // kernel
    Kernel* kernel = nullptr;
    LaunchConfig config;
    std::vector<uint8_t> arg_storage;  // bytes of all kept arguments
    std::vector<void*> args;           // into arg_storage; empty if nothing needs them
    // joint, also a kernel that several ranks launch together
    std::shared_ptr<const JointSet> joint;
    // kernel, library, joint
    const char* label = nullptr;
    cost::Duration duration;
    uint32_t description = 0;  // see recording.h
    bool dynamic = false;      // ask the model again at each replay
    // copy and fill
    void* destination = nullptr;
    const void* source = nullptr;
    size_t bytes = 0, height = 1, destination_pitch = 0, source_pitch = 0;
    uint32_t value = 0;
    size_t element_bytes = 1;
    // host
    HostFunction function = nullptr;
    void* user = nullptr;
    // event_record, event_wait
    Event* event = nullptr;
    // child
    std::unique_ptr<Graph> child;
};

struct Graph {
    std::vector<std::unique_ptr<GraphNode>> nodes;  // in the order of creation, which is a topological one
    uint64_t id = 0;
};

class GraphExec;

REVATI_API Status create_graph(Graph** out);
REVATI_API Status destroy_graph(Graph* graph);
REVATI_API Status clone_graph(const Graph* graph, Graph** out);
// Adds `prototype` (its kind and payload) behind `dependencies`.
REVATI_API Status add_node(Graph* graph, GraphNode&& prototype, GraphNode* const* dependencies, size_t count,
                           GraphNode** out);
REVATI_API Status add_edges(Graph* graph, GraphNode* const* from, GraphNode* const* to, size_t count);
REVATI_API Status instantiate(const Graph* graph, int device, GraphExec** out);
REVATI_API Status destroy_exec(GraphExec* exec);
// Replaces the payload of every node by that of `graph`, which must have the same shape; illegal_state
// otherwise.
REVATI_API Status update_exec(GraphExec* exec, const Graph* graph);
REVATI_API Status launch_graph(GraphExec* exec, Stream* stream);
REVATI_API size_t node_count(const GraphExec* exec);

}  // namespace revati::device
