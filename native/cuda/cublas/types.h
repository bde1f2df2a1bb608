// The public types of cuBLAS and cuBLASLt that we need; no small package brings their headers. Names without
// their prefix; values and layouts as in cublas_api.h, cublasLt.h and library_types.h of cuBLAS 13.1.0.3,
// which 12.9 shares. tests/conformance/cublas checks them against the installed headers where there are some.
#pragma once

#include <cstddef>
#include <cstdint>

namespace revati::cublas {

using Half = uint16_t;
struct Complex {
    float real, imaginary;
};
struct DoubleComplex {
    double real, imaginary;
};

enum Status : int {
    status_success = 0,
    status_not_initialized = 1,
    status_alloc_failed = 3,
    status_invalid_value = 7,
    status_arch_mismatch = 8,
    status_mapping_error = 11,
    status_execution_failed = 13,
    status_internal_error = 14,
    status_not_supported = 15,
    status_license_error = 16,
};

enum Operation : int { op_n = 0, op_t = 1, op_c = 2, op_conjugate = 3 };
enum PointerMode : int { pointer_mode_host = 0, pointer_mode_device = 1 };
enum AtomicsMode : int { atomics_not_allowed = 0, atomics_allowed = 1 };

enum Math : int {
    math_default = 0,
    math_tensor_op = 1,
    math_pedantic = 2,
    math_tf32_tensor_op = 3,
    math_fp32_emulated_bf16x9 = 4,
    math_fp64_emulated_fixed_point = 8,
    math_flag_disallow_reduced_precision = 16,
};

enum ComputeType : int {
    compute_16f = 64,
    compute_16f_pedantic = 65,
    compute_32f = 68,
    compute_32f_pedantic = 69,
    compute_64f = 70,
    compute_64f_pedantic = 71,
    compute_32i = 72,
    compute_32i_pedantic = 73,
    compute_32f_fast_16f = 74,
    compute_32f_fast_16bf = 75,
    compute_32f_fast_tf32 = 77,
    compute_32f_emulated_16bfx9 = 78,
    compute_64f_emulated_fixed_point = 79,
};

// cudaDataType_t.
enum DataType : int {
    r_32f = 0,
    r_64f = 1,
    r_16f = 2,
    r_8i = 3,
    c_32f = 4,
    c_64f = 5,
    r_8u = 8,
    r_32i = 10,
    r_16bf = 14,
    r_4i = 16,
    r_8f_e4m3 = 28,
    r_8f_e5m2 = 29,
    r_8f_ue8m0 = 30,
    r_4f_e2m1 = 33,
};

// What the context behind both handles begins with: a cublasHandle_t may be passed as a cublasLtHandle_t.
struct Handle {
    static constexpr uint32_t live_magic = 0x43424c53;

    uint32_t magic = live_magic;
    int device = 0;
    void* stream = nullptr;
    PointerMode pointer_mode = pointer_mode_host;
    AtomicsMode atomics_mode = atomics_not_allowed;
    Math math = math_default;
    int sm_count_target = 0;
    void* workspace = nullptr;
    size_t workspace_bytes = 0;
};

inline bool is_live(const Handle* handle) {
    return handle != nullptr && handle->magic == Handle::live_magic;
}

}  // namespace revati::cublas
