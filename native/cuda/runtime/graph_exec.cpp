// Executable graphs: instantiation, launch, update of the whole and of single nodes.
#include <memory>
#include <mutex>
#include <unordered_map>

#include "cuda/runtime/graph_build.h"
#include "device/log.h"

using namespace revati;
using namespace revati::cuda;
using namespace revati::cuda::runtime;

namespace {

using device::Graph;
using device::GraphExec;
using device::GraphNode;

// The device model updates an executable graph only as a whole. Changes of single nodes are collected in a
// copy of the graph that it was made from, which is made when the first such change comes.
struct ExecRecord {
    unsigned long long flags = 0;
    std::unique_ptr<Graph> edited;
};

struct ExecTable {
    std::mutex mutex;
    std::unordered_map<GraphExec*, ExecRecord> records;
};

ExecTable& execs() {
    static auto* const table = new ExecTable;
    return *table;
}

constexpr unsigned long long known_flags =
    cudaGraphInstantiateFlagAutoFreeOnLaunch | cudaGraphInstantiateFlagUpload |
    cudaGraphInstantiateFlagDeviceLaunch | cudaGraphInstantiateFlagUseNodePriority;

cudaError_t instantiate(cudaGraphExec_t* out, cudaGraph_t graph, unsigned long long flags) {
    if (out == nullptr || graph == nullptr || (flags & ~known_flags) != 0)
        return finish(cudaErrorInvalidValue);
    if ((flags & cudaGraphInstantiateFlagDeviceLaunch) != 0)
        return finish(static_cast<cudaError_t>(
            revati_unsupported("runtime", "graphs launched from the device", cudaErrorNotSupported)));
    return on_device([=](int device) {
        GraphExec* exec = nullptr;
        const Status status = device::instantiate(graph_of(graph), device, &exec);
        if (status != Status::ok) return status;
        const std::lock_guard<std::mutex> lock(execs().mutex);
        execs().records[exec] = {flags, nullptr};
        *out = reinterpret_cast<cudaGraphExec_t>(exec);
        return Status::ok;
    });
}

cudaError_t change(cudaGraphExec_t handle, cudaGraphNode_t node, const NodeSpec& spec) {
    if (handle == nullptr || node == nullptr) return finish(cudaErrorInvalidValue);
    const std::lock_guard<std::mutex> lock(execs().mutex);
    ExecRecord& record = execs().records[exec_of(handle)];
    if (record.edited == nullptr) {
        Graph* copy = nullptr;
        const Status status = device::clone_graph(node_of(node)->graph, &copy);
        if (status != Status::ok) return finish(status);
        record.edited.reset(copy);
    }
    const uint64_t place = node_of(node)->id;
    if (place >= record.edited->nodes.size()) return finish(cudaErrorInvalidValue);
    const Status status = change_node(record.edited->nodes[place].get(), spec);
    return finish(status == Status::ok ? device::update_exec(exec_of(handle), record.edited.get()) : status);
}

cudaError_t launch(cudaGraphExec_t exec, cudaStream_t handle) {
    if (exec == nullptr) return finish(cudaErrorInvalidValue);
    return on_stream(handle, [=](Stream* stream) { return device::launch_graph(exec_of(exec), stream); });
}

cudaError_t instantiate_with(cudaGraphExec_t* out, cudaGraph_t graph,
                             cudaGraphInstantiateParams* parameters) {
    if (parameters == nullptr) return finish(cudaErrorInvalidValue);
    parameters->errNode_out = nullptr;
    const cudaError_t error = instantiate(out, graph, parameters->flags);
    parameters->result_out = error == cudaSuccess ? cudaGraphInstantiateSuccess : cudaGraphInstantiateError;
    return error;
}

// Nothing needs to be put on the device before the first launch.
cudaError_t upload(cudaGraphExec_t exec, cudaStream_t handle) {
    if (exec == nullptr) return finish(cudaErrorInvalidValue);
    return on_stream(handle, [](Stream*) { return Status::ok; });
}

}  // namespace

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* out, cudaGraph_t graph, unsigned long long flags) {
    return instantiate(out, graph, flags);
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* out, cudaGraph_t graph, unsigned long long flags) {
    return instantiate(out, graph, flags);
}

cudaError_t cudaGraphInstantiateWithParams(cudaGraphExec_t* out, cudaGraph_t graph,
                                           cudaGraphInstantiateParams* parameters) {
    return instantiate_with(out, graph, parameters);
}

cudaError_t cudaGraphExecGetFlags(cudaGraphExec_t exec, unsigned long long* flags) {
    if (exec == nullptr || flags == nullptr) return finish(cudaErrorInvalidValue);
    const std::lock_guard<std::mutex> lock(execs().mutex);
    const auto found = execs().records.find(exec_of(exec));
    *flags = found != execs().records.end() ? found->second.flags : 0;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
    return launch(exec, stream);
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream) {
    return upload(exec, stream);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    if (exec == nullptr) return finish(cudaErrorInvalidValue);
    {
        const std::lock_guard<std::mutex> lock(execs().mutex);
        execs().records.erase(exec_of(exec));
    }
    return finish(device::destroy_exec(exec_of(exec)));
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph,
                                cudaGraphExecUpdateResultInfo* result) {
    if (exec == nullptr || graph == nullptr) return finish(cudaErrorInvalidValue);
    const Status status = device::update_exec(exec_of(exec), graph_of(graph));
    if (result != nullptr) *result = {cudaGraphExecUpdateSuccess, nullptr, nullptr};
    if (status == Status::ok) {
        Graph* copy = nullptr;
        device::clone_graph(graph_of(graph), &copy);
        const std::lock_guard<std::mutex> lock(execs().mutex);
        execs().records[exec_of(exec)].edited.reset(copy);  // what later changes of single nodes start from
        return cudaSuccess;
    }
    if (result != nullptr)
        result->result = status == Status::illegal_state ? cudaGraphExecUpdateErrorTopologyChanged
                                                         : cudaGraphExecUpdateError;
    return finish(cudaErrorGraphExecUpdateFailure);
}

cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaKernelNodeParams* parameters) {
    if (parameters == nullptr) return finish(cudaErrorInvalidValue);
    NodeSpec spec;
    spec.kernel = parameters;
    return change(exec, node, spec);
}

cudaError_t cudaGraphExecMemcpyNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaMemcpy3DParms* parameters) {
    if (parameters == nullptr) return finish(cudaErrorInvalidValue);
    NodeSpec spec;
    spec.copy = parameters;
    return change(exec, node, spec);
}

cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t exec, cudaGraphNode_t node, void* destination,
                                               const void* source, size_t bytes, cudaMemcpyKind kind) {
    const cudaMemcpy3DParms parameters = linear_copy(destination, source, bytes, kind);
    return cudaGraphExecMemcpyNodeSetParams(exec, node, &parameters);
}

cudaError_t cudaGraphExecMemsetNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaMemsetParams* parameters) {
    if (parameters == nullptr) return finish(cudaErrorInvalidValue);
    NodeSpec spec;
    spec.fill = parameters;
    return change(exec, node, spec);
}

cudaError_t cudaGraphExecHostNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                           const cudaHostNodeParams* parameters) {
    if (parameters == nullptr || parameters->fn == nullptr) return finish(cudaErrorInvalidValue);
    NodeSpec spec;
    spec.host = parameters;
    return change(exec, node, spec);
}

cudaError_t cudaGraphExecChildGraphNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                                 cudaGraph_t child) {
    if (child == nullptr) return finish(cudaErrorInvalidValue);
    NodeSpec spec;
    spec.child = child;
    return change(exec, node, spec);
}

cudaError_t cudaGraphExecEventRecordNodeSetEvent(cudaGraphExec_t exec, cudaGraphNode_t node,
                                                 cudaEvent_t event) {
    if (event == nullptr) return finish(cudaErrorInvalidValue);
    NodeSpec spec;
    spec.record = event;
    return change(exec, node, spec);
}

cudaError_t cudaGraphExecEventWaitNodeSetEvent(cudaGraphExec_t exec, cudaGraphNode_t node,
                                               cudaEvent_t event) {
    if (event == nullptr) return finish(cudaErrorInvalidValue);
    NodeSpec spec;
    spec.wait = event;
    return change(exec, node, spec);
}

// Memory nodes are refused, so that graphs never own memory.

cudaError_t cudaDeviceGraphMemTrim(int device) {
    return finish(check_device(device));
}

cudaError_t cudaDeviceGetGraphMemAttribute(int device, cudaGraphMemAttributeType attribute, void* value) {
    if (value == nullptr || attribute < cudaGraphMemAttrUsedMemCurrent ||
        attribute > cudaGraphMemAttrReservedMemHigh)
        return finish(cudaErrorInvalidValue);
    const Status status = check_device(device);
    if (status == Status::ok) *static_cast<uint64_t*>(value) = 0;
    return finish(status);
}
