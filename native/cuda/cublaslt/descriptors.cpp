// Handles and descriptors: made, changed, read back.
#include <cstdlib>
#include <new>

#include "cuda/cublas/gemm.h"
#include "cuda/cublas/version.h"
#include "cuda/cublaslt/attributes.h"
#include "device/export.h"

namespace revati::cublaslt {
namespace {

using cublas::Handle;
using cublas::status_alloc_failed;
using cublas::status_invalid_value;
using cublas::status_not_initialized;
using cublas::status_success;

#define REVATI_AT(Record, number, member) {number, sizeof(Record::member), offsetof(Record, member)}

// Numbers: cublasLtMatrixLayoutAttribute_t.
constexpr Attribute layout_attributes[] = {
    REVATI_AT(Layout, 0, type),
    REVATI_AT(Layout, 1, order),
    REVATI_AT(Layout, 2, rows),
    REVATI_AT(Layout, 3, columns),
    REVATI_AT(Layout, 4, leading_dimension),
    REVATI_AT(Layout, 5, batch),
    REVATI_AT(Layout, 6, batch_stride),
    REVATI_AT(Layout, 7, plane_offset),
    REVATI_AT(Layout, 8, batch_mode),
};

// Numbers: cublasLtMatmulDescAttributes_t.
constexpr Attribute desc_attributes[] = {
    REVATI_AT(Desc, 0, compute_type),
    REVATI_AT(Desc, 1, scale_type),
    REVATI_AT(Desc, 2, pointer_mode),
    REVATI_AT(Desc, 3, transa),
    REVATI_AT(Desc, 4, transb),
    REVATI_AT(Desc, 5, transc),
    REVATI_AT(Desc, 6, fill_mode),
    REVATI_AT(Desc, 7, epilogue),
    REVATI_AT(Desc, 8, bias),
    REVATI_AT(Desc, 10, bias_batch_stride),
    REVATI_AT(Desc, 11, aux),
    REVATI_AT(Desc, 12, aux_leading_dimension),
    REVATI_AT(Desc, 13, aux_batch_stride),
    REVATI_AT(Desc, 14, alpha_batch_stride),
    REVATI_AT(Desc, 15, sm_count_target),
    REVATI_AT(Desc, 17, a_scale),
    REVATI_AT(Desc, 18, b_scale),
    REVATI_AT(Desc, 19, c_scale),
    REVATI_AT(Desc, 20, d_scale),
    REVATI_AT(Desc, 21, d_amax),
    REVATI_AT(Desc, 22, aux_type),
    REVATI_AT(Desc, 23, aux_scale),
    REVATI_AT(Desc, 24, aux_amax),
    REVATI_AT(Desc, 25, fast_accumulation),
    REVATI_AT(Desc, 26, bias_type),
    REVATI_AT(Desc, 31, a_scale_mode),
    REVATI_AT(Desc, 32, b_scale_mode),
    REVATI_AT(Desc, 33, c_scale_mode),
    REVATI_AT(Desc, 34, d_scale_mode),
    REVATI_AT(Desc, 35, aux_scale_mode),
    REVATI_AT(Desc, 36, d_out_scale),
    REVATI_AT(Desc, 37, d_out_scale_mode),
    REVATI_AT(Desc, 38, emulation),
};

// Numbers: cublasLtMatmulPreferenceAttributes_t.
constexpr Attribute preference_attributes[] = {
    REVATI_AT(Preference, 0, search_mode),          REVATI_AT(Preference, 1, max_workspace_bytes),
    REVATI_AT(Preference, 3, reduction_mask),       REVATI_AT(Preference, 5, min_alignment_a),
    REVATI_AT(Preference, 6, min_alignment_b),      REVATI_AT(Preference, 7, min_alignment_c),
    REVATI_AT(Preference, 8, min_alignment_d),      REVATI_AT(Preference, 9, max_waves),
    REVATI_AT(Preference, 12, implementation_mask),
};

// Numbers: cublasLtMatmulAlgoConfigAttributes_t.
constexpr Attribute algo_attributes[] = {
    REVATI_AT(Algo, 0, id),        REVATI_AT(Algo, 1, tile),    REVATI_AT(Algo, 2, split_k),
    REVATI_AT(Algo, 3, reduction), REVATI_AT(Algo, 4, swizzle), REVATI_AT(Algo, 5, custom),
    REVATI_AT(Algo, 6, stages),
};

template <typename Record>
bool is_live(const Record* record) {
    return record != nullptr && record->magic == Record::live_magic;
}

// The caller's own memory of `bytes` bytes, or ours.
template <typename Record>
Record* reset(void* memory, size_t bytes) {
    std::memset(memory, 0, bytes);
    auto* record = static_cast<Record*>(memory);
    record->magic = Record::live_magic;
    return record;
}

void fill_layout(Layout* layout, DataType type, uint64_t rows, uint64_t columns, int64_t leading_dimension) {
    layout->type = type;
    layout->rows = rows;
    layout->columns = columns;
    layout->leading_dimension = leading_dimension;
    layout->batch = 1;
}

void fill_desc(Desc* desc, ComputeType compute, DataType scale) {
    desc->compute_type = compute;
    desc->scale_type = scale;
    desc->fill_mode = 2;  // CUBLAS_FILL_MODE_FULL
    desc->epilogue = 1;   // CUBLASLT_EPILOGUE_DEFAULT
    desc->aux_type = -1;
    desc->bias_type = -1;
}

void fill_preference(Preference* preference) {
    constexpr uint32_t default_alignment_bytes = 256;
    preference->reduction_mask = 0x7;  // CUBLASLT_REDUCTION_SCHEME_MASK
    preference->implementation_mask = ~uint64_t{0};
    preference->min_alignment_a = preference->min_alignment_b = default_alignment_bytes;
    preference->min_alignment_c = preference->min_alignment_d = default_alignment_bytes;
}

template <typename Record>
Status destroy(Record* record) {
    if (!is_live(record)) return status_invalid_value;
    record->magic = 0;
    std::free(record);
    return status_success;
}

}  // namespace

#define REVATI_LT extern "C" REVATI_API Status

REVATI_LT cublasLtCreate(Handle** out) {
    if (out == nullptr) return status_invalid_value;
    *out = nullptr;
    device::Status status = device::ensure_context(device::current_device());
    if (status != device::Status::ok) {
        return status == device::Status::out_of_memory ? status_alloc_failed : status_not_initialized;
    }
    *out = new (std::nothrow) Handle;
    return *out == nullptr ? status_alloc_failed : status_success;
}

REVATI_LT cublasLtDestroy(Handle* handle) {
    if (!cublas::is_live(handle)) return status_not_initialized;
    handle->magic = 0;
    delete handle;
    return status_success;
}

extern "C" REVATI_API size_t cublasLtGetVersion() {
    return cublas::version_number;
}
extern "C" REVATI_API size_t cublasLtGetCudartVersion() {
    return cublas::cudart_version;
}
extern "C" REVATI_API const char* cublasLtGetStatusName(Status status) {
    return cublas::status_name(status);
}
extern "C" REVATI_API const char* cublasLtGetStatusString(Status status) {
    return cublas::status_text(status);
}

REVATI_LT cublasLtGetProperty(int which, int* value) {
    if (value == nullptr || which < 0 || which > 2) return status_invalid_value;
    *value = cublas::version_parts[which];
    return status_success;
}

REVATI_LT cublasLtMatrixLayoutInit_internal(void* memory, size_t bytes, DataType type, uint64_t rows,
                                            uint64_t columns, int64_t ld) {
    if (memory == nullptr || bytes < sizeof(Layout)) return status_invalid_value;
    fill_layout(reset<Layout>(memory, bytes), type, rows, columns, ld);
    return status_success;
}

REVATI_LT cublasLtMatrixLayoutCreate(Layout** out, DataType type, uint64_t rows, uint64_t columns,
                                     int64_t ld) {
    if (out == nullptr) return status_invalid_value;
    *out = static_cast<Layout*>(std::malloc(layout_bytes));
    return *out == nullptr ? status_alloc_failed
                           : cublasLtMatrixLayoutInit_internal(*out, layout_bytes, type, rows, columns, ld);
}

REVATI_LT cublasLtMatrixLayoutDestroy(Layout* layout) {
    return destroy(layout);
}

REVATI_LT cublasLtMatrixLayoutSetAttribute(Layout* layout, int number, const void* value, size_t bytes) {
    return is_live(layout) ? set_attribute(layout_attributes, layout, number, value, bytes)
                           : status_invalid_value;
}

REVATI_LT cublasLtMatrixLayoutGetAttribute(Layout* layout, int number, void* value, size_t bytes,
                                           size_t* written) {
    return is_live(layout) ? get_attribute(layout_attributes, layout, number, value, bytes, written)
                           : status_invalid_value;
}

REVATI_LT cublasLtMatmulDescInit_internal(void* memory, size_t bytes, ComputeType compute, DataType scale) {
    if (memory == nullptr || bytes < sizeof(Desc)) return status_invalid_value;
    fill_desc(reset<Desc>(memory, bytes), compute, scale);
    return status_success;
}

REVATI_LT cublasLtMatmulDescCreate(Desc** out, ComputeType compute, DataType scale) {
    if (out == nullptr) return status_invalid_value;
    *out = static_cast<Desc*>(std::malloc(desc_bytes));
    return *out == nullptr ? status_alloc_failed
                           : cublasLtMatmulDescInit_internal(*out, desc_bytes, compute, scale);
}

REVATI_LT cublasLtMatmulDescDestroy(Desc* desc) {
    return destroy(desc);
}

REVATI_LT cublasLtMatmulDescSetAttribute(Desc* desc, int number, const void* value, size_t bytes) {
    return is_live(desc) ? set_attribute(desc_attributes, desc, number, value, bytes) : status_invalid_value;
}

REVATI_LT cublasLtMatmulDescGetAttribute(Desc* desc, int number, void* value, size_t bytes, size_t* written) {
    return is_live(desc) ? get_attribute(desc_attributes, desc, number, value, bytes, written)
                         : status_invalid_value;
}

REVATI_LT cublasLtMatmulPreferenceInit_internal(void* memory, size_t bytes) {
    if (memory == nullptr || bytes < sizeof(Preference)) return status_invalid_value;
    fill_preference(reset<Preference>(memory, bytes));
    return status_success;
}

REVATI_LT cublasLtMatmulPreferenceCreate(Preference** out) {
    if (out == nullptr) return status_invalid_value;
    *out = static_cast<Preference*>(std::malloc(preference_bytes));
    return *out == nullptr ? status_alloc_failed
                           : cublasLtMatmulPreferenceInit_internal(*out, preference_bytes);
}

REVATI_LT cublasLtMatmulPreferenceDestroy(Preference* preference) {
    return destroy(preference);
}

REVATI_LT cublasLtMatmulPreferenceSetAttribute(Preference* preference, int number, const void* value,
                                               size_t bytes) {
    return is_live(preference) ? set_attribute(preference_attributes, preference, number, value, bytes)
                               : status_invalid_value;
}

REVATI_LT cublasLtMatmulPreferenceGetAttribute(Preference* preference, int number, void* value, size_t bytes,
                                               size_t* written) {
    return is_live(preference)
               ? get_attribute(preference_attributes, preference, number, value, bytes, written)
               : status_invalid_value;
}

REVATI_LT cublasLtMatmulAlgoConfigSetAttribute(Algo* algo, int number, const void* value, size_t bytes) {
    return is_live(algo) ? set_attribute(algo_attributes, algo, number, value, bytes) : status_invalid_value;
}

REVATI_LT cublasLtMatmulAlgoConfigGetAttribute(const Algo* algo, int number, void* value, size_t bytes,
                                               size_t* written) {
    return is_live(algo) ? get_attribute(algo_attributes, algo, number, value, bytes, written)
                         : status_invalid_value;
}

}  // namespace revati::cublaslt
