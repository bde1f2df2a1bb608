// Building and changing graphs node by node.
#pragma once

#include "cuda/runtime/runtime.h"

namespace revati::cuda::runtime {

// What a new or changed node is to be. Exactly one of the pointers is set, except for an empty node.
struct NodeSpec {
    const cudaKernelNodeParams* kernel = nullptr;
    const cudaMemcpy3DParms* copy = nullptr;
    const cudaMemsetParams* fill = nullptr;
    const cudaHostNodeParams* host = nullptr;
    cudaGraph_t child = nullptr;
    cudaEvent_t record = nullptr;
    cudaEvent_t wait = nullptr;
};

// Adds the node behind `dependencies`.
Status build_node(device::Graph* graph, const cudaGraphNode_t* dependencies, size_t count,
                  const NodeSpec& spec, device::GraphNode** out);
// Gives `node`, which must be of the same kind, a new payload.
Status change_node(device::GraphNode* node, const NodeSpec& spec);

// A copy of `bytes` contiguous bytes in the form of cudaMemcpy3DParms.
cudaMemcpy3DParms linear_copy(void* destination, const void* source, size_t bytes, cudaMemcpyKind kind);

}  // namespace revati::cuda::runtime
