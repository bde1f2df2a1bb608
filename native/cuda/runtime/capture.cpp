// Stream capture.
#include "cuda/runtime/runtime.h"

using namespace revati;
using namespace revati::cuda;
using namespace revati::cuda::runtime;

namespace {

static_assert(static_cast<int>(device::CaptureMode::global) == cudaStreamCaptureModeGlobal, "modes are cast");
static_assert(static_cast<int>(device::CaptureMode::thread_local_) == cudaStreamCaptureModeThreadLocal,
              "modes are cast");
static_assert(static_cast<int>(device::CaptureMode::relaxed) == cudaStreamCaptureModeRelaxed,
              "modes are cast");
static_assert(static_cast<int>(device::CaptureState::none) == cudaStreamCaptureStatusNone, "states are cast");
static_assert(static_cast<int>(device::CaptureState::active) == cudaStreamCaptureStatusActive,
              "states are cast");
static_assert(static_cast<int>(device::CaptureState::invalidated) == cudaStreamCaptureStatusInvalidated,
              "states are cast");

bool known_mode(cudaStreamCaptureMode mode) {
    return mode >= cudaStreamCaptureModeGlobal && mode <= cudaStreamCaptureModeRelaxed;
}

bool legacy(cudaStream_t handle) {
    return handle == nullptr || handle == cudaStreamLegacy;
}

struct CaptureOutputs {
    cudaStreamCaptureStatus* status = nullptr;
    unsigned long long* id = nullptr;
    cudaGraph_t* graph = nullptr;
    const cudaGraphNode_t** dependencies = nullptr;
    const cudaGraphEdgeData** edges = nullptr;
    size_t* count = nullptr;
};

cudaError_t query_capture(cudaStream_t handle, const CaptureOutputs& out) {
    if (out.status == nullptr) return finish(cudaErrorInvalidValue);
    return on_stream(handle, [&](Stream* stream) {
        device::CaptureInfo info;
        const Status status = device::capture_info(stream, &info);
        if (status != Status::ok) return status;
        *out.status = static_cast<cudaStreamCaptureStatus>(info.state);
        if (info.state != device::CaptureState::active) return Status::ok;
        if (out.id != nullptr) *out.id = info.id;
        if (out.graph != nullptr) *out.graph = reinterpret_cast<cudaGraph_t>(info.graph);
        const bool any = info.dependencies != nullptr && !info.dependencies->empty();
        if (out.dependencies != nullptr)
            *out.dependencies =
                any ? reinterpret_cast<const cudaGraphNode_t*>(info.dependencies->data()) : nullptr;
        if (out.edges != nullptr) *out.edges = nullptr;  // all edges are full dependencies
        if (out.count != nullptr) *out.count = any ? info.dependencies->size() : 0;
        return Status::ok;
    });
}

cudaError_t update_dependencies(cudaStream_t handle, const cudaGraphNode_t* nodes, size_t count,
                                unsigned flags) {
    if (flags > cudaStreamSetCaptureDependencies || (nodes == nullptr && count > 0))
        return finish(cudaErrorInvalidValue);
    return on_stream(handle, [=](Stream* stream) {
        return device::update_capture_dependencies(stream, reinterpret_cast<device::GraphNode* const*>(nodes),
                                                   count, flags == cudaStreamSetCaptureDependencies);
    });
}

}  // namespace

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
    if (!known_mode(mode)) return finish(cudaErrorInvalidValue);
    if (legacy(handle)) return finish(cudaErrorStreamCaptureUnsupported);
    return on_stream(handle, [=](Stream* stream) {
        return device::begin_capture(stream, static_cast<device::CaptureMode>(mode));
    });
}

cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t handle, cudaGraph_t graph,
                                          const cudaGraphNode_t* dependencies, const cudaGraphEdgeData*,
                                          size_t count, cudaStreamCaptureMode mode) {
    if (!known_mode(mode) || graph == nullptr || (dependencies == nullptr && count > 0))
        return finish(cudaErrorInvalidValue);
    if (legacy(handle)) return finish(cudaErrorStreamCaptureUnsupported);
    return on_stream(handle, [=](Stream* stream) {
        const Status status =
            device::begin_capture(stream, static_cast<device::CaptureMode>(mode), graph_of(graph));
        if (status != Status::ok || count == 0) return status;
        return device::update_capture_dependencies(
            stream, reinterpret_cast<device::GraphNode* const*>(dependencies), count, true);
    });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* out) {
    if (out == nullptr) return finish(cudaErrorInvalidValue);
    *out = nullptr;
    return on_stream(handle, [=](Stream* stream) {
        device::Graph* graph = nullptr;
        const Status status = device::end_capture(stream, &graph);
        *out = reinterpret_cast<cudaGraph_t>(graph);
        return status;
    });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* out) {
    CaptureOutputs outputs;
    outputs.status = out;
    return query_capture(handle, outputs);
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
    if (mode == nullptr || !known_mode(*mode)) return finish(cudaErrorInvalidValue);
    if (device::device_count() == 0) return finish(cudaErrorNoDevice);
    *mode = static_cast<cudaStreamCaptureMode>(
        device::exchange_capture_mode(static_cast<device::CaptureMode>(*mode)));
    return cudaSuccess;
}

#if CUDART_VERSION < 13000

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t handle, cudaStreamCaptureStatus* status,
                                     unsigned long long* id) {
    return query_capture(handle, {status, id});
}

cudaError_t cudaStreamGetCaptureInfo_v2(cudaStream_t handle, cudaStreamCaptureStatus* status,
                                        unsigned long long* id, cudaGraph_t* graph,
                                        const cudaGraphNode_t** dependencies, size_t* count) {
    return query_capture(handle, {status, id, graph, dependencies, nullptr, count});
}

cudaError_t cudaStreamGetCaptureInfo_v3(cudaStream_t handle, cudaStreamCaptureStatus* status,
                                        unsigned long long* id, cudaGraph_t* graph,
                                        const cudaGraphNode_t** dependencies, const cudaGraphEdgeData** edges,
                                        size_t* count) {
    return query_capture(handle, {status, id, graph, dependencies, edges, count});
}

cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t handle, cudaGraphNode_t* nodes, size_t count,
                                                unsigned flags) {
    return update_dependencies(handle, nodes, count, flags);
}

cudaError_t cudaStreamUpdateCaptureDependencies_v2(cudaStream_t handle, cudaGraphNode_t* nodes,
                                                   const cudaGraphEdgeData*, size_t count, unsigned flags) {
    return update_dependencies(handle, nodes, count, flags);
}

#else

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t handle, cudaStreamCaptureStatus* status,
                                     unsigned long long* id, cudaGraph_t* graph,
                                     const cudaGraphNode_t** dependencies, const cudaGraphEdgeData** edges,
                                     size_t* count) {
    return query_capture(handle, {status, id, graph, dependencies, edges, count});
}

cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t handle, cudaGraphNode_t* nodes,
                                                const cudaGraphEdgeData*, size_t count, unsigned flags) {
    return update_dependencies(handle, nodes, count, flags);
}

#endif
