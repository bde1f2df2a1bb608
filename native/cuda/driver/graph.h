// Handles of graphs and their nodes: the same objects as in the runtime.
#pragma once

#include "cuda/common/handles.h"
#include "cuda/driver/api.h"

namespace revati::driver {

inline device::Graph* to_graph(CUgraph handle) {
    return cuda::graph_of(handle);
}
inline device::GraphNode* to_node(CUgraphNode handle) {
    return cuda::node_of(handle);
}
inline device::GraphExec* to_exec(CUgraphExec handle) {
    return cuda::exec_of(handle);
}
inline CUgraphNode to_handle(const device::GraphNode* node) {
    return reinterpret_cast<CUgraphNode>(const_cast<device::GraphNode*>(node));
}
inline device::GraphNode* const* to_nodes(const CUgraphNode* handles) {
    return reinterpret_cast<device::GraphNode* const*>(handles);
}

}  // namespace revati::driver
