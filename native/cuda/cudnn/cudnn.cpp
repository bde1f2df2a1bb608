// cuDNN: enough to be asked what it is and to hold a handle. Everything that would compute is refused, and
// the frameworks then take their own kernels. Values as in cudnn_graph.h and cudnn_version.h of cuDNN 9.19.0.
#include <cstdio>
#include <new>

#include "cuda/common/handles.h"
#include "device/export.h"

namespace revati::cudnn {
namespace {

enum Status : int {
    success = 0,
    not_initialized = 1001,
    bad_param = 2000,
    bad_param_null_pointer = 2002,
    not_supported = 3000,
    internal_error = 4000,
    internal_error_host_allocation_failed = 4003,
    internal_error_device_allocation_failed = 4004,
    execution_failed = 5000,
};

constexpr int version_parts[3] = {9, 19, 0};
constexpr size_t version_number = version_parts[0] * 10000 + version_parts[1] * 100 + version_parts[2];
#if REVATI_CUDA_MAJOR == 12
constexpr size_t cudart_version = 12090;
#else
constexpr size_t cudart_version = 13000;
#endif

struct Handle {
    static constexpr uint32_t live_magic = 0x44434e4e;
    uint32_t magic = live_magic;
    void* stream = nullptr;
};

bool is_live(const Handle* handle) {
    return handle != nullptr && handle->magic == Handle::live_magic;
}

thread_local const char* last_error = "";

Status fail(Status status, const char* text) {
    last_error = text;
    return status;
}

}  // namespace

#define REVATI_CUDNN extern "C" REVATI_API Status

extern "C" REVATI_API size_t cudnnGetVersion() {
    return version_number;
}
extern "C" REVATI_API size_t cudnnGetCudartVersion() {
    return cudart_version;
}

extern "C" REVATI_API size_t cudnnGetMaxDeviceVersion() {
    constexpr size_t newest_capability = 1210;  // 12.1, in the form of 9.0 = 900
    return newest_capability;
}

REVATI_CUDNN cudnnGetProperty(int which, int* value) {
    if (value == nullptr) return fail(bad_param_null_pointer, "cudnnGetProperty: value is null");
    if (which < 0 || which > 2) return fail(bad_param, "cudnnGetProperty: unknown property");
    *value = version_parts[which];
    return success;
}

extern "C" REVATI_API const char* cudnnGetErrorString(Status status) {
    switch (status) {
        case success:
            return "CUDNN_STATUS_SUCCESS";
        case not_initialized:
            return "CUDNN_STATUS_NOT_INITIALIZED";
        case bad_param:
            return "CUDNN_STATUS_BAD_PARAM";
        case bad_param_null_pointer:
            return "CUDNN_STATUS_BAD_PARAM_NULL_POINTER";
        case not_supported:
            return "CUDNN_STATUS_NOT_SUPPORTED";
        case internal_error:
            return "CUDNN_STATUS_INTERNAL_ERROR";
        case internal_error_host_allocation_failed:
            return "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED";
        case internal_error_device_allocation_failed:
            return "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED";
        case execution_failed:
            return "CUDNN_STATUS_EXECUTION_FAILED";
        default:
            return "CUDNN_UNKNOWN_STATUS";
    }
}

extern "C" REVATI_API void cudnnGetLastErrorString(char* message, size_t bytes) {
    if (message == nullptr || bytes == 0) return;
    std::snprintf(message, bytes, "%s", last_error);
    last_error = "";
}

REVATI_CUDNN cudnnCreate(Handle** out) {
    if (out == nullptr) return fail(bad_param_null_pointer, "cudnnCreate: handle is null");
    *out = nullptr;
    device::Status status = device::ensure_context(device::current_device());
    if (status == device::Status::out_of_memory) {
        return fail(internal_error_device_allocation_failed, "cudnnCreate: the GPU's memory is full");
    }
    if (status != device::Status::ok) return fail(not_initialized, "cudnnCreate: there is no CUDA device");
    *out = new (std::nothrow) Handle;
    return *out != nullptr ? success
                           : fail(internal_error_host_allocation_failed, "cudnnCreate: out of host memory");
}

REVATI_CUDNN cudnnDestroy(Handle* handle) {
    if (!is_live(handle)) return fail(bad_param, "cudnnDestroy: not a handle");
    handle->magic = 0;
    delete handle;
    return success;
}

REVATI_CUDNN cudnnSetStream(Handle* handle, void* stream) {
    device::Stream* resolved = nullptr;
    if (!is_live(handle)) return fail(bad_param, "cudnnSetStream: not a handle");
    if (cuda::resolve_stream(stream, &resolved) != device::Status::ok)
        return fail(bad_param, "cudnnSetStream: not a stream");
    handle->stream = stream;
    return success;
}

REVATI_CUDNN cudnnGetStream(Handle* handle, void** stream) {
    if (!is_live(handle)) return fail(bad_param, "cudnnGetStream: not a handle");
    if (stream == nullptr) return fail(bad_param_null_pointer, "cudnnGetStream: stream is null");
    *stream = handle->stream;
    return success;
}

#define REVATI_VERSION_CHECK(name) \
    REVATI_CUDNN name() {          \
        return success;            \
    }

// The one library that we are agrees with itself.
REVATI_VERSION_CHECK(cudnnGraphVersionCheck)
REVATI_VERSION_CHECK(cudnnOpsVersionCheck)
REVATI_VERSION_CHECK(cudnnCnnVersionCheck)
REVATI_VERSION_CHECK(cudnnAdvVersionCheck)

}  // namespace revati::cudnn
