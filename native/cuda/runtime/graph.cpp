// Graphs as a whole: creation, nodes, edges, a drawing.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

#include "cuda/runtime/runtime.h"

using namespace revati;
using namespace revati::cuda;
using namespace revati::cuda::runtime;

namespace {

using device::GraphNode;
using device::NodeKind;

cudaGraphNode_t handle_of(const GraphNode* node) {
    return reinterpret_cast<cudaGraphNode_t>(const_cast<GraphNode*>(node));
}

cudaGraphNodeType type_of(NodeKind kind) {
    switch (kind) {
        case NodeKind::kernel:
        case NodeKind::library:
        case NodeKind::joint:
            return cudaGraphNodeTypeKernel;  // a library's work is kernels, too
        case NodeKind::copy:
            return cudaGraphNodeTypeMemcpy;
        case NodeKind::fill:
            return cudaGraphNodeTypeMemset;
        case NodeKind::host:
            return cudaGraphNodeTypeHost;
        case NodeKind::event_record:
            return cudaGraphNodeTypeEventRecord;
        case NodeKind::event_wait:
            return cudaGraphNodeTypeWaitEvent;
        case NodeKind::child:
            return cudaGraphNodeTypeGraph;
        case NodeKind::empty:
            break;
    }
    return cudaGraphNodeTypeEmpty;
}

// CUDA's way of returning lists: with no array, the length; with one, as many as fit, the rest null, and how
// many there are.
struct ListOut {
    cudaGraphNode_t* nodes;
    size_t* count;
};

cudaError_t return_list(const std::vector<const GraphNode*>& list, const ListOut& out) {
    if (out.count == nullptr) return finish(cudaErrorInvalidValue);
    if (out.nodes == nullptr) {
        *out.count = list.size();
        return cudaSuccess;
    }
    for (size_t index = 0; index < *out.count; ++index)
        out.nodes[index] = index < list.size() ? handle_of(list[index]) : nullptr;
    *out.count = std::min(*out.count, list.size());
    return cudaSuccess;
}

std::vector<const GraphNode*> nodes_of(const device::Graph& graph, bool only_roots) {
    std::vector<const GraphNode*> list;
    for (const auto& node : graph.nodes) {
        if (!only_roots || node->dependencies.empty()) list.push_back(node.get());
    }
    return list;
}

cudaError_t neighbours(cudaGraphNode_t node, const std::vector<GraphNode*> GraphNode::* side,
                       cudaGraphEdgeData* edges, const ListOut& out) {
    if (node == nullptr || out.count == nullptr) return finish(cudaErrorInvalidValue);
    const std::vector<GraphNode*>& list = node_of(node)->*side;
    const cudaError_t error = return_list({list.begin(), list.end()}, out);
    if (error == cudaSuccess && edges != nullptr && out.nodes != nullptr)
        memset(edges, 0, *out.count * sizeof *edges);
    return error;
}

cudaError_t edges_of(cudaGraph_t graph, cudaGraphNode_t* from, cudaGraphNode_t* to, cudaGraphEdgeData* edges,
                     size_t* count) {
    if (graph == nullptr || count == nullptr || (from == nullptr) != (to == nullptr))
        return finish(cudaErrorInvalidValue);
    size_t found = 0;
    const size_t room = from != nullptr ? *count : 0;
    for (const auto& node : graph_of(graph)->nodes) {
        for (const GraphNode* const dependency : node->dependencies) {
            if (found < room) {
                from[found] = handle_of(dependency);
                to[found] = handle_of(node.get());
                if (edges != nullptr) memset(&edges[found], 0, sizeof edges[found]);
            }
            ++found;
        }
    }
    for (size_t index = found; index < room; ++index) from[index] = to[index] = nullptr;
    *count = from != nullptr ? std::min(found, room) : found;
    return cudaSuccess;
}

bool usable_pairs(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to, size_t count) {
    if (graph == nullptr || (count > 0 && (from == nullptr || to == nullptr))) return false;
    for (size_t index = 0; index < count; ++index) {
        if (from[index] == nullptr || to[index] == nullptr) return false;
    }
    return true;
}

bool linked(const GraphNode* from, const GraphNode* to) {
    return std::find(to->dependencies.begin(), to->dependencies.end(), from) != to->dependencies.end();
}

void unlink(GraphNode* from, GraphNode* to) {
    to->dependencies.erase(std::remove(to->dependencies.begin(), to->dependencies.end(), from),
                           to->dependencies.end());
    from->dependents.erase(std::remove(from->dependents.begin(), from->dependents.end(), to),
                           from->dependents.end());
}

cudaError_t add_edges(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                      size_t count) {
    if (!usable_pairs(graph, from, to, count)) return finish(cudaErrorInvalidValue);
    for (size_t index = 0; index < count; ++index) {
        if (linked(node_of(from[index]), node_of(to[index])))
            return finish(cudaErrorInvalidValue);  // it exists already
    }
    return finish(device::add_edges(graph_of(graph), reinterpret_cast<GraphNode* const*>(from),
                                    reinterpret_cast<GraphNode* const*>(to), count));
}

cudaError_t remove_edges(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                         size_t count) {
    if (!usable_pairs(graph, from, to, count)) return finish(cudaErrorInvalidValue);
    for (size_t index = 0; index < count; ++index) {
        if (!linked(node_of(from[index]), node_of(to[index]))) return finish(cudaErrorInvalidValue);
    }
    for (size_t index = 0; index < count; ++index) unlink(node_of(from[index]), node_of(to[index]));
    return cudaSuccess;
}

void draw(const device::Graph& graph, FILE* file) {
    fprintf(file, "digraph graph_%llu {\n", static_cast<unsigned long long>(graph.id));
    for (const auto& node : graph.nodes) {
        static const char* const kinds[] = {"kernel",       "library",    "memcpy", "memset", "host",
                                            "event record", "event wait", "graph",  "empty"};
        const char* const label = node->label != nullptr ? node->label : kinds[static_cast<int>(node->kind)];
        fprintf(file, "  node_%llu [shape=box, label=\"%llu %s\"];\n",
                static_cast<unsigned long long>(node->id), static_cast<unsigned long long>(node->id), label);
        for (const GraphNode* const dependent : node->dependents)
            fprintf(file, "  node_%llu -> node_%llu;\n", static_cast<unsigned long long>(node->id),
                    static_cast<unsigned long long>(dependent->id));
    }
    fputs("}\n", file);
}

}  // namespace

cudaError_t cudaGraphCreate(cudaGraph_t* out, unsigned flags) {
    if (out == nullptr || flags != 0) return finish(cudaErrorInvalidValue);
    if (device::device_count() == 0) return finish(cudaErrorNoDevice);
    device::Graph* graph = nullptr;
    const Status status = device::create_graph(&graph);
    if (status == Status::ok) *out = reinterpret_cast<cudaGraph_t>(graph);
    return finish(status);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    return finish(graph != nullptr ? device::destroy_graph(graph_of(graph)) : Status::invalid_value);
}

cudaError_t cudaGraphClone(cudaGraph_t* out, cudaGraph_t original) {
    if (out == nullptr || original == nullptr) return finish(cudaErrorInvalidValue);
    device::Graph* graph = nullptr;
    const Status status = device::clone_graph(graph_of(original), &graph);
    if (status == Status::ok) *out = reinterpret_cast<cudaGraph_t>(graph);
    return finish(status);
}

cudaError_t cudaGraphNodeFindInClone(cudaGraphNode_t* out, cudaGraphNode_t original, cudaGraph_t clone) {
    if (out == nullptr || original == nullptr || clone == nullptr) return finish(cudaErrorInvalidValue);
    const auto& nodes = graph_of(clone)->nodes;
    const uint64_t id = node_of(original)->id;  // a node's place in its graph, which a clone keeps
    if (id >= nodes.size() || nodes[id]->kind != node_of(original)->kind)
        return finish(cudaErrorInvalidValue);
    *out = handle_of(nodes[id].get());
    return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
    if (graph == nullptr) return finish(cudaErrorInvalidValue);
    return return_list(nodes_of(*graph_of(graph), false), {nodes, count});
}

cudaError_t cudaGraphGetRootNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
    if (graph == nullptr) return finish(cudaErrorInvalidValue);
    return return_list(nodes_of(*graph_of(graph), true), {nodes, count});
}

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
    if (node == nullptr || type == nullptr) return finish(cudaErrorInvalidValue);
    *type = type_of(node_of(node)->kind);
    return cudaSuccess;
}

cudaError_t cudaGraphDestroyNode(cudaGraphNode_t handle) {
    if (handle == nullptr) return finish(cudaErrorInvalidValue);
    GraphNode* const node = node_of(handle);
    auto& nodes = node->graph->nodes;
    for (GraphNode* const other : std::vector<GraphNode*>(node->dependencies)) unlink(other, node);
    for (GraphNode* const other : std::vector<GraphNode*>(node->dependents)) unlink(node, other);
    const auto found =
        std::find_if(nodes.begin(), nodes.end(), [=](const auto& owned) { return owned.get() == node; });
    if (found != nodes.end()) nodes.erase(found);
    for (size_t index = 0; index < nodes.size(); ++index) nodes[index]->id = index;
    return cudaSuccess;
}

cudaError_t cudaGraphDebugDotPrint(cudaGraph_t graph, const char* path, unsigned) {
    if (graph == nullptr || path == nullptr) return finish(cudaErrorInvalidValue);
    FILE* const file = fopen(path, "w");
    if (file == nullptr) return finish(cudaErrorOperatingSystem);
    draw(*graph_of(graph), file);
    fclose(file);
    return cudaSuccess;
}

#if CUDART_VERSION < 13000

cudaError_t cudaGraphGetEdges(cudaGraph_t graph, cudaGraphNode_t* from, cudaGraphNode_t* to, size_t* count) {
    return edges_of(graph, from, to, nullptr, count);
}

cudaError_t cudaGraphGetEdges_v2(cudaGraph_t graph, cudaGraphNode_t* from, cudaGraphNode_t* to,
                                 cudaGraphEdgeData* edges, size_t* count) {
    return edges_of(graph, from, to, edges, count);
}

cudaError_t cudaGraphNodeGetDependencies(cudaGraphNode_t node, cudaGraphNode_t* nodes, size_t* count) {
    return neighbours(node, &GraphNode::dependencies, nullptr, {nodes, count});
}

cudaError_t cudaGraphNodeGetDependencies_v2(cudaGraphNode_t node, cudaGraphNode_t* nodes,
                                            cudaGraphEdgeData* edges, size_t* count) {
    return neighbours(node, &GraphNode::dependencies, edges, {nodes, count});
}

cudaError_t cudaGraphNodeGetDependentNodes(cudaGraphNode_t node, cudaGraphNode_t* nodes, size_t* count) {
    return neighbours(node, &GraphNode::dependents, nullptr, {nodes, count});
}

cudaError_t cudaGraphNodeGetDependentNodes_v2(cudaGraphNode_t node, cudaGraphNode_t* nodes,
                                              cudaGraphEdgeData* edges, size_t* count) {
    return neighbours(node, &GraphNode::dependents, edges, {nodes, count});
}

cudaError_t cudaGraphAddDependencies(cudaGraph_t graph, const cudaGraphNode_t* from,
                                     const cudaGraphNode_t* to, size_t count) {
    return add_edges(graph, from, to, count);
}

cudaError_t cudaGraphAddDependencies_v2(cudaGraph_t graph, const cudaGraphNode_t* from,
                                        const cudaGraphNode_t* to, const cudaGraphEdgeData*, size_t count) {
    return add_edges(graph, from, to, count);
}

cudaError_t cudaGraphRemoveDependencies(cudaGraph_t graph, const cudaGraphNode_t* from,
                                        const cudaGraphNode_t* to, size_t count) {
    return remove_edges(graph, from, to, count);
}

cudaError_t cudaGraphRemoveDependencies_v2(cudaGraph_t graph, const cudaGraphNode_t* from,
                                           const cudaGraphNode_t* to, const cudaGraphEdgeData*,
                                           size_t count) {
    return remove_edges(graph, from, to, count);
}

#else

cudaError_t cudaGraphGetEdges(cudaGraph_t graph, cudaGraphNode_t* from, cudaGraphNode_t* to,
                              cudaGraphEdgeData* edges, size_t* count) {
    return edges_of(graph, from, to, edges, count);
}

cudaError_t cudaGraphNodeGetDependencies(cudaGraphNode_t node, cudaGraphNode_t* nodes,
                                         cudaGraphEdgeData* edges, size_t* count) {
    return neighbours(node, &GraphNode::dependencies, edges, {nodes, count});
}

cudaError_t cudaGraphNodeGetDependentNodes(cudaGraphNode_t node, cudaGraphNode_t* nodes,
                                           cudaGraphEdgeData* edges, size_t* count) {
    return neighbours(node, &GraphNode::dependents, edges, {nodes, count});
}

cudaError_t cudaGraphAddDependencies(cudaGraph_t graph, const cudaGraphNode_t* from,
                                     const cudaGraphNode_t* to, const cudaGraphEdgeData*, size_t count) {
    return add_edges(graph, from, to, count);
}

cudaError_t cudaGraphRemoveDependencies(cudaGraph_t graph, const cudaGraphNode_t* from,
                                        const cudaGraphNode_t* to, const cudaGraphEdgeData*, size_t count) {
    return remove_edges(graph, from, to, count);
}

#endif
