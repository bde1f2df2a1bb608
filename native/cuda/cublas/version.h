// Versions and texts that cuBLAS and cuBLASLt share.
#pragma once

#include <cstddef>

#include "cuda/cublas/types.h"

namespace revati::cublas {

#if REVATI_CUDA_MAJOR == 12
constexpr int version_parts[3] = {12, 9, 1};
constexpr size_t cudart_version = 12090;
#else
constexpr int version_parts[3] = {13, 1, 0};
constexpr size_t cudart_version = 13000;
#endif
constexpr int version_number = version_parts[0] * 10000 + version_parts[1] * 100 + version_parts[2];

inline const char* status_name(Status status) {
    switch (status) {
        case status_success:
            return "CUBLAS_STATUS_SUCCESS";
        case status_not_initialized:
            return "CUBLAS_STATUS_NOT_INITIALIZED";
        case status_alloc_failed:
            return "CUBLAS_STATUS_ALLOC_FAILED";
        case status_invalid_value:
            return "CUBLAS_STATUS_INVALID_VALUE";
        case status_arch_mismatch:
            return "CUBLAS_STATUS_ARCH_MISMATCH";
        case status_mapping_error:
            return "CUBLAS_STATUS_MAPPING_ERROR";
        case status_execution_failed:
            return "CUBLAS_STATUS_EXECUTION_FAILED";
        case status_internal_error:
            return "CUBLAS_STATUS_INTERNAL_ERROR";
        case status_not_supported:
            return "CUBLAS_STATUS_NOT_SUPPORTED";
        case status_license_error:
            return "CUBLAS_STATUS_LICENSE_ERROR";
        default:
            return "CUBLAS_STATUS_UNKNOWN";
    }
}

inline const char* status_text(Status status) {
    switch (status) {
        case status_success:
            return "success";
        case status_not_initialized:
            return "the library was not initialized";
        case status_alloc_failed:
            return "the resource allocation failed";
        case status_invalid_value:
            return "an unsupported value or parameter was passed to the function";
        case status_arch_mismatch:
            return "the function requires a feature absent from the device architecture";
        case status_mapping_error:
            return "an access to GPU memory space failed";
        case status_execution_failed:
            return "the GPU program failed to execute";
        case status_internal_error:
            return "an internal operation failed";
        case status_not_supported:
            return "the functionality requested is not supported";
        case status_license_error:
            return "the functionality requested requires some license and an error was detected";
        default:
            return "unknown error code";
    }
}

}  // namespace revati::cublas
