#include "device/graph.h"

#include <algorithm>
#include <atomic>
#include <map>

namespace revati::device {
namespace {

void link(GraphNode* from, GraphNode* to) {
    if (std::find(to->dependencies.begin(), to->dependencies.end(), from) != to->dependencies.end()) return;
    to->dependencies.push_back(from);
    from->dependents.push_back(to);
}

void rebase_args(GraphNode* node, const GraphNode& original) {
    for (size_t index = 0; index < original.args.size(); ++index) {
        const auto offset = static_cast<const uint8_t*>(original.args[index]) - original.arg_storage.data();
        node->args[index] = node->arg_storage.data() + offset;
    }
}

GraphNode copy_payload(const GraphNode& original) {
    GraphNode node;
    node.kind = original.kind;
    node.kernel = original.kernel;
    node.config = original.config;
    node.arg_storage = original.arg_storage;
    node.args = original.args;
    rebase_args(&node, original);
    node.joint = original.joint;
    node.label = original.label;
    node.duration = original.duration;
    node.description = original.description;
    node.dynamic = original.dynamic;
    node.destination = original.destination;
    node.source = original.source;
    node.bytes = original.bytes;
    node.height = original.height;
    node.destination_pitch = original.destination_pitch;
    node.source_pitch = original.source_pitch;
    node.value = original.value;
    node.element_bytes = original.element_bytes;
    node.function = original.function;
    node.user = original.user;
    node.event = original.event;
    if (original.child != nullptr) {
        Graph* child = nullptr;
        clone_graph(original.child.get(), &child);
        node.child.reset(child);
    }
    return node;
}

}  // namespace

Status create_graph(Graph** out) {
    static std::atomic<uint64_t> next_id{1};
    *out = new Graph;
    (*out)->id = next_id.fetch_add(1);
    return Status::ok;
}

Status destroy_graph(Graph* graph) {
    delete graph;
    return Status::ok;
}

Status clone_graph(const Graph* graph, Graph** out) {
    create_graph(out);
    std::map<const GraphNode*, GraphNode*> copies;
    for (const auto& node : graph->nodes) {
        GraphNode* copy = nullptr;
        add_node(*out, copy_payload(*node), nullptr, 0, &copy);
        copies[node.get()] = copy;
    }
    for (const auto& node : graph->nodes) {
        for (GraphNode* const dependency : node->dependencies) link(copies[dependency], copies[node.get()]);
    }
    return Status::ok;
}

Status add_node(Graph* graph, GraphNode&& prototype, GraphNode* const* dependencies, size_t count,
                GraphNode** out) {
    for (size_t index = 0; index < count; ++index) {
        if (dependencies[index] == nullptr || dependencies[index]->graph != graph)
            return Status::invalid_value;
    }
    // Moving a vector keeps its storage, so that pointers into arg_storage stay valid.
    auto node = std::make_unique<GraphNode>(std::move(prototype));
    node->graph = graph;
    node->id = graph->nodes.size();
    for (size_t index = 0; index < count; ++index) link(dependencies[index], node.get());
    *out = node.get();
    graph->nodes.push_back(std::move(node));
    return Status::ok;
}

Status add_edges(Graph* graph, GraphNode* const* from, GraphNode* const* to, size_t count) {
    for (size_t index = 0; index < count; ++index) {
        if (from[index]->graph != graph || to[index]->graph != graph || from[index] == to[index])
            return Status::invalid_value;
        link(from[index], to[index]);
    }
    return Status::ok;
}

}  // namespace revati::device
