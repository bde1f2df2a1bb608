// Matrix products of cuBLASLt: what is possible on the GPU, the choice of an algorithm, the submission.
#include <cstring>

#include "cuda/cublas/gemm.h"
#include "cuda/cublaslt/types.h"
#include "device/export.h"

namespace revati::cublaslt {
namespace {

using cublas::Handle;
using cublas::op_n;
using cublas::op_t;
using cublas::status_alloc_failed;
using cublas::status_invalid_value;
using cublas::status_not_initialized;
using cublas::status_not_supported;
using cublas::status_success;

struct Product {
    const Desc* desc;
    const Layout *a, *b, *c, *d;
    int64_t m = 0, n = 0, k = 0, batch = 1;
};

bool is_fp8(uint32_t type) {
    return type == cublas::r_8f_e4m3 || type == cublas::r_8f_e5m2;
}
bool is_fp4(uint32_t type) {
    return type == cublas::r_4f_e2m1;
}

bool is_live(const Layout* layout) {
    return layout != nullptr && layout->magic == Layout::live_magic;
}

Status read_shape(Product* product) {
    const Desc* desc = product->desc;
    if (desc == nullptr || desc->magic != Desc::live_magic) return status_invalid_value;
    for (const Layout* layout : {product->a, product->b, product->c, product->d}) {
        if (!is_live(layout)) return status_invalid_value;
    }
    const Layout &a = *product->a, &b = *product->b, &d = *product->d;
    auto a_rows = desc->transa == op_n ? a.rows : a.columns,
         a_columns = desc->transa == op_n ? a.columns : a.rows;
    auto b_rows = desc->transb == op_n ? b.rows : b.columns,
         b_columns = desc->transb == op_n ? b.columns : b.rows;
    bool fits = a_rows == d.rows && b_columns == d.columns && a_columns == b_rows;
    bool same = product->c->rows == d.rows && product->c->columns == d.columns;
    if (!fits || !same || a.batch != b.batch || a.batch != d.batch) return status_invalid_value;
    product->m = static_cast<int64_t>(d.rows);
    product->n = static_cast<int64_t>(d.columns);
    product->k = static_cast<int64_t>(a_columns);
    product->batch = d.batch;
    return status_success;
}

// "Narrow precision data types usage" of the cuBLAS documentation.
Status check_narrow(const Product& product) {
    const device::GpuSpec& spec = device::gpu();
    int capability = spec.compute_major * 10 + spec.compute_minor;
    bool fp8 = is_fp8(product.a->type) || is_fp8(product.b->type);
    bool fp4 = is_fp4(product.a->type) || is_fp4(product.b->type);
    if (!fp8 && !fp4) return status_success;
    if (fp4 ? capability < 100 : capability < 89) return status_not_supported;
    // Only Blackwell takes other layouts than "TN".
    bool tn = product.desc->transa == op_t && product.desc->transb == op_n;
    if (!tn && (capability < 100 || fp4)) return status_not_supported;
    int64_t unit = fp4 ? 32 : 16;
    if (product.k % unit != 0 || product.m % 16 != 0) return status_not_supported;
    int32_t mode = product.desc->a_scale_mode;
    bool blackwell_only = mode == scale_vec16_ue4m3 || mode == scale_vec32_ue8m0;
    bool hopper_only =
        mode == scale_outer_vec_32f || mode == scale_vec128_32f || mode == scale_blk128x128_32f;
    if ((blackwell_only && capability < 100) || (hopper_only && spec.compute_major != 9))
        return status_not_supported;
    return status_success;
}

Status check_types(const Product& product) {
    for (const Layout* layout : {product.a, product.b, product.c, product.d}) {
        if (cublas::dtype_of(static_cast<DataType>(layout->type)) == cost::DType::unknown)
            return status_not_supported;
    }
    return check_narrow(product);
}

bool is_block_scaled(const Desc& desc) {
    return desc.a_scale_mode == scale_vec16_ue4m3 || desc.a_scale_mode == scale_vec32_ue8m0 ||
           desc.a_scale_mode == scale_vec128_32f || desc.a_scale_mode == scale_blk128x128_32f;
}

cost::GemmFeatures features_of(const Product& product) {
    auto compute = static_cast<ComputeType>(product.desc->compute_type);
    auto a_type = static_cast<DataType>(product.a->type), b_type = static_cast<DataType>(product.b->type);
    // Column-major D[m,n] is row-major D[n,m]: the frameworks' tokens are our n, and the cost model's m.
    cost::GemmFeatures features;
    features.m = product.n;
    features.n = product.m;
    features.k = product.k;
    features.batch = product.batch * cublas::real_products(a_type);
    features.a = cublas::input_dtype(b_type, compute, cublas::math_default);
    features.b = cublas::input_dtype(a_type, compute, cublas::math_default);
    features.d = cublas::dtype_of(static_cast<DataType>(product.d->type));
    features.block_scaled = is_block_scaled(*product.desc);
    return features;
}

// One algorithm stands for all: which tile and split the library would choose is part of the predicted
// duration.
Algo the_algorithm() {
    Algo algo = {};
    algo.magic = Algo::live_magic;
    algo.id = 66;
    algo.tile = 20;
    algo.split_k = 1;
    return algo;
}

// Waves of 128 x 256 tiles over the SMs: what callers print or compare.
float waves_of(const Product& product) {
    auto tiles = ((product.m + 127) / 128) * ((product.n + 255) / 256) * product.batch;
    return static_cast<float>(tiles) / static_cast<float>(device::gpu().sm_count);
}

}  // namespace

#define REVATI_LT extern "C" REVATI_API Status

REVATI_LT cublasLtMatmulAlgoGetHeuristic(Handle* handle, Desc* desc, Layout* a, Layout* b, Layout* c,
                                         Layout* d, Preference* preference, int requested,
                                         HeuristicResult* results, int* returned) {
    if (!cublas::is_live(handle)) return status_not_initialized;
    if (returned != nullptr) *returned = 0;
    if (results == nullptr || returned == nullptr || requested <= 0) return status_invalid_value;
    if (preference == nullptr || preference->magic != Preference::live_magic) return status_invalid_value;
    Product product{desc, a, b, c, d};
    Status status = read_shape(&product);
    if (status == status_success) status = check_types(product);
    if (status != status_success) return status;
    std::memset(results, 0, sizeof *results);
    results->algo = the_algorithm();
    results->workspace_bytes = 0;
    results->state = status_success;
    results->waves = waves_of(product);
    *returned = 1;
    return status_success;
}

REVATI_LT cublasLtMatmulAlgoGetIds(Handle* handle, ComputeType, DataType, DataType, DataType, DataType,
                                   DataType, int requested, int ids[], int* returned) {
    if (!cublas::is_live(handle)) return status_not_initialized;
    if (ids == nullptr || returned == nullptr || requested <= 0) return status_invalid_value;
    ids[0] = the_algorithm().id;
    *returned = 1;
    return status_success;
}

REVATI_LT cublasLtMatmulAlgoInit(Handle* handle, ComputeType, DataType, DataType, DataType, DataType,
                                 DataType, int id, Algo* algo) {
    if (!cublas::is_live(handle)) return status_not_initialized;
    if (algo == nullptr || id != the_algorithm().id) return status_invalid_value;
    *algo = the_algorithm();
    return status_success;
}

REVATI_LT cublasLtMatmulAlgoCheck(Handle* handle, Desc* desc, Layout* a, Layout* b, Layout* c, Layout* d,
                                  const Algo* algo, HeuristicResult* result) {
    if (!cublas::is_live(handle)) return status_not_initialized;
    if (algo == nullptr || algo->magic != Algo::live_magic || result == nullptr) return status_invalid_value;
    Product product{desc, a, b, c, d};
    Status status = read_shape(&product);
    if (status == status_success) status = check_types(product);
    if (status != status_success) return status;
    std::memset(result, 0, sizeof *result);
    result->algo = *algo;
    result->waves = waves_of(product);
    return status_success;
}

REVATI_LT cublasLtMatmul(Handle* handle, Desc* desc, const void* alpha, const void* a, Layout* a_layout,
                         const void* b, Layout* b_layout, const void* beta, const void* c, Layout* c_layout,
                         void* d, Layout* d_layout, const Algo* algo, void* workspace, size_t workspace_bytes,
                         void* stream) {
    if (!cublas::is_live(handle)) return status_not_initialized;
    if (algo != nullptr && algo->magic != Algo::live_magic) return status_invalid_value;
    if (workspace == nullptr && workspace_bytes != 0) return status_invalid_value;
    Product product{desc, a_layout, b_layout, c_layout, d_layout};
    Status status = read_shape(&product);
    if (status == status_success) status = check_types(product);
    if (status != status_success) return status;
    if (product.m == 0 || product.n == 0 || product.batch == 0) return status_success;
    if (alpha == nullptr || beta == nullptr || a == nullptr || b == nullptr || d == nullptr)
        return status_invalid_value;
    (void)c;  // may be null when beta is zero
    return cublas::submit_gemm(stream, "cublasLtMatmul", features_of(product));
}

}  // namespace revati::cublaslt
