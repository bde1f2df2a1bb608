// Nodes: adding them, and reading and changing what they do.
#include <cstring>

#include "cuda/runtime/graph_build.h"
#include "cuda/runtime/registration.h"
#include "device/log.h"

using namespace revati;
using namespace revati::cuda;
using namespace revati::cuda::runtime;

namespace {

cudaError_t add(cudaGraphNode_t* out, cudaGraph_t graph, const cudaGraphNode_t* dependencies, size_t count,
                const NodeSpec& spec) {
    if (out == nullptr || graph == nullptr) return finish(cudaErrorInvalidValue);
    device::GraphNode* node = nullptr;
    const Status status = build_node(graph_of(graph), dependencies, count, spec, &node);
    if (status == Status::ok) *out = reinterpret_cast<cudaGraphNode_t>(node);
    return finish(status);
}

cudaError_t change(cudaGraphNode_t node, const NodeSpec& spec) {
    return finish(node != nullptr ? change_node(node_of(node), spec) : Status::invalid_value);
}

// Reads a node if it is of the expected kind.
template <typename Out, typename Read>
cudaError_t read(cudaGraphNode_t node, device::NodeKind kind, Out* out, Read&& fill_out) {
    if (node == nullptr || out == nullptr || node_of(node)->kind != kind)
        return finish(cudaErrorInvalidValue);
    fill_out(*node_of(node));
    return cudaSuccess;
}

// A generic parameter block as a specification; false if its type is not supported.
struct Unpacked {
    cudaKernelNodeParams kernel;
    cudaMemsetParams fill;
    cudaHostNodeParams host;
    NodeSpec spec;
};

bool unpack(const cudaGraphNodeParams& p, Unpacked* out) {
    switch (p.type) {
        case cudaGraphNodeTypeKernel:
            out->kernel = {p.kernel.func,           p.kernel.gridDim,      p.kernel.blockDim,
                           p.kernel.sharedMemBytes, p.kernel.kernelParams, p.kernel.extra};
            out->spec.kernel = &out->kernel;
            return true;
        case cudaGraphNodeTypeMemcpy:
            out->spec.copy = &p.memcpy.copyParams;
            return true;
        case cudaGraphNodeTypeMemset:
            out->fill = {p.memset.dst,         p.memset.pitch, p.memset.value,
                         p.memset.elementSize, p.memset.width, p.memset.height};
            out->spec.fill = &out->fill;
            return true;
        case cudaGraphNodeTypeHost:
            out->host = {p.host.fn, p.host.userData};
            out->spec.host = &out->host;
            return true;
        case cudaGraphNodeTypeGraph:
            out->spec.child = p.graph.graph;
            return true;
        case cudaGraphNodeTypeEmpty:
            return true;
        case cudaGraphNodeTypeWaitEvent:
            out->spec.wait = p.eventWait.event;
            return true;
        case cudaGraphNodeTypeEventRecord:
            out->spec.record = p.eventRecord.event;
            return true;
        default:
            return false;
    }
}

cudaError_t add_generic(cudaGraphNode_t* out, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                        size_t count, const cudaGraphNodeParams* parameters) {
    if (parameters == nullptr) return finish(cudaErrorInvalidValue);
    Unpacked unpacked = {};
    if (!unpack(*parameters, &unpacked))
        return finish(static_cast<cudaError_t>(
            revati_unsupported("runtime", "cudaGraphAddNode of this type", cudaErrorNotSupported)));
    return add(out, graph, dependencies, count, unpacked.spec);
}

}  // namespace

cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* out, cudaGraph_t graph,
                                   const cudaGraphNode_t* dependencies, size_t count,
                                   const cudaKernelNodeParams* parameters) {
    if (parameters == nullptr) return finish(cudaErrorInvalidValue);
    NodeSpec spec;
    spec.kernel = parameters;
    return add(out, graph, dependencies, count, spec);
}

cudaError_t cudaGraphAddMemcpyNode(cudaGraphNode_t* out, cudaGraph_t graph,
                                   const cudaGraphNode_t* dependencies, size_t count,
                                   const cudaMemcpy3DParms* parameters) {
    if (parameters == nullptr) return finish(cudaErrorInvalidValue);
    NodeSpec spec;
    spec.copy = parameters;
    return add(out, graph, dependencies, count, spec);
}

cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t* out, cudaGraph_t graph,
                                     const cudaGraphNode_t* dependencies, size_t count, void* destination,
                                     const void* source, size_t bytes, cudaMemcpyKind kind) {
    const cudaMemcpy3DParms parameters = linear_copy(destination, source, bytes, kind);
    return cudaGraphAddMemcpyNode(out, graph, dependencies, count, &parameters);
}

cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t* out, cudaGraph_t graph,
                                   const cudaGraphNode_t* dependencies, size_t count,
                                   const cudaMemsetParams* parameters) {
    if (parameters == nullptr) return finish(cudaErrorInvalidValue);
    NodeSpec spec;
    spec.fill = parameters;
    return add(out, graph, dependencies, count, spec);
}

cudaError_t cudaGraphAddHostNode(cudaGraphNode_t* out, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                 size_t count, const cudaHostNodeParams* parameters) {
    if (parameters == nullptr || parameters->fn == nullptr) return finish(cudaErrorInvalidValue);
    NodeSpec spec;
    spec.host = parameters;
    return add(out, graph, dependencies, count, spec);
}

cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t* out, cudaGraph_t graph,
                                       const cudaGraphNode_t* dependencies, size_t count, cudaGraph_t child) {
    if (child == nullptr || child == graph) return finish(cudaErrorInvalidValue);
    NodeSpec spec;
    spec.child = child;
    return add(out, graph, dependencies, count, spec);
}

cudaError_t cudaGraphAddEmptyNode(cudaGraphNode_t* out, cudaGraph_t graph,
                                  const cudaGraphNode_t* dependencies, size_t count) {
    return add(out, graph, dependencies, count, NodeSpec());
}

cudaError_t cudaGraphAddEventRecordNode(cudaGraphNode_t* out, cudaGraph_t graph,
                                        const cudaGraphNode_t* dependencies, size_t count,
                                        cudaEvent_t event) {
    if (event == nullptr) return finish(cudaErrorInvalidValue);
    NodeSpec spec;
    spec.record = event;
    return add(out, graph, dependencies, count, spec);
}

cudaError_t cudaGraphAddEventWaitNode(cudaGraphNode_t* out, cudaGraph_t graph,
                                      const cudaGraphNode_t* dependencies, size_t count, cudaEvent_t event) {
    if (event == nullptr) return finish(cudaErrorInvalidValue);
    NodeSpec spec;
    spec.wait = event;
    return add(out, graph, dependencies, count, spec);
}

#if CUDART_VERSION < 13000
cudaError_t cudaGraphAddNode(cudaGraphNode_t* out, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                             size_t count, cudaGraphNodeParams* parameters) {
    return add_generic(out, graph, dependencies, count, parameters);
}

cudaError_t cudaGraphAddNode_v2(cudaGraphNode_t* out, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                const cudaGraphEdgeData*, size_t count, cudaGraphNodeParams* parameters) {
    return add_generic(out, graph, dependencies, count, parameters);
}
#else
cudaError_t cudaGraphAddNode(cudaGraphNode_t* out, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                             const cudaGraphEdgeData*, size_t count, cudaGraphNodeParams* parameters) {
    return add_generic(out, graph, dependencies, count, parameters);
}
#endif

cudaError_t cudaGraphNodeSetParams(cudaGraphNode_t node, cudaGraphNodeParams* parameters) {
    if (parameters == nullptr) return finish(cudaErrorInvalidValue);
    Unpacked unpacked = {};
    return unpack(*parameters, &unpacked) ? change(node, unpacked.spec) : finish(cudaErrorNotSupported);
}

cudaError_t cudaGraphKernelNodeGetParams(cudaGraphNode_t node, cudaKernelNodeParams* out) {
    return read(node, device::NodeKind::kernel, out, [=](device::GraphNode& n) {
        const void* const function = host_function_of(n.kernel);
        out->func = function != nullptr ? const_cast<void*>(function) : n.kernel;
        out->gridDim = dim3(n.config.grid.x, n.config.grid.y, n.config.grid.z);
        out->blockDim = dim3(n.config.block.x, n.config.block.y, n.config.block.z);
        out->sharedMemBytes = n.config.shared_bytes;
        // Arguments are kept only where the replay needs them.
        out->kernelParams = n.args.empty() ? nullptr : n.args.data();
        out->extra = nullptr;
    });
}

cudaError_t cudaGraphKernelNodeSetParams(cudaGraphNode_t node, const cudaKernelNodeParams* parameters) {
    if (parameters == nullptr) return finish(cudaErrorInvalidValue);
    NodeSpec spec;
    spec.kernel = parameters;
    return change(node, spec);
}

cudaError_t cudaGraphMemcpyNodeGetParams(cudaGraphNode_t node, cudaMemcpy3DParms* out) {
    return read(node, device::NodeKind::copy, out, [=](const device::GraphNode& n) {
        *out = linear_copy(n.destination, n.source, n.bytes, cudaMemcpyDefault);
        out->dstPtr = {n.destination, n.destination_pitch, n.bytes, n.height};
        out->srcPtr = {const_cast<void*>(n.source), n.source_pitch, n.bytes, n.height};
        out->extent.height = n.height;
    });
}

cudaError_t cudaGraphMemcpyNodeSetParams(cudaGraphNode_t node, const cudaMemcpy3DParms* parameters) {
    if (parameters == nullptr) return finish(cudaErrorInvalidValue);
    NodeSpec spec;
    spec.copy = parameters;
    return change(node, spec);
}

cudaError_t cudaGraphMemcpyNodeSetParams1D(cudaGraphNode_t node, void* destination, const void* source,
                                           size_t bytes, cudaMemcpyKind kind) {
    const cudaMemcpy3DParms parameters = linear_copy(destination, source, bytes, kind);
    return cudaGraphMemcpyNodeSetParams(node, &parameters);
}

cudaError_t cudaGraphMemsetNodeGetParams(cudaGraphNode_t node, cudaMemsetParams* out) {
    return read(node, device::NodeKind::fill, out, [=](const device::GraphNode& n) {
        *out = {n.destination, n.bytes * n.element_bytes,
                n.value,       static_cast<unsigned>(n.element_bytes),
                n.bytes,       1};
    });
}

cudaError_t cudaGraphMemsetNodeSetParams(cudaGraphNode_t node, const cudaMemsetParams* parameters) {
    if (parameters == nullptr) return finish(cudaErrorInvalidValue);
    NodeSpec spec;
    spec.fill = parameters;
    return change(node, spec);
}

cudaError_t cudaGraphHostNodeGetParams(cudaGraphNode_t node, cudaHostNodeParams* out) {
    return read(node, device::NodeKind::host, out,
                [=](const device::GraphNode& n) { *out = {n.function, n.user}; });
}

cudaError_t cudaGraphHostNodeSetParams(cudaGraphNode_t node, const cudaHostNodeParams* parameters) {
    if (parameters == nullptr || parameters->fn == nullptr) return finish(cudaErrorInvalidValue);
    NodeSpec spec;
    spec.host = parameters;
    return change(node, spec);
}

cudaError_t cudaGraphChildGraphNodeGetGraph(cudaGraphNode_t node, cudaGraph_t* out) {
    return read(node, device::NodeKind::child, out,
                [=](const device::GraphNode& n) { *out = reinterpret_cast<cudaGraph_t>(n.child.get()); });
}

cudaError_t cudaGraphEventRecordNodeGetEvent(cudaGraphNode_t node, cudaEvent_t* out) {
    return read(node, device::NodeKind::event_record, out,
                [=](const device::GraphNode& n) { *out = reinterpret_cast<cudaEvent_t>(n.event); });
}

cudaError_t cudaGraphEventRecordNodeSetEvent(cudaGraphNode_t node, cudaEvent_t event) {
    if (event == nullptr) return finish(cudaErrorInvalidValue);
    NodeSpec spec;
    spec.record = event;
    return change(node, spec);
}

cudaError_t cudaGraphEventWaitNodeGetEvent(cudaGraphNode_t node, cudaEvent_t* out) {
    return read(node, device::NodeKind::event_wait, out,
                [=](const device::GraphNode& n) { *out = reinterpret_cast<cudaEvent_t>(n.event); });
}

cudaError_t cudaGraphEventWaitNodeSetEvent(cudaGraphNode_t node, cudaEvent_t event) {
    if (event == nullptr) return finish(cudaErrorInvalidValue);
    NodeSpec spec;
    spec.wait = event;
    return change(node, spec);
}
