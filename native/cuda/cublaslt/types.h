// The public types of cuBLASLt: values and layouts as in cublasLt.h of cuBLAS 13.1.0.3, which 12.9 shares.
#pragma once

#include "cuda/cublas/types.h"

namespace revati::cublaslt {

using cublas::ComputeType;
using cublas::DataType;
using cublas::Operation;
using cublas::Status;

// The caller may keep these on its own stack: their sizes are part of the interface.
constexpr size_t layout_bytes = 64;
constexpr size_t desc_bytes = 256;
constexpr size_t preference_bytes = 64;

enum Order : int32_t {
    order_col = 0,
    order_row = 1,
    order_col32 = 2,
    order_col4_4r2_8c = 3,
    order_col32_2r_4r4 = 4
};

enum ScaleMode : int32_t {
    scale_scalar_32f = 0,
    scale_vec16_ue4m3 = 1,
    scale_vec32_ue8m0 = 2,
    scale_outer_vec_32f = 3,
    scale_vec128_32f = 4,
    scale_blk128x128_32f = 5,
};

struct Layout {
    static constexpr uint32_t live_magic = 0x4c544d4c;
    uint32_t magic;
    uint32_t type;
    uint64_t rows, columns;
    int64_t leading_dimension;
    int64_t batch_stride;
    int64_t plane_offset;
    int32_t order;
    int32_t batch;
    uint32_t batch_mode;
};
static_assert(sizeof(Layout) <= layout_bytes, "fits into cublasLtMatrixLayoutOpaque_t");

struct Desc {
    static constexpr uint32_t live_magic = 0x4c544d44;
    uint32_t magic;
    int32_t compute_type, scale_type, pointer_mode, transa, transb, transc, fill_mode;
    uint32_t epilogue;
    int32_t sm_count_target;
    int32_t aux_type, bias_type;
    int32_t a_scale_mode, b_scale_mode, c_scale_mode, d_scale_mode, aux_scale_mode, d_out_scale_mode;
    int8_t fast_accumulation;
    uint64_t bias, aux, a_scale, b_scale, c_scale, d_scale, d_amax, aux_scale, aux_amax, d_out_scale,
        emulation;
    int64_t bias_batch_stride, aux_leading_dimension, aux_batch_stride, alpha_batch_stride;
};
static_assert(sizeof(Desc) <= desc_bytes, "fits into cublasLtMatmulDescOpaque_t");

struct Preference {
    static constexpr uint32_t live_magic = 0x4c545052;
    uint32_t magic;
    uint32_t search_mode;
    uint64_t max_workspace_bytes;
    uint64_t implementation_mask;
    uint32_t reduction_mask;
    uint32_t min_alignment_a, min_alignment_b, min_alignment_c, min_alignment_d;
    float max_waves;
};
static_assert(sizeof(Preference) <= preference_bytes, "fits into cublasLtMatmulPreferenceOpaque_t");

// cublasLtMatmulAlgo_t: callers copy it around and may write it to a file.
struct Algo {
    static constexpr uint32_t live_magic = 0x4c54414c;
    uint32_t magic;
    int32_t id;
    uint32_t tile, stages, swizzle, custom, inner_shape, cluster_shape;
    int32_t split_k;
    uint32_t reduction;
    uint64_t reserved[3];
};
static_assert(sizeof(Algo) == 64, "cublasLtMatmulAlgo_t");

struct HeuristicResult {
    Algo algo;
    size_t workspace_bytes;
    Status state;
    float waves;
    int reserved[4];
};
static_assert(sizeof(HeuristicResult) == 96, "cublasLtMatmulHeuristicResult_t");

}  // namespace revati::cublaslt
