// Translation of device-model results into the codes of the CUDA runtime and driver. The device model uses
// their common numbers, so that translation is a cast; what each library includes before this header is
// checked here.
#pragma once

#include "device/status.h"

#if defined(__CUDA_RUNTIME_API_H__)
#define REVATI_CHECK_RUNTIME(status, code)                                            \
    static_assert(static_cast<int>(device::Status::status) == static_cast<int>(code), \
                  "device/status.h disagrees")
#endif
#if defined(CUDA_VERSION)
#define REVATI_CHECK_DRIVER(status, code)                                             \
    static_assert(static_cast<int>(device::Status::status) == static_cast<int>(code), \
                  "device/status.h disagrees")
#endif

namespace revati::cuda {

#if defined(__CUDA_RUNTIME_API_H__)
REVATI_CHECK_RUNTIME(ok, cudaSuccess);
REVATI_CHECK_RUNTIME(invalid_value, cudaErrorInvalidValue);
REVATI_CHECK_RUNTIME(out_of_memory, cudaErrorMemoryAllocation);
REVATI_CHECK_RUNTIME(no_device, cudaErrorNoDevice);
REVATI_CHECK_RUNTIME(invalid_device, cudaErrorInvalidDevice);
REVATI_CHECK_RUNTIME(invalid_image, cudaErrorInvalidKernelImage);
REVATI_CHECK_RUNTIME(invalid_context, cudaErrorDeviceUninitialized);
REVATI_CHECK_RUNTIME(map_failed, cudaErrorMapBufferObjectFailed);
REVATI_CHECK_RUNTIME(already_mapped, cudaErrorAlreadyMapped);
REVATI_CHECK_RUNTIME(invalid_source, cudaErrorInvalidSource);
REVATI_CHECK_RUNTIME(file_not_found, cudaErrorFileNotFound);
REVATI_CHECK_RUNTIME(invalid_handle, cudaErrorInvalidResourceHandle);
REVATI_CHECK_RUNTIME(illegal_state, cudaErrorIllegalState);
REVATI_CHECK_RUNTIME(not_found, cudaErrorSymbolNotFound);
REVATI_CHECK_RUNTIME(not_ready, cudaErrorNotReady);
REVATI_CHECK_RUNTIME(illegal_address, cudaErrorIllegalAddress);
REVATI_CHECK_RUNTIME(peer_access_already_enabled, cudaErrorPeerAccessAlreadyEnabled);
REVATI_CHECK_RUNTIME(peer_access_not_enabled, cudaErrorPeerAccessNotEnabled);
REVATI_CHECK_RUNTIME(host_memory_already_registered, cudaErrorHostMemoryAlreadyRegistered);
REVATI_CHECK_RUNTIME(host_memory_not_registered, cudaErrorHostMemoryNotRegistered);
REVATI_CHECK_RUNTIME(not_permitted, cudaErrorNotPermitted);
REVATI_CHECK_RUNTIME(not_supported, cudaErrorNotSupported);
REVATI_CHECK_RUNTIME(capture_unsupported, cudaErrorStreamCaptureUnsupported);
REVATI_CHECK_RUNTIME(capture_invalidated, cudaErrorStreamCaptureInvalidated);
REVATI_CHECK_RUNTIME(capture_merge, cudaErrorStreamCaptureMerge);
REVATI_CHECK_RUNTIME(capture_unmatched, cudaErrorStreamCaptureUnmatched);
REVATI_CHECK_RUNTIME(capture_unjoined, cudaErrorStreamCaptureUnjoined);
REVATI_CHECK_RUNTIME(capture_isolation, cudaErrorStreamCaptureIsolation);
REVATI_CHECK_RUNTIME(capture_implicit, cudaErrorStreamCaptureImplicit);
REVATI_CHECK_RUNTIME(captured_event, cudaErrorCapturedEvent);
REVATI_CHECK_RUNTIME(capture_wrong_thread, cudaErrorStreamCaptureWrongThread);
REVATI_CHECK_RUNTIME(unknown, cudaErrorUnknown);

constexpr cudaError_t to_runtime(device::Status status) {
    return static_cast<cudaError_t>(status);
}
#endif

#if defined(CUDA_VERSION)
REVATI_CHECK_DRIVER(ok, CUDA_SUCCESS);
REVATI_CHECK_DRIVER(invalid_value, CUDA_ERROR_INVALID_VALUE);
REVATI_CHECK_DRIVER(out_of_memory, CUDA_ERROR_OUT_OF_MEMORY);
REVATI_CHECK_DRIVER(no_device, CUDA_ERROR_NO_DEVICE);
REVATI_CHECK_DRIVER(invalid_device, CUDA_ERROR_INVALID_DEVICE);
REVATI_CHECK_DRIVER(invalid_image, CUDA_ERROR_INVALID_IMAGE);
REVATI_CHECK_DRIVER(invalid_context, CUDA_ERROR_INVALID_CONTEXT);
REVATI_CHECK_DRIVER(map_failed, CUDA_ERROR_MAP_FAILED);
REVATI_CHECK_DRIVER(already_mapped, CUDA_ERROR_ALREADY_MAPPED);
REVATI_CHECK_DRIVER(invalid_source, CUDA_ERROR_INVALID_SOURCE);
REVATI_CHECK_DRIVER(file_not_found, CUDA_ERROR_FILE_NOT_FOUND);
REVATI_CHECK_DRIVER(invalid_handle, CUDA_ERROR_INVALID_HANDLE);
REVATI_CHECK_DRIVER(illegal_state, CUDA_ERROR_ILLEGAL_STATE);
REVATI_CHECK_DRIVER(not_found, CUDA_ERROR_NOT_FOUND);
REVATI_CHECK_DRIVER(not_ready, CUDA_ERROR_NOT_READY);
REVATI_CHECK_DRIVER(illegal_address, CUDA_ERROR_ILLEGAL_ADDRESS);
REVATI_CHECK_DRIVER(peer_access_already_enabled, CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
REVATI_CHECK_DRIVER(peer_access_not_enabled, CUDA_ERROR_PEER_ACCESS_NOT_ENABLED);
REVATI_CHECK_DRIVER(host_memory_already_registered, CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
REVATI_CHECK_DRIVER(host_memory_not_registered, CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
REVATI_CHECK_DRIVER(not_permitted, CUDA_ERROR_NOT_PERMITTED);
REVATI_CHECK_DRIVER(not_supported, CUDA_ERROR_NOT_SUPPORTED);
REVATI_CHECK_DRIVER(capture_unsupported, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
REVATI_CHECK_DRIVER(capture_invalidated, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
REVATI_CHECK_DRIVER(capture_merge, CUDA_ERROR_STREAM_CAPTURE_MERGE);
REVATI_CHECK_DRIVER(capture_unmatched, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
REVATI_CHECK_DRIVER(capture_unjoined, CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
REVATI_CHECK_DRIVER(capture_isolation, CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
REVATI_CHECK_DRIVER(capture_implicit, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
REVATI_CHECK_DRIVER(captured_event, CUDA_ERROR_CAPTURED_EVENT);
REVATI_CHECK_DRIVER(capture_wrong_thread, CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
REVATI_CHECK_DRIVER(unknown, CUDA_ERROR_UNKNOWN);

constexpr CUresult to_driver(device::Status status) {
    return static_cast<CUresult>(status);
}
#endif

// Name and one-line text of a code; null if neither library knows it.
const char* runtime_error_name(int code);
const char* driver_error_name(int code);
const char* error_text(int code);

}  // namespace revati::cuda
