// Matrix products: checked as cuBLAS documents, then put on the stream with the duration that the cost model
// gives. The numbers themselves are data plane and are not computed.
#include "cuda/cublas/gemm.h"

#include "device/export.h"

namespace revati::cublas {
namespace {

// C[m,n] = alpha * op(A)[m,k] * op(B)[k,n] + beta * C, all column-major.
struct Product {
    Operation transa, transb;
    int64_t m, n, k;
    const void* alpha;
    const void* a;
    DataType a_type;
    int64_t lda;
    const void* b;
    DataType b_type;
    int64_t ldb;
    const void* beta;
    void* c;
    DataType c_type;
    int64_t ldc;
    int64_t batch = 1;
    ComputeType compute = compute_32f;
};

bool known_operation(Operation operation) {
    return operation >= op_n && operation <= op_c;
}

Status check(const Product& product) {
    if (!known_operation(product.transa) || !known_operation(product.transb)) return status_invalid_value;
    if (product.m < 0 || product.n < 0 || product.k < 0 || product.batch < 0) return status_invalid_value;
    auto at_least = [](int64_t rows) { return rows > 1 ? rows : 1; };
    if (product.lda < at_least(product.transa == op_n ? product.m : product.k)) return status_invalid_value;
    if (product.ldb < at_least(product.transb == op_n ? product.k : product.n)) return status_invalid_value;
    if (product.ldc < at_least(product.m)) return status_invalid_value;
    if (product.alpha == nullptr || product.beta == nullptr) return status_invalid_value;
    bool empty = product.m == 0 || product.n == 0 || product.batch == 0;
    bool missing = product.c == nullptr || (product.k > 0 && (product.a == nullptr || product.b == nullptr));
    return !empty && missing ? status_invalid_value : status_success;
}

Status multiply(Handle* handle, const char* label, const Product& product) {
    if (!is_live(handle)) return status_not_initialized;
    Status status = check(product);
    if (status != status_success) return status;
    if (product.m == 0 || product.n == 0 || product.batch == 0) return status_success;
    // Column-major D[m,n] is row-major D[n,m]: the frameworks' tokens are our n, and the cost model's m.
    cost::GemmFeatures features;
    features.m = product.n;
    features.n = product.m;
    features.k = product.k;
    features.batch = product.batch * real_products(product.a_type);
    features.a = input_dtype(product.b_type, product.compute, handle->math);
    features.b = input_dtype(product.a_type, product.compute, handle->math);
    features.d = dtype_of(product.c_type);
    return submit_gemm(handle->stream, label, features);
}

// The simple forms: one element type throughout. `Integer` is int, or int64_t in the functions whose names
// end in _64.
template <typename Element>
constexpr DataType type_of();
template <>
constexpr DataType type_of<float>() {
    return r_32f;
}
template <>
constexpr DataType type_of<double>() {
    return r_64f;
}
template <>
constexpr DataType type_of<Half>() {
    return r_16f;
}
template <>
constexpr DataType type_of<Complex>() {
    return c_32f;
}
template <>
constexpr DataType type_of<DoubleComplex>() {
    return c_64f;
}

template <typename Element>
constexpr ComputeType compute_of() {
    return type_of<Element>() == r_64f || type_of<Element>() == c_64f ? compute_64f
           : type_of<Element>() == r_16f                              ? compute_16f
                                                                      : compute_32f;
}

template <typename Element>
Product plain(Operation transa, Operation transb, int64_t m, int64_t n, int64_t k, const void* alpha,
              const void* a, int64_t lda, const void* b, int64_t ldb, const void* beta, void* c, int64_t ldc,
              int64_t batch = 1) {
    constexpr DataType type = type_of<Element>();
    return {transa, transb, m,   n,    k, alpha, a,   type,  lda,
            b,      type,   ldb, beta, c, type,  ldc, batch, compute_of<Element>()};
}

}  // namespace

#define REVATI_CUBLAS extern "C" REVATI_API Status

#define REVATI_GEMM(name, Element)                                                                     \
    REVATI_CUBLAS name(Handle* handle, Operation transa, Operation transb, int m, int n, int k,        \
                       const Element* alpha, const Element* a, int lda, const Element* b, int ldb,     \
                       const Element* beta, Element* c, int ldc) {                                     \
        return multiply(handle, #name,                                                                 \
                        plain<Element>(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)); \
    }

#define REVATI_GEMM_STRIDED(name, Element)                                                                   \
    REVATI_CUBLAS name(Handle* handle, Operation transa, Operation transb, int m, int n, int k,              \
                       const Element* alpha, const Element* a, int lda, long long, const Element* b,         \
                       int ldb, long long, const Element* beta, Element* c, int ldc, long long, int batch) { \
        return multiply(                                                                                     \
            handle, #name,                                                                                   \
            plain<Element>(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, batch));            \
    }

#define REVATI_GEMM_BATCHED(name, Element)                                                                \
    REVATI_CUBLAS name(Handle* handle, Operation transa, Operation transb, int m, int n, int k,           \
                       const Element* alpha, const Element* const a[], int lda, const Element* const b[], \
                       int ldb, const Element* beta, Element* const c[], int ldc, int batch) {            \
        return multiply(handle, #name,                                                                    \
                        plain<Element>(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta,              \
                                       const_cast<Element**>(c), ldc, batch));                            \
    }

REVATI_GEMM(cublasSgemm_v2, float)
REVATI_GEMM(cublasDgemm_v2, double)
REVATI_GEMM(cublasCgemm_v2, Complex)
REVATI_GEMM(cublasZgemm_v2, DoubleComplex)
REVATI_GEMM(cublasHgemm, Half)

REVATI_GEMM_STRIDED(cublasSgemmStridedBatched, float)
REVATI_GEMM_STRIDED(cublasDgemmStridedBatched, double)
REVATI_GEMM_STRIDED(cublasCgemmStridedBatched, Complex)
REVATI_GEMM_STRIDED(cublasZgemmStridedBatched, DoubleComplex)
REVATI_GEMM_STRIDED(cublasHgemmStridedBatched, Half)

REVATI_GEMM_BATCHED(cublasSgemmBatched, float)
REVATI_GEMM_BATCHED(cublasDgemmBatched, double)
REVATI_GEMM_BATCHED(cublasCgemmBatched, Complex)
REVATI_GEMM_BATCHED(cublasZgemmBatched, DoubleComplex)
REVATI_GEMM_BATCHED(cublasHgemmBatched, Half)

REVATI_CUBLAS cublasGemmEx(Handle* handle, Operation transa, Operation transb, int m, int n, int k,
                           const void* alpha, const void* a, DataType a_type, int lda, const void* b,
                           DataType b_type, int ldb, const void* beta, void* c, DataType c_type, int ldc,
                           ComputeType compute, int) {
    return multiply(
        handle, "cublasGemmEx",
        {transa, transb, m, n, k, alpha, a, a_type, lda, b, b_type, ldb, beta, c, c_type, ldc, 1, compute});
}

REVATI_CUBLAS cublasGemmStridedBatchedEx(Handle* handle, Operation transa, Operation transb, int m, int n,
                                         int k, const void* alpha, const void* a, DataType a_type, int lda,
                                         long long, const void* b, DataType b_type, int ldb, long long,
                                         const void* beta, void* c, DataType c_type, int ldc, long long,
                                         int batch, ComputeType compute, int) {
    return multiply(handle, "cublasGemmStridedBatchedEx",
                    {transa, transb, m, n, k, alpha, a, a_type, lda, b, b_type, ldb, beta, c, c_type, ldc,
                     batch, compute});
}

REVATI_CUBLAS cublasGemmBatchedEx(Handle* handle, Operation transa, Operation transb, int m, int n, int k,
                                  const void* alpha, const void* const a[], DataType a_type, int lda,
                                  const void* const b[], DataType b_type, int ldb, const void* beta,
                                  void* const c[], DataType c_type, int ldc, int batch, ComputeType compute,
                                  int) {
    return multiply(handle, "cublasGemmBatchedEx",
                    {transa, transb, m, n, k, alpha, a, a_type, lda, b, b_type, ldb, beta,
                     const_cast<void**>(c), c_type, ldc, batch, compute});
}

REVATI_CUBLAS cublasSgemmEx(Handle* handle, Operation transa, Operation transb, int m, int n, int k,
                            const float* alpha, const void* a, DataType a_type, int lda, const void* b,
                            DataType b_type, int ldb, const float* beta, void* c, DataType c_type, int ldc) {
    return multiply(handle, "cublasSgemmEx",
                    {transa, transb, m, n, k, alpha, a, a_type, lda, b, b_type, ldb, beta, c, c_type, ldc, 1,
                     compute_32f});
}

// y = op(A) x: a product with one column. `A` is m by n before the operation.
#define REVATI_GEMV(name, Element)                                                                     \
    REVATI_CUBLAS name(Handle* handle, Operation trans, int m, int n, const Element* alpha,            \
                       const Element* a, int lda, const Element* x, int x_stride, const Element* beta, \
                       Element* y, int y_stride) {                                                     \
        int rows = trans == op_n ? m : n, columns = trans == op_n ? n : m;                             \
        if (x_stride == 0 || y_stride == 0)                                                            \
            return is_live(handle) ? status_invalid_value : status_not_initialized;                    \
        return multiply(handle, #name,                                                                 \
                        plain<Element>(trans, op_n, rows, 1, columns, alpha, a, lda, x,                \
                                       columns > 1 ? columns : 1, beta, y, rows > 1 ? rows : 1));      \
    }

REVATI_GEMV(cublasSgemv_v2, float)
REVATI_GEMV(cublasDgemv_v2, double)
REVATI_GEMV(cublasCgemv_v2, Complex)
REVATI_GEMV(cublasZgemv_v2, DoubleComplex)

}  // namespace revati::cublas
