// Handles and their state, versions, status texts.
#include <new>

#include "cuda/cublas/gemm.h"
#include "cuda/cublas/version.h"
#include "device/export.h"

namespace revati::cublas {

#define REVATI_CUBLAS extern "C" REVATI_API Status

REVATI_CUBLAS cublasCreate_v2(Handle** out) {
    if (out == nullptr) return status_invalid_value;
    *out = nullptr;
    device::Status status = device::ensure_context(device::current_device());
    if (status != device::Status::ok) {
        return status == device::Status::out_of_memory ? status_alloc_failed : status_not_initialized;
    }
    *out = new (std::nothrow) Handle;
    if (*out == nullptr) return status_alloc_failed;
    (*out)->device = device::current_device();
    return status_success;
}

REVATI_CUBLAS cublasDestroy_v2(Handle* handle) {
    if (!is_live(handle)) return status_not_initialized;
    handle->magic = 0;
    delete handle;
    return status_success;
}

REVATI_CUBLAS cublasGetVersion_v2(Handle*, int* version) {
    if (version == nullptr) return status_invalid_value;
    *version = version_number;
    return status_success;
}

REVATI_CUBLAS cublasGetProperty(int which, int* value) {
    if (value == nullptr || which < 0 || which > 2) return status_invalid_value;
    *value = version_parts[which];
    return status_success;
}

extern "C" REVATI_API size_t cublasGetCudartVersion() {
    return cudart_version;
}

REVATI_CUBLAS cublasSetStream_v2(Handle* handle, void* stream) {
    if (!is_live(handle)) return status_not_initialized;
    device::Stream* resolved = nullptr;
    if (cuda::resolve_stream(stream, &resolved) != device::Status::ok) return status_invalid_value;
    handle->stream = stream;
    // As documented: the user's workspace is dropped, the default one comes back.
    handle->workspace = nullptr;
    handle->workspace_bytes = 0;
    return status_success;
}

REVATI_CUBLAS cublasGetStream_v2(Handle* handle, void** stream) {
    if (!is_live(handle)) return status_not_initialized;
    if (stream == nullptr) return status_invalid_value;
    *stream = handle->stream;
    return status_success;
}

REVATI_CUBLAS cublasSetWorkspace_v2(Handle* handle, void* workspace, size_t bytes) {
    constexpr uintptr_t alignment = 256;
    if (!is_live(handle)) return status_not_initialized;
    if (reinterpret_cast<uintptr_t>(workspace) % alignment != 0) return status_invalid_value;
    handle->workspace = workspace;
    handle->workspace_bytes = bytes;
    return status_success;
}

REVATI_CUBLAS cublasSetPointerMode_v2(Handle* handle, PointerMode mode) {
    if (!is_live(handle)) return status_not_initialized;
    if (mode != pointer_mode_host && mode != pointer_mode_device) return status_invalid_value;
    handle->pointer_mode = mode;
    return status_success;
}

REVATI_CUBLAS cublasGetPointerMode_v2(Handle* handle, PointerMode* mode) {
    if (!is_live(handle)) return status_not_initialized;
    if (mode == nullptr) return status_invalid_value;
    *mode = handle->pointer_mode;
    return status_success;
}

REVATI_CUBLAS cublasSetAtomicsMode(Handle* handle, AtomicsMode mode) {
    if (!is_live(handle)) return status_not_initialized;
    if (mode != atomics_not_allowed && mode != atomics_allowed) return status_invalid_value;
    handle->atomics_mode = mode;
    return status_success;
}

REVATI_CUBLAS cublasGetAtomicsMode(Handle* handle, AtomicsMode* mode) {
    if (!is_live(handle)) return status_not_initialized;
    if (mode == nullptr) return status_invalid_value;
    *mode = handle->atomics_mode;
    return status_success;
}

REVATI_CUBLAS cublasSetMathMode(Handle* handle, Math mode) {
    constexpr int known_flags = 0xf | math_flag_disallow_reduced_precision;
    if (!is_live(handle)) return status_not_initialized;
    if ((mode & ~known_flags) != 0) return status_invalid_value;
    handle->math = mode;
    return status_success;
}

REVATI_CUBLAS cublasGetMathMode(Handle* handle, Math* mode) {
    if (!is_live(handle)) return status_not_initialized;
    if (mode == nullptr) return status_invalid_value;
    *mode = handle->math;
    return status_success;
}

REVATI_CUBLAS cublasSetSmCountTarget(Handle* handle, int count) {
    if (!is_live(handle)) return status_not_initialized;
    if (count < 0 || count > device::gpu().sm_count) return status_invalid_value;
    handle->sm_count_target = count;
    return status_success;
}

REVATI_CUBLAS cublasGetSmCountTarget(Handle* handle, int* count) {
    if (!is_live(handle)) return status_not_initialized;
    if (count == nullptr) return status_invalid_value;
    *count = handle->sm_count_target;
    return status_success;
}

extern "C" REVATI_API const char* cublasGetStatusName(Status status) {
    return status_name(status);
}
extern "C" REVATI_API const char* cublasGetStatusString(Status status) {
    return status_text(status);
}

// Logging of the library's own calls is accepted and never produces a line.
REVATI_CUBLAS cublasSetLoggerCallback(void*) {
    return status_success;
}
REVATI_CUBLAS cublasLoggerConfigure(int, int, int, const char*) {
    return status_success;
}

}  // namespace revati::cublas
