// Streams, events, host functions.
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "cuda/runtime/runtime.h"
#include "device/memory.h"

using namespace revati;
using namespace revati::cuda;
using namespace revati::cuda::runtime;

namespace {

// Attributes (access policy, priority, ...) are hints for the hardware: kept to be read back.
struct StreamAttributes {
    std::mutex mutex;
    std::unordered_map<uint64_t, std::unordered_map<int, cudaLaunchAttributeValue>> of_stream;
};

StreamAttributes& stream_attributes() {
    static auto* const attributes = new StreamAttributes;
    return *attributes;
}

bool settable(cudaLaunchAttributeID attribute) {
    return attribute == cudaLaunchAttributeAccessPolicyWindow ||
           attribute == cudaLaunchAttributeSynchronizationPolicy ||
           attribute == cudaLaunchAttributeMemSyncDomainMap ||
           attribute == cudaLaunchAttributeMemSyncDomain || attribute == cudaLaunchAttributePriority;
}

cudaError_t create(cudaStream_t* out, unsigned flags, int priority) {
    if (out == nullptr || (flags & ~cudaStreamNonBlocking) != 0) return finish(cudaErrorInvalidValue);
    return on_device([=](int device) {
        Stream* stream = nullptr;
        const Status status =
            device::create_stream(device, flags, (flags & cudaStreamNonBlocking) == 0, priority, &stream);
        if (status == Status::ok) *out = reinterpret_cast<cudaStream_t>(stream);
        return status;
    });
}

struct Callback {
    cudaStream_t stream;
    cudaStreamCallback_t function;
    void* user;
};

void run_callback(void* opaque) {
    auto* const callback = static_cast<Callback*>(opaque);
    callback->function(callback->stream, cudaSuccess, callback->user);
    delete callback;
}

}  // namespace

cudaError_t cudaStreamCreate(cudaStream_t* out) {
    return create(out, cudaStreamDefault, 0);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* out, unsigned flags) {
    return create(out, flags, 0);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* out, unsigned flags, int priority) {
    constexpr int greatest = -5;  // cudaDeviceGetStreamPriorityRange; values outside are clamped
    return create(out, flags, priority > 0 ? 0 : priority < greatest ? greatest : priority);
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
    if (reinterpret_cast<uintptr_t>(handle) <= 2) return finish(cudaErrorInvalidResourceHandle);
    return on_stream(handle, [](Stream* stream) {
        {
            const std::lock_guard<std::mutex> lock(stream_attributes().mutex);
            stream_attributes().of_stream.erase(stream->id());
        }
        return device::destroy_stream(stream);
    });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
    return on_stream(handle, [](Stream* stream) { return device::synchronize(stream); });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
    Stream* stream = nullptr;
    const Status status = resolve_stream(handle, &stream);
    return finish_query(status == Status::ok ? device::query(stream) : status);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned flags) {
    if ((flags & ~cudaEventWaitExternal) != 0) return finish(cudaErrorInvalidValue);
    return on_stream(handle, [=](Stream* stream) {
        if (!device::is_event(event)) return Status::invalid_handle;
        return device::wait_event(stream, event_of(event), (flags & cudaEventWaitExternal) != 0);
    });
}

cudaError_t cudaStreamGetPriority(cudaStream_t handle, int* priority) {
    if (priority == nullptr) return finish(cudaErrorInvalidValue);
    return on_stream(handle, [=](Stream* stream) {
        *priority = stream->priority();
        return Status::ok;
    });
}

cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned* flags) {
    if (flags == nullptr) return finish(cudaErrorInvalidValue);
    return on_stream(handle, [=](Stream* stream) {
        *flags = stream->flags();
        return Status::ok;
    });
}

cudaError_t cudaStreamGetId(cudaStream_t handle, unsigned long long* id) {
    if (id == nullptr) return finish(cudaErrorInvalidValue);
    return on_stream(handle, [=](Stream* stream) {
        *id = stream->id();
        return Status::ok;
    });
}

cudaError_t cudaStreamGetDevice(cudaStream_t handle, int* device) {
    if (device == nullptr) return finish(cudaErrorInvalidValue);
    return on_stream(handle, [=](Stream* stream) {
        *device = stream->device();
        return Status::ok;
    });
}

cudaError_t cudaStreamSetAttribute(cudaStream_t handle, cudaLaunchAttributeID attribute,
                                   const cudaLaunchAttributeValue* value) {
    if (value == nullptr || !settable(attribute)) return finish(cudaErrorInvalidValue);
    return on_stream(handle, [=](Stream* stream) {
        const std::lock_guard<std::mutex> lock(stream_attributes().mutex);
        stream_attributes().of_stream[stream->id()][attribute] = *value;
        return Status::ok;
    });
}

cudaError_t cudaStreamGetAttribute(cudaStream_t handle, cudaLaunchAttributeID attribute,
                                   cudaLaunchAttributeValue* value) {
    if (value == nullptr || !settable(attribute)) return finish(cudaErrorInvalidValue);
    return on_stream(handle, [=](Stream* stream) {
        const std::lock_guard<std::mutex> lock(stream_attributes().mutex);
        const auto& kept = stream_attributes().of_stream[stream->id()];
        const auto found = kept.find(attribute);
        memset(value, 0, sizeof *value);
        if (found != kept.end())
            *value = found->second;
        else if (attribute == cudaLaunchAttributePriority)
            value->priority = stream->priority();
        else if (attribute == cudaLaunchAttributeSynchronizationPolicy)
            value->syncPolicy = cudaSyncPolicyAuto;
        else if (attribute == cudaLaunchAttributeMemSyncDomainMap)
            value->memSyncDomainMap.remote = 1;
        return Status::ok;
    });
}

cudaError_t cudaStreamCopyAttributes(cudaStream_t destination, cudaStream_t source) {
    return on_stream(destination, [=](Stream* to) {
        Stream* from = nullptr;
        const Status status = resolve_stream(source, &from);
        if (status != Status::ok) return status;
        const std::lock_guard<std::mutex> lock(stream_attributes().mutex);
        const auto copy = stream_attributes().of_stream[from->id()];
        stream_attributes().of_stream[to->id()] = copy;
        return Status::ok;
    });
}

cudaError_t cudaStreamAttachMemAsync(cudaStream_t handle, void* pointer, size_t, unsigned flags) {
    const bool one_kind =
        flags == cudaMemAttachGlobal || flags == cudaMemAttachHost || flags == cudaMemAttachSingle;
    if (pointer == nullptr || !one_kind) return finish(cudaErrorInvalidValue);
    return on_stream(handle, [=](Stream*) {
        device::Allocation allocation;
        const bool managed =
            device::find_allocation(pointer, &allocation) && allocation.kind == device::MemoryKind::managed;
        return managed ? Status::ok : Status::invalid_value;
    });
}

cudaError_t cudaStreamAddCallback(cudaStream_t handle, cudaStreamCallback_t function, void* user,
                                  unsigned flags) {
    if (function == nullptr || flags != 0) return finish(cudaErrorInvalidValue);
    return on_stream(handle, [=](Stream* stream) {
        device::CaptureInfo capture;
        const Status known = device::capture_info(stream, &capture);
        if (known != Status::ok) return known;
        if (capture.state != device::CaptureState::none) return Status::capture_unsupported;
        auto* const callback = new Callback{handle, function, user};
        const Status status = device::call_host(stream, run_callback, callback);
        if (status != Status::ok) delete callback;
        return status;
    });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* user) {
    if (function == nullptr) return finish(cudaErrorInvalidValue);
    return on_stream(handle, [=](Stream* stream) { return device::call_host(stream, function, user); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* out, unsigned flags) {
    constexpr unsigned known = cudaEventBlockingSync | cudaEventDisableTiming | cudaEventInterprocess;
    const bool timing = (flags & cudaEventDisableTiming) == 0,
               interprocess = (flags & cudaEventInterprocess) != 0;
    if (out == nullptr || (flags & ~known) != 0 || (interprocess && timing))
        return finish(cudaErrorInvalidValue);
    return on_device([=](int device) {
        device::Event* event = nullptr;
        const Status status = device::create_event(
            device, {timing, (flags & cudaEventBlockingSync) != 0, interprocess}, &event);
        if (status == Status::ok) *out = reinterpret_cast<cudaEvent_t>(event);
        return status;
    });
}

cudaError_t cudaEventCreate(cudaEvent_t* out) {
    return cudaEventCreateWithFlags(out, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    if (!device::is_event(event)) return finish(cudaErrorInvalidResourceHandle);
    return finish(device::destroy_event(event_of(event)));
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t handle, unsigned flags) {
    if ((flags & ~cudaEventRecordExternal) != 0) return finish(cudaErrorInvalidValue);
    return on_stream(handle, [=](Stream* stream) {
        if (!device::is_event(event)) return Status::invalid_handle;
        return device::record_event(event_of(event), stream, (flags & cudaEventRecordExternal) != 0);
    });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
    return cudaEventRecordWithFlags(event, handle, cudaEventRecordDefault);
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    if (!device::is_event(event)) return finish(cudaErrorInvalidResourceHandle);
    return finish_query(device::query_event(event_of(event)));
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    if (!device::is_event(event)) return finish(cudaErrorInvalidResourceHandle);
    return finish(device::synchronize_event(event_of(event)));
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
    if (milliseconds == nullptr) return finish(cudaErrorInvalidValue);
    if (!device::is_event(start) || !device::is_event(end)) return finish(cudaErrorInvalidResourceHandle);
    return finish_query(device::elapsed_ms(event_of(start), event_of(end), milliseconds));
}

#if CUDART_VERSION < 13000
cudaError_t cudaEventElapsedTime_v2(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
    return cudaEventElapsedTime(milliseconds, start, end);
}
#endif

cudaError_t cudaIpcGetEventHandle(cudaIpcEventHandle_t* handle, cudaEvent_t event) {
    if (handle == nullptr) return finish(cudaErrorInvalidValue);
    if (!device::is_event(event)) return finish(cudaErrorInvalidResourceHandle);
    return finish(device::share_event(event_of(event), handle));
}

cudaError_t cudaIpcOpenEventHandle(cudaEvent_t* out, cudaIpcEventHandle_t handle) {
    if (out == nullptr) return finish(cudaErrorInvalidValue);
    return on_device([&](int device) {
        device::Event* event = nullptr;
        const Status status = device::open_shared_event(device, &handle, &event);
        if (status == Status::ok) *out = reinterpret_cast<cudaEvent_t>(event);
        return status;
    });
}
