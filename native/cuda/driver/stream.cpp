// Streams, events and captures.
#include <cstring>

#include "cuda/driver/context.h"

namespace revati::driver {
namespace {

constexpr int least_priority = 0;
constexpr int greatest_priority = -5;

device::CaptureMode capture_mode(CUstreamCaptureMode mode) {
    switch (mode) {
        case CU_STREAM_CAPTURE_MODE_THREAD_LOCAL:
            return device::CaptureMode::thread_local_;
        case CU_STREAM_CAPTURE_MODE_RELAXED:
            return device::CaptureMode::relaxed;
        default:
            return device::CaptureMode::global;
    }
}

bool known_mode(CUstreamCaptureMode mode) {
    return mode >= CU_STREAM_CAPTURE_MODE_GLOBAL && mode <= CU_STREAM_CAPTURE_MODE_RELAXED;
}

CUstreamCaptureStatus capture_status(device::CaptureState state) {
    switch (state) {
        case device::CaptureState::active:
            return CU_STREAM_CAPTURE_STATUS_ACTIVE;
        case device::CaptureState::invalidated:
            return CU_STREAM_CAPTURE_STATUS_INVALIDATED;
        default:
            return CU_STREAM_CAPTURE_STATUS_NONE;
    }
}

}  // namespace

REVATI_DRIVER cuStreamCreateWithPriority(CUstream* out, unsigned int flags, int priority) {
    if (out == nullptr || (flags & ~static_cast<unsigned>(CU_STREAM_NON_BLOCKING)) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    bool blocking = (flags & CU_STREAM_NON_BLOCKING) == 0;
    priority = priority > least_priority      ? least_priority
               : priority < greatest_priority ? greatest_priority
                                              : priority;
    return result(device::create_stream(device::current_device(), flags, blocking, priority,
                                        reinterpret_cast<device::Stream**>(out)));
}

REVATI_DRIVER cuStreamCreate(CUstream* out, unsigned int flags) {
    return cuStreamCreateWithPriority(out, flags, 0);
}

REVATI_DRIVER cuStreamDestroy_v2(CUstream handle) {
    device::Stream* stream = to_stream(handle);
    if (stream == nullptr || stream->is_default()) return CUDA_ERROR_INVALID_HANDLE;
    return result(device::destroy_stream(stream));
}

REVATI_DRIVER cuStreamSynchronize(CUstream handle) {
    device::Stream* stream = to_stream(handle);
    return stream == nullptr ? CUDA_ERROR_INVALID_HANDLE : result(device::synchronize(stream));
}

REVATI_DRIVER cuStreamQuery(CUstream handle) {
    device::Stream* stream = to_stream(handle);
    return stream == nullptr ? CUDA_ERROR_INVALID_HANDLE : result(device::query(stream));
}

REVATI_DRIVER cuStreamWaitEvent(CUstream handle, CUevent event_handle, unsigned int flags) {
    device::Stream* stream = to_stream(handle);
    device::Event* event = to_event(event_handle);
    if (flags > CU_EVENT_WAIT_EXTERNAL) return CUDA_ERROR_INVALID_VALUE;
    if (stream == nullptr || event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return result(device::wait_event(stream, event, flags == CU_EVENT_WAIT_EXTERNAL));
}

REVATI_DRIVER cuStreamGetPriority(CUstream handle, int* priority) {
    device::Stream* stream = to_stream(handle);
    if (priority == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *priority = stream->priority();
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuStreamGetFlags(CUstream handle, unsigned int* flags) {
    device::Stream* stream = to_stream(handle);
    if (flags == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *flags = stream->flags();
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuStreamGetId(CUstream handle, unsigned long long* id) {
    device::Stream* stream = to_stream(handle);
    if (id == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *id = stream->id();
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuStreamGetDevice(CUstream handle, CUdevice* device) {
    device::Stream* stream = to_stream(handle);
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *device = stream->device();
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuStreamGetCtx(CUstream handle, CUcontext* context) {
    device::Stream* stream = to_stream(handle);
    if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *context = to_handle(primary_context(stream->device()));
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuStreamGetCtx_v2(CUstream handle, CUcontext* context, CUgreenCtx* green) {
    if (green != nullptr) *green = nullptr;
    return cuStreamGetCtx(handle, context);
}

REVATI_DRIVER cuStreamAddCallback(CUstream handle, CUstreamCallback callback, void* user,
                                  unsigned int flags) {
    struct Call {
        CUstream stream;
        CUstreamCallback callback;
        void* user;
    };
    device::Stream* stream = to_stream(handle);
    if (callback == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    // A replay would call it again, after it is gone: the documentation forbids callbacks in captures.
    device::CaptureInfo info;
    if (device::capture_info(stream, &info) == device::Status::ok &&
        info.state != device::CaptureState::none) {
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    auto* call = new Call{handle, callback, user};
    auto run = [](void* argument) {
        auto* made = static_cast<Call*>(argument);
        made->callback(made->stream, CUDA_SUCCESS, made->user);
        delete made;
    };
    return result(device::call_host(stream, run, call));
}

REVATI_DRIVER cuStreamAttachMemAsync(CUstream handle, CUdeviceptr pointer, size_t, unsigned int) {
    device::Allocation allocation;
    if (to_stream(handle) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    bool managed = device::find_allocation(to_pointer(pointer), &allocation) &&
                   allocation.kind == device::MemoryKind::managed;
    return managed ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

REVATI_DRIVER cuStreamSetAttribute(CUstream handle, CUstreamAttrID attribute,
                                   const CUstreamAttrValue* value) {
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (to_stream(handle) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    switch (attribute) {
        // Hints of cache policy and scheduling: the model of durations has no place for them.
        case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
        case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
        case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
        case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
            return CUDA_SUCCESS;
        default:
            return CUDA_ERROR_NOT_SUPPORTED;
    }
}

REVATI_DRIVER cuStreamGetAttribute(CUstream handle, CUstreamAttrID attribute, CUstreamAttrValue* value) {
    device::Stream* stream = to_stream(handle);
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (attribute != CU_LAUNCH_ATTRIBUTE_PRIORITY) return CUDA_ERROR_NOT_SUPPORTED;
    value->priority = stream->priority();
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuEventCreate(CUevent* out, unsigned int flags) {
    constexpr unsigned known = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;
    bool interprocess = (flags & CU_EVENT_INTERPROCESS) != 0, timing = (flags & CU_EVENT_DISABLE_TIMING) == 0;
    if (out == nullptr || (flags & ~known) != 0 || (interprocess && timing)) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    device::EventOptions options;
    options.timing = timing;
    options.blocking_sync = (flags & CU_EVENT_BLOCKING_SYNC) != 0;
    options.interprocess = interprocess;
    return result(
        device::create_event(device::current_device(), options, reinterpret_cast<device::Event**>(out)));
}

REVATI_DRIVER cuEventDestroy_v2(CUevent handle) {
    device::Event* event = to_event(handle);
    return event == nullptr ? CUDA_ERROR_INVALID_HANDLE : result(device::destroy_event(event));
}

REVATI_DRIVER cuEventRecordWithFlags(CUevent event_handle, CUstream handle, unsigned int flags) {
    device::Stream* stream = to_stream(handle);
    device::Event* event = to_event(event_handle);
    if (flags > CU_EVENT_RECORD_EXTERNAL) return CUDA_ERROR_INVALID_VALUE;
    if (stream == nullptr || event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return result(device::record_event(event, stream, flags == CU_EVENT_RECORD_EXTERNAL));
}

REVATI_DRIVER cuEventRecord(CUevent event, CUstream stream) {
    return cuEventRecordWithFlags(event, stream, CU_EVENT_RECORD_DEFAULT);
}

REVATI_DRIVER cuEventQuery(CUevent handle) {
    device::Event* event = to_event(handle);
    return event == nullptr ? CUDA_ERROR_INVALID_HANDLE : result(device::query_event(event));
}

REVATI_DRIVER cuEventSynchronize(CUevent handle) {
    device::Event* event = to_event(handle);
    return event == nullptr ? CUDA_ERROR_INVALID_HANDLE : result(device::synchronize_event(event));
}

REVATI_DRIVER cuEventElapsedTime_v2(float* milliseconds, CUevent start, CUevent end) {
    if (milliseconds == nullptr) return CUDA_ERROR_INVALID_VALUE;
    device::Event *first = to_event(start), *last = to_event(end);
    if (first == nullptr || last == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return result(device::elapsed_ms(first, last, milliseconds));
}

REVATI_DRIVER cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
    return cuEventElapsedTime_v2(milliseconds, start, end);
}

REVATI_DRIVER cuStreamBeginCapture_v2(CUstream handle, CUstreamCaptureMode mode) {
    device::Stream* stream = to_stream(handle);
    if (!known_mode(mode)) return CUDA_ERROR_INVALID_VALUE;
    return stream == nullptr ? CUDA_ERROR_INVALID_HANDLE
                             : result(device::begin_capture(stream, capture_mode(mode)));
}

REVATI_DRIVER cuStreamBeginCaptureToGraph(CUstream handle, CUgraph graph, const CUgraphNode* dependencies,
                                          const CUgraphEdgeData*, size_t count, CUstreamCaptureMode mode) {
    device::Stream* stream = to_stream(handle);
    if (!known_mode(mode) || graph == nullptr || (count > 0 && dependencies == nullptr))
        return CUDA_ERROR_INVALID_VALUE;
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    auto status = device::begin_capture(stream, capture_mode(mode), reinterpret_cast<device::Graph*>(graph));
    if (status == device::Status::ok && count > 0) {
        auto* nodes = reinterpret_cast<device::GraphNode* const*>(dependencies);
        status = device::update_capture_dependencies(stream, nodes, count, true);
    }
    return result(status);
}

REVATI_DRIVER cuStreamEndCapture(CUstream handle, CUgraph* graph) {
    device::Stream* stream = to_stream(handle);
    if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *graph = nullptr;
    return result(device::end_capture(stream, reinterpret_cast<device::Graph**>(graph)));
}

REVATI_DRIVER cuStreamGetCaptureInfo_v3(CUstream handle, CUstreamCaptureStatus* status, cuuint64_t* id,
                                        CUgraph* graph, const CUgraphNode** dependencies,
                                        const CUgraphEdgeData** edges, size_t* count) {
    device::Stream* stream = to_stream(handle);
    if (status == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    device::CaptureInfo info;
    auto found = device::capture_info(stream, &info);
    if (found != device::Status::ok) return result(found);
    *status = capture_status(info.state);
    if (info.state != device::CaptureState::active) return CUDA_SUCCESS;
    if (id != nullptr) *id = info.id;
    if (graph != nullptr) *graph = reinterpret_cast<CUgraph>(info.graph);
    if (dependencies != nullptr)
        *dependencies = reinterpret_cast<const CUgraphNode*>(info.dependencies->data());
    // No edge of ours carries data: the default one means a full dependency.
    if (edges != nullptr) *edges = nullptr;
    if (count != nullptr) *count = info.dependencies->size();
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuStreamGetCaptureInfo_v2(CUstream handle, CUstreamCaptureStatus* status, cuuint64_t* id,
                                        CUgraph* graph, const CUgraphNode** dependencies, size_t* count) {
    return cuStreamGetCaptureInfo_v3(handle, status, id, graph, dependencies, nullptr, count);
}

REVATI_DRIVER cuStreamGetCaptureInfo(CUstream handle, CUstreamCaptureStatus* status, cuuint64_t* id) {
    return cuStreamGetCaptureInfo_v3(handle, status, id, nullptr, nullptr, nullptr, nullptr);
}

REVATI_DRIVER cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus* status) {
    return cuStreamGetCaptureInfo(handle, status, nullptr);
}

REVATI_DRIVER cuStreamUpdateCaptureDependencies(CUstream handle, CUgraphNode* nodes, size_t count,
                                                unsigned int flags) {
    device::Stream* stream = to_stream(handle);
    if (flags > CU_STREAM_SET_CAPTURE_DEPENDENCIES || (count > 0 && nodes == nullptr))
        return CUDA_ERROR_INVALID_VALUE;
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    auto* list = reinterpret_cast<device::GraphNode* const*>(nodes);
    return result(device::update_capture_dependencies(stream, list, count,
                                                      flags == CU_STREAM_SET_CAPTURE_DEPENDENCIES));
}

REVATI_DRIVER cuStreamUpdateCaptureDependencies_v2(CUstream handle, CUgraphNode* nodes,
                                                   const CUgraphEdgeData*, size_t count, unsigned int flags) {
    return cuStreamUpdateCaptureDependencies(handle, nodes, count, flags);
}

REVATI_DRIVER cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) {
    if (mode == nullptr || !known_mode(*mode)) return CUDA_ERROR_INVALID_VALUE;
    switch (device::exchange_capture_mode(capture_mode(*mode))) {
        case device::CaptureMode::global:
            *mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
            break;
        case device::CaptureMode::thread_local_:
            *mode = CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
            break;
        case device::CaptureMode::relaxed:
            *mode = CU_STREAM_CAPTURE_MODE_RELAXED;
            break;
    }
    return CUDA_SUCCESS;
}

}  // namespace revati::driver
