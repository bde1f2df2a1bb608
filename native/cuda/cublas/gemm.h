// A matrix product as cuBLAS and cuBLASLt both submit it. Header only: the two are separate libraries.
#pragma once

#include "cuda/common/handles.h"
#include "cuda/cublas/types.h"

namespace revati::cublas {

inline Status status_of(device::Status status) {
    switch (status) {
        case device::Status::ok:
            return status_success;
        case device::Status::out_of_memory:
            return status_alloc_failed;
        case device::Status::invalid_value:
            return status_invalid_value;
        case device::Status::no_device:
            return status_not_initialized;
        default:
            return status_execution_failed;
    }
}

inline cost::DType dtype_of(DataType type) {
    switch (type) {
        case r_64f:
        case c_64f:
            return cost::DType::f64;
        case r_32f:
        case c_32f:
            return cost::DType::f32;
        case r_16f:
            return cost::DType::f16;
        case r_16bf:
            return cost::DType::bf16;
        case r_8f_e4m3:
            return cost::DType::f8e4m3;
        case r_8f_e5m2:
            return cost::DType::f8e5m2;
        case r_4f_e2m1:
            return cost::DType::f4;
        case r_8i:
            return cost::DType::i8;
        case r_8u:
            return cost::DType::u8;
        case r_32i:
            return cost::DType::i32;
        default:
            return cost::DType::unknown;
    }
}

// Single-precision inputs run on the tensor cores if the caller allows a shorter mantissa.
inline cost::DType input_dtype(DataType type, ComputeType compute, Math math) {
    cost::DType dtype = dtype_of(type);
    if (dtype != cost::DType::f32) return dtype;
    switch (compute) {
        case compute_32f_fast_16f:
            return cost::DType::f16;
        case compute_32f_fast_16bf:
            return cost::DType::bf16;
        case compute_32f_fast_tf32:
            return cost::DType::tf32;
        case compute_32f:
            return (math & 0xf) == math_tf32_tensor_op ? cost::DType::tf32 : dtype;
        default:
            return dtype;
    }
}

// A complex product is four real ones of the same shape.
inline int64_t real_products(DataType type) {
    return type == c_32f || type == c_64f ? 4 : 1;
}

// `label` must outlive the process.
inline Status submit_gemm(void* stream_handle, const char* label, const cost::GemmFeatures& features) {
    device::Stream* stream = nullptr;
    device::Status status = cuda::resolve_stream(stream_handle, &stream);
    if (status != device::Status::ok) return status_of(status);
    return status_of(device::submit(stream, label, device::estimator().gemm(features)));
}

}  // namespace revati::cublas
