// Building graphs node by node. Work is turned into a node the way capture does it, so that both get the same
// price and keep the same arguments: it is submitted to a private stream that captures into the graph.
#include <map>
#include <mutex>

#include "cuda/driver/copy.h"
#include "cuda/driver/graph.h"

namespace revati::driver {
namespace {

using device::GraphNode;
using device::NodeKind;
using device::Status;

struct PrivateStreams {
    std::mutex mutex;
    std::map<int, device::Stream*> streams;
};

PrivateStreams& private_streams() {
    static auto* instance = new PrivateStreams;
    return *instance;
}

struct Place {
    CUgraphNode* out;
    CUgraph graph;
    const CUgraphNode* dependencies;
    size_t count;
};

CUresult check(const Place& place) {
    if (place.out == nullptr || place.graph == nullptr ||
        (place.dependencies == nullptr && place.count > 0)) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    for (size_t index = 0; index < place.count; ++index) {
        CUgraphNode node = place.dependencies[index];
        if (node == nullptr || to_node(node)->graph != to_graph(place.graph)) return CUDA_ERROR_INVALID_VALUE;
    }
    return require_context();
}

template <typename Work>
CUresult capture_into(const Place& place, Work&& work) {
    if (CUresult error = check(place)) return error;
    std::lock_guard lock(private_streams().mutex);
    int device = device::current_device();
    device::Stream*& stream = private_streams().streams[device];
    Status status = stream != nullptr
                        ? Status::ok
                        : device::create_stream(device, CU_STREAM_NON_BLOCKING, false, 0, &stream);
    if (status == Status::ok)
        status = device::begin_capture(stream, device::CaptureMode::relaxed, to_graph(place.graph));
    if (status != Status::ok) return result(status);
    status = device::update_capture_dependencies(stream, to_nodes(place.dependencies), place.count, true);
    CUresult error = status == Status::ok ? work(stream) : result(status);
    device::CaptureInfo info;
    if (error == CUDA_SUCCESS) error = result(device::capture_info(stream, &info));
    if (error == CUDA_SUCCESS) *place.out = to_handle(info.dependencies->back());
    device::Graph* captured = nullptr;
    Status ended = device::end_capture(stream, &captured);
    return error != CUDA_SUCCESS ? error : result(ended);
}

// Nodes that need no price.
CUresult add_plain(const Place& place, GraphNode&& node) {
    if (CUresult error = check(place)) return error;
    GraphNode* added = nullptr;
    Status status = device::add_node(to_graph(place.graph), std::move(node), to_nodes(place.dependencies),
                                     place.count, &added);
    if (status == Status::ok) *place.out = to_handle(added);
    return result(status);
}

CUresult add_event_node(const Place& place, NodeKind kind, CUevent handle) {
    GraphNode node;
    node.kind = kind;
    node.event = to_event(handle);
    return node.event == nullptr ? CUDA_ERROR_INVALID_HANDLE : add_plain(place, std::move(node));
}

template <typename Parameters>
CUresult add_kernel_node(const Place& place, const Parameters* parameters) {
    if (parameters == nullptr || parameters->func == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return capture_into(place, [&](device::Stream* stream) {
        return cuLaunchKernel(
            parameters->func, parameters->gridDimX, parameters->gridDimY, parameters->gridDimZ,
            parameters->blockDimX, parameters->blockDimY, parameters->blockDimZ, parameters->sharedMemBytes,
            reinterpret_cast<CUstream>(stream), parameters->kernelParams, parameters->extra);
    });
}

}  // namespace

REVATI_DRIVER cuGraphAddKernelNode_v2(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                                      size_t count, const CUDA_KERNEL_NODE_PARAMS* parameters) {
    if (parameters != nullptr && parameters->func == nullptr && parameters->kern != nullptr) {
        CUDA_KERNEL_NODE_PARAMS with_function = *parameters;
        with_function.func = to_function(to_kernel(parameters->kern));
        return add_kernel_node({out, graph, dependencies, count}, &with_function);
    }
    return add_kernel_node({out, graph, dependencies, count}, parameters);
}

REVATI_DRIVER cuGraphAddKernelNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                                   size_t count, const CUDA_KERNEL_NODE_PARAMS_v1* parameters) {
    return add_kernel_node({out, graph, dependencies, count}, parameters);
}

REVATI_DRIVER cuGraphAddMemcpyNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                                   size_t count, const CUDA_MEMCPY3D* box, CUcontext) {
    if (box == nullptr || box->WidthInBytes == 0 || box->Height == 0 || box->Depth == 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (box->Depth > 1) return CUDA_ERROR_NOT_SUPPORTED;  // would be several nodes
    return capture_into({out, graph, dependencies, count},
                        [&](device::Stream* stream) { return copy_box(stream, *box, false); });
}

REVATI_DRIVER cuGraphAddMemsetNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                                   size_t count, const CUDA_MEMSET_NODE_PARAMS* parameters, CUcontext) {
    if (parameters == nullptr || parameters->width == 0 || parameters->height == 0)
        return CUDA_ERROR_INVALID_VALUE;
    unsigned bytes = parameters->elementSize;
    if (bytes != 1 && bytes != 2 && bytes != 4) return CUDA_ERROR_INVALID_VALUE;
    bool gaps = parameters->height > 1 && parameters->pitch != parameters->width * bytes;
    if (gaps) return CUDA_ERROR_NOT_SUPPORTED;  // would be several nodes
    return capture_into({out, graph, dependencies, count}, [&](device::Stream* stream) {
        return result(device::fill(stream, to_pointer(parameters->dst), parameters->value, bytes,
                                   parameters->width * parameters->height, false));
    });
}

REVATI_DRIVER cuGraphAddHostNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                                 size_t count, const CUDA_HOST_NODE_PARAMS* parameters) {
    if (parameters == nullptr || parameters->fn == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return capture_into({out, graph, dependencies, count}, [&](device::Stream* stream) {
        return result(device::call_host(stream, parameters->fn, parameters->userData));
    });
}

REVATI_DRIVER cuGraphAddEmptyNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                                  size_t count) {
    return add_plain({out, graph, dependencies, count}, GraphNode());
}

REVATI_DRIVER cuGraphAddChildGraphNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                                       size_t count, CUgraph child) {
    if (child == nullptr) return CUDA_ERROR_INVALID_VALUE;
    device::Graph* copy = nullptr;
    Status status = device::clone_graph(to_graph(child), &copy);
    if (status != Status::ok) return result(status);
    GraphNode node;
    node.kind = NodeKind::child;
    node.child.reset(copy);
    return add_plain({out, graph, dependencies, count}, std::move(node));
}

REVATI_DRIVER cuGraphChildGraphNodeGetGraph(CUgraphNode node, CUgraph* out) {
    if (node == nullptr || out == nullptr || to_node(node)->kind != NodeKind::child)
        return CUDA_ERROR_INVALID_VALUE;
    *out = reinterpret_cast<CUgraph>(to_node(node)->child.get());
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuGraphAddEventRecordNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                                        size_t count, CUevent event) {
    return add_event_node({out, graph, dependencies, count}, NodeKind::event_record, event);
}

REVATI_DRIVER cuGraphAddEventWaitNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                                      size_t count, CUevent event) {
    return add_event_node({out, graph, dependencies, count}, NodeKind::event_wait, event);
}

REVATI_DRIVER cuGraphEventRecordNodeGetEvent(CUgraphNode node, CUevent* out) {
    if (node == nullptr || out == nullptr || to_node(node)->kind != NodeKind::event_record)
        return CUDA_ERROR_INVALID_VALUE;
    *out = reinterpret_cast<CUevent>(to_node(node)->event);
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuGraphEventWaitNodeGetEvent(CUgraphNode node, CUevent* out) {
    if (node == nullptr || out == nullptr || to_node(node)->kind != NodeKind::event_wait)
        return CUDA_ERROR_INVALID_VALUE;
    *out = reinterpret_cast<CUevent>(to_node(node)->event);
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuGraphKernelNodeGetParams_v2(CUgraphNode handle, CUDA_KERNEL_NODE_PARAMS* out) {
    if (handle == nullptr || out == nullptr || to_node(handle)->kind != NodeKind::kernel)
        return CUDA_ERROR_INVALID_VALUE;
    GraphNode& node = *to_node(handle);
    *out = CUDA_KERNEL_NODE_PARAMS{};
    out->func = to_function(node.kernel);
    out->kern = reinterpret_cast<CUkernel>(node.kernel);
    out->gridDimX = node.config.grid.x, out->gridDimY = node.config.grid.y,
    out->gridDimZ = node.config.grid.z;
    out->blockDimX = node.config.block.x, out->blockDimY = node.config.block.y,
    out->blockDimZ = node.config.block.z;
    out->sharedMemBytes = node.config.shared_bytes;
    // Null where neither an effect nor a model needs the arguments: they are not kept then.
    out->kernelParams = node.args.empty() ? nullptr : node.args.data();
    return CUDA_SUCCESS;
}

}  // namespace revati::driver
