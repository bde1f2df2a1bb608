#include "cuda/runtime/graph_build.h"

#include <mutex>
#include <unordered_map>

#include "cuda/common/attributes.h"
#include "cuda/runtime/copy.h"
#include "cuda/runtime/registration.h"
#include "device/log.h"

namespace revati::cuda::runtime {
namespace {

// Work is turned into a node the way capture does it, so that both get the same price and keep the same
// arguments: it is submitted to a private stream that captures into the graph.
class Builder {
  public:
    template <typename Work>
    Status add(device::Graph* graph, const cudaGraphNode_t* dependencies, size_t count,
               device::GraphNode** out, Work&& work) {
        const std::lock_guard<std::mutex> lock(mutex_);
        Stream* stream = nullptr;
        Status status = private_stream(&stream);
        if (status == Status::ok) status = device::begin_capture(stream, device::CaptureMode::relaxed, graph);
        if (status != Status::ok) return status;
        status = device::update_capture_dependencies(
            stream, reinterpret_cast<device::GraphNode* const*>(dependencies), count, true);
        if (status == Status::ok) status = work(stream);
        device::CaptureInfo info;
        if (status == Status::ok) status = device::capture_info(stream, &info);
        if (status == Status::ok) *out = info.dependencies->back();
        device::Graph* captured = nullptr;
        const Status ended = device::end_capture(stream, &captured);
        return status == Status::ok ? ended : status;
    }

  private:
    Status private_stream(Stream** out) {
        int device = 0;
        const Status ready = ready_device(&device);
        if (ready != Status::ok) return ready;
        Stream*& stream = streams_[device];
        const Status status = stream != nullptr
                                  ? Status::ok
                                  : device::create_stream(device, cudaStreamNonBlocking, false, 0, &stream);
        *out = stream;
        return status;
    }

    std::mutex mutex_;
    std::unordered_map<int, Stream*> streams_;
};

Builder& builder() {
    static auto* const instance = new Builder;
    return *instance;
}

device::Dim3 to_device(const dim3& d) {
    return {d.x, d.y, d.z};
}

Status submit_kernel(Stream* stream, const cudaKernelNodeParams& p) {
    device::Kernel* const kernel = find_kernel(p.func);
    if (kernel == nullptr) return static_cast<Status>(cudaErrorInvalidDeviceFunction);
    if (p.extra != nullptr)
        return static_cast<Status>(revati_unsupported("runtime", "kernel node with `extra` arguments", 801));
    device::LaunchConfig config;
    config.grid = to_device(p.gridDim);
    config.block = to_device(p.blockDim);
    config.shared_bytes = p.sharedMemBytes;
    bool too_large = false;
    const Status status =
        check_geometry(kernel->attributes, config.grid, config.block, p.sharedMemBytes, &too_large);
    return status == Status::ok ? device::launch(stream, kernel, config, p.kernelParams) : status;
}

Status submit_copy(Stream* stream, const cudaMemcpy3DParms& p) {
    Slices slices;
    if (!slices_of(p, &slices))
        return static_cast<Status>(revati_unsupported("runtime", "memcpy node with arrays", 801));
    if (slices.count > 1)
        return static_cast<Status>(revati_unsupported("runtime", "memcpy node with a depth", 801));
    CopyShape shape = slices.first;
    const cudaError_t error = check_copy(shape, p.kind);
    if (error != cudaSuccess) return static_cast<Status>(error);
    if (shape.width == 0 || shape.height == 0 || slices.count == 0) return Status::invalid_value;
    return device::copy_2d(stream, shape.destination, shape.destination_pitch, shape.source,
                           shape.source_pitch, shape.width, shape.height, false);
}

Status submit_fill(Stream* stream, const cudaMemsetParams& p) {
    if (p.elementSize != 1 && p.elementSize != 2 && p.elementSize != 4) return Status::invalid_value;
    if (p.width == 0 || p.height == 0) return Status::invalid_value;
    if (p.height > 1 && p.pitch != p.width * p.elementSize)
        return static_cast<Status>(revati_unsupported("runtime", "memset node with a gap between rows", 801));
    const size_t elements = p.width * p.height;
    const Status status = check_device_range(p.dst, elements * p.elementSize);
    return status == Status::ok ? device::fill(stream, p.dst, p.value, p.elementSize, elements, false)
                                : status;
}

Status submit(Stream* stream, const NodeSpec& spec) {
    if (spec.kernel != nullptr) return submit_kernel(stream, *spec.kernel);
    if (spec.copy != nullptr) return submit_copy(stream, *spec.copy);
    if (spec.fill != nullptr) return submit_fill(stream, *spec.fill);
    return device::call_host(stream, spec.host->fn, spec.host->userData);
}

// Nodes that need no price.
Status add_plain(device::Graph* graph, const cudaGraphNode_t* dependencies, size_t count,
                 const NodeSpec& spec, device::GraphNode** out) {
    device::GraphNode node;
    if (spec.child != nullptr) {
        node.kind = device::NodeKind::child;
        device::Graph* copy = nullptr;
        const Status status = device::clone_graph(graph_of(spec.child), &copy);
        if (status != Status::ok) return status;
        node.child.reset(copy);
    } else if (spec.record != nullptr || spec.wait != nullptr) {
        const cudaEvent_t event = spec.record != nullptr ? spec.record : spec.wait;
        if (!device::is_event(event)) return Status::invalid_handle;
        node.kind = spec.record != nullptr ? device::NodeKind::event_record : device::NodeKind::event_wait;
        node.event = event_of(event);
    }
    return device::add_node(graph, std::move(node), reinterpret_cast<device::GraphNode* const*>(dependencies),
                            count, out);
}

bool valid_dependencies(const device::Graph* graph, const cudaGraphNode_t* dependencies, size_t count) {
    if (dependencies == nullptr && count > 0) return false;
    for (size_t index = 0; index < count; ++index) {
        if (dependencies[index] == nullptr || node_of(dependencies[index])->graph != graph) return false;
        for (size_t other = 0; other < index; ++other) {
            if (dependencies[other] == dependencies[index]) return false;
        }
    }
    return true;
}

// The place of a node in its graph survives, all else is replaced.
void replace_payload(device::GraphNode* node, device::GraphNode&& payload) {
    payload.id = node->id;
    payload.graph = node->graph;
    payload.dependencies = std::move(node->dependencies);
    payload.dependents = std::move(node->dependents);
    *node = std::move(payload);
}

}  // namespace

Status build_node(device::Graph* graph, const cudaGraphNode_t* dependencies, size_t count,
                  const NodeSpec& spec, device::GraphNode** out) {
    if (!valid_dependencies(graph, dependencies, count)) return Status::invalid_value;
    const bool work =
        spec.kernel != nullptr || spec.copy != nullptr || spec.fill != nullptr || spec.host != nullptr;
    if (!work) return add_plain(graph, dependencies, count, spec, out);
    return builder().add(graph, dependencies, count, out,
                         [&](Stream* stream) { return submit(stream, spec); });
}

Status change_node(device::GraphNode* node, const NodeSpec& spec) {
    device::Graph* scratch = nullptr;
    Status status = device::create_graph(&scratch);
    if (status != Status::ok) return status;
    device::GraphNode* made = nullptr;
    status = build_node(scratch, nullptr, 0, spec, &made);
    if (status == Status::ok && made->kind != node->kind) status = Status::invalid_value;
    if (status == Status::ok) replace_payload(node, std::move(*made));
    device::destroy_graph(scratch);
    return status;
}

cudaMemcpy3DParms linear_copy(void* destination, const void* source, size_t bytes, cudaMemcpyKind kind) {
    cudaMemcpy3DParms parameters = {};
    parameters.dstPtr = {destination, bytes, bytes, 1};
    parameters.srcPtr = {const_cast<void*>(source), bytes, bytes, 1};
    parameters.extent = {bytes, 1, 1};
    parameters.kind = kind;
    return parameters;
}

}  // namespace revati::cuda::runtime
