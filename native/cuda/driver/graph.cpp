// Graphs as a whole: made, copied, inspected, instantiated, launched.
#include "cuda/driver/graph.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace revati::driver {
namespace {

using device::GraphNode;
using device::NodeKind;

CUgraphNodeType type_of(NodeKind kind) {
    switch (kind) {
        case NodeKind::kernel:
        case NodeKind::library:
        case NodeKind::joint:
            return CU_GRAPH_NODE_TYPE_KERNEL;  // a library's work is kernels, too
        case NodeKind::copy:
            return CU_GRAPH_NODE_TYPE_MEMCPY;
        case NodeKind::fill:
            return CU_GRAPH_NODE_TYPE_MEMSET;
        case NodeKind::host:
            return CU_GRAPH_NODE_TYPE_HOST;
        case NodeKind::event_record:
            return CU_GRAPH_NODE_TYPE_EVENT_RECORD;
        case NodeKind::event_wait:
            return CU_GRAPH_NODE_TYPE_WAIT_EVENT;
        case NodeKind::child:
            return CU_GRAPH_NODE_TYPE_GRAPH;
        default:
            return CU_GRAPH_NODE_TYPE_EMPTY;
    }
}

// CUDA's way of giving lists: without room, the length; with room, as many as fit, the rest null.
CUresult give_list(const std::vector<const GraphNode*>& list, CUgraphNode* nodes, size_t* count) {
    if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (nodes == nullptr) {
        *count = list.size();
        return CUDA_SUCCESS;
    }
    for (size_t index = 0; index < *count; ++index)
        nodes[index] = index < list.size() ? to_handle(list[index]) : nullptr;
    *count = std::min(*count, list.size());
    return CUDA_SUCCESS;
}

CUresult give_neighbours(CUgraphNode handle, const std::vector<GraphNode*> GraphNode::* side,
                         CUgraphNode* nodes, CUgraphEdgeData* edges, size_t* count) {
    if (handle == nullptr || count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const std::vector<GraphNode*>& list = to_node(handle)->*side;
    CUresult error = give_list({list.begin(), list.end()}, nodes, count);
    if (error == CUDA_SUCCESS && edges != nullptr && nodes != nullptr)
        std::memset(edges, 0, *count * sizeof *edges);
    return error;
}

CUresult give_edges(CUgraph graph, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* edges,
                    size_t* count) {
    if (graph == nullptr || count == nullptr || (from == nullptr) != (to == nullptr))
        return CUDA_ERROR_INVALID_VALUE;
    size_t found = 0, room = from != nullptr ? *count : 0;
    for (const auto& node : to_graph(graph)->nodes) {
        for (const GraphNode* dependency : node->dependencies) {
            if (found < room) {
                from[found] = to_handle(dependency);
                to[found] = to_handle(node.get());
                if (edges != nullptr) std::memset(&edges[found], 0, sizeof *edges);
            }
            ++found;
        }
    }
    for (size_t index = found; index < room; ++index) from[index] = to[index] = nullptr;
    *count = from != nullptr ? std::min(found, room) : found;
    return CUDA_SUCCESS;
}

CUresult add_edges(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, size_t count) {
    if (graph == nullptr || (count > 0 && (from == nullptr || to == nullptr)))
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t index = 0; index < count; ++index) {
        if (from[index] == nullptr || to[index] == nullptr) return CUDA_ERROR_INVALID_VALUE;
        const auto& present = to_node(to[index])->dependencies;
        if (std::find(present.begin(), present.end(), to_node(from[index])) != present.end())
            return CUDA_ERROR_INVALID_VALUE;
    }
    return result(device::add_edges(to_graph(graph), to_nodes(from), to_nodes(to), count));
}

CUresult instantiate(CUgraphExec* out, CUgraph graph, unsigned long long flags) {
    constexpr unsigned long long known = CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH |
                                         CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD |
                                         CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;
    if (out == nullptr || graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if ((flags & ~known) != 0)
        return (flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH) != 0 ? CUDA_ERROR_NOT_SUPPORTED
                                                                        : CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    return result(device::instantiate(to_graph(graph), device::current_device(),
                                      reinterpret_cast<device::GraphExec**>(out)));
}

}  // namespace

REVATI_DRIVER cuGraphCreate(CUgraph* out, unsigned int flags) {
    if (out == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    return result(device::create_graph(reinterpret_cast<device::Graph**>(out)));
}

REVATI_DRIVER cuGraphDestroy(CUgraph graph) {
    return graph == nullptr ? CUDA_ERROR_INVALID_VALUE : result(device::destroy_graph(to_graph(graph)));
}

REVATI_DRIVER cuGraphClone(CUgraph* out, CUgraph original) {
    if (out == nullptr || original == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return result(device::clone_graph(to_graph(original), reinterpret_cast<device::Graph**>(out)));
}

REVATI_DRIVER cuGraphNodeFindInClone(CUgraphNode* out, CUgraphNode original, CUgraph clone) {
    if (out == nullptr || original == nullptr || clone == nullptr) return CUDA_ERROR_INVALID_VALUE;
    // A node's number is its place in its graph, which a clone keeps.
    const auto& nodes = to_graph(clone)->nodes;
    uint64_t place = to_node(original)->id;
    if (place >= nodes.size() || nodes[place]->kind != to_node(original)->kind)
        return CUDA_ERROR_INVALID_VALUE;
    *out = to_handle(nodes[place].get());
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuGraphGetNodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
    std::vector<const GraphNode*> list;
    if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
    for (const auto& node : to_graph(graph)->nodes) list.push_back(node.get());
    return give_list(list, nodes, count);
}

REVATI_DRIVER cuGraphGetRootNodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
    std::vector<const GraphNode*> list;
    if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
    for (const auto& node : to_graph(graph)->nodes) {
        if (node->dependencies.empty()) list.push_back(node.get());
    }
    return give_list(list, nodes, count);
}

REVATI_DRIVER cuGraphNodeGetType(CUgraphNode node, CUgraphNodeType* type) {
    if (node == nullptr || type == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *type = type_of(to_node(node)->kind);
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuGraphGetEdges_v2(CUgraph graph, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* edges,
                                 size_t* count) {
    return give_edges(graph, from, to, edges, count);
}
REVATI_DRIVER cuGraphGetEdges(CUgraph graph, CUgraphNode* from, CUgraphNode* to, size_t* count) {
    return give_edges(graph, from, to, nullptr, count);
}

REVATI_DRIVER cuGraphNodeGetDependencies_v2(CUgraphNode node, CUgraphNode* nodes, CUgraphEdgeData* edges,
                                            size_t* count) {
    return give_neighbours(node, &GraphNode::dependencies, nodes, edges, count);
}
REVATI_DRIVER cuGraphNodeGetDependencies(CUgraphNode node, CUgraphNode* nodes, size_t* count) {
    return give_neighbours(node, &GraphNode::dependencies, nodes, nullptr, count);
}
REVATI_DRIVER cuGraphNodeGetDependentNodes_v2(CUgraphNode node, CUgraphNode* nodes, CUgraphEdgeData* edges,
                                              size_t* count) {
    return give_neighbours(node, &GraphNode::dependents, nodes, edges, count);
}
REVATI_DRIVER cuGraphNodeGetDependentNodes(CUgraphNode node, CUgraphNode* nodes, size_t* count) {
    return give_neighbours(node, &GraphNode::dependents, nodes, nullptr, count);
}

REVATI_DRIVER cuGraphAddDependencies_v2(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                        const CUgraphEdgeData*, size_t count) {
    return add_edges(graph, from, to, count);
}
REVATI_DRIVER cuGraphAddDependencies(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                     size_t count) {
    return add_edges(graph, from, to, count);
}

REVATI_DRIVER cuGraphInstantiateWithFlags(CUgraphExec* out, CUgraph graph, unsigned long long flags) {
    return instantiate(out, graph, flags);
}

REVATI_DRIVER cuGraphInstantiate_v2(CUgraphExec* out, CUgraph graph, CUgraphNode* error_node, char* log,
                                    size_t log_bytes) {
    if (error_node != nullptr) *error_node = nullptr;
    if (log != nullptr && log_bytes > 0) *log = '\0';
    return instantiate(out, graph, 0);
}

REVATI_DRIVER cuGraphInstantiateWithParams(CUgraphExec* out, CUgraph graph,
                                           CUDA_GRAPH_INSTANTIATE_PARAMS* parameters) {
    if (parameters == nullptr) return CUDA_ERROR_INVALID_VALUE;
    parameters->hErrNode_out = nullptr;
    CUresult error = instantiate(out, graph, parameters->flags);
    parameters->result_out =
        error == CUDA_SUCCESS ? CUDA_GRAPH_INSTANTIATE_SUCCESS : CUDA_GRAPH_INSTANTIATE_ERROR;
    return error;
}

REVATI_DRIVER cuGraphExecDestroy(CUgraphExec exec) {
    return exec == nullptr ? CUDA_ERROR_INVALID_VALUE : result(device::destroy_exec(to_exec(exec)));
}

REVATI_DRIVER cuGraphLaunch(CUgraphExec exec, CUstream handle) {
    device::Stream* stream = to_stream(handle);
    if (exec == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return stream == nullptr ? CUDA_ERROR_INVALID_HANDLE
                             : result(device::launch_graph(to_exec(exec), stream));
}

REVATI_DRIVER cuGraphUpload(CUgraphExec exec, CUstream handle) {
    if (exec == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return to_stream(handle) == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS;
}

REVATI_DRIVER cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo* info) {
    if (exec == nullptr || graph == nullptr || info == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *info = CUgraphExecUpdateResultInfo{};
    auto status = device::update_exec(to_exec(exec), to_graph(graph));
    info->result = status == device::Status::ok ? CU_GRAPH_EXEC_UPDATE_SUCCESS
                                                : CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
    return status == device::Status::illegal_state ? CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE : result(status);
}

REVATI_DRIVER cuGraphExecUpdate(CUgraphExec exec, CUgraph graph, CUgraphNode* error_node,
                                CUgraphExecUpdateResult* update) {
    CUgraphExecUpdateResultInfo info;
    if (update == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (error_node != nullptr) *error_node = nullptr;
    CUresult error = cuGraphExecUpdate_v2(exec, graph, &info);
    *update = info.result;
    return error;
}

}  // namespace revati::driver
