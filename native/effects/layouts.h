// Structures that torch passes to kernels by value. Source: the headers that torch installs
// (ATen/cuda/detail/OffsetCalculator.cuh, IntegerDivider.cuh, TensorInfo.cuh,
// ATen/native/cuda/MemoryAccess.cuh, Reduce.cuh) and aten/src/ATen/native/cuda/Shape.cu, torch 2.11.
#pragma once

#include <cstdint>

#include "effects/dtype.h"
#include "effects/effects.h"

namespace revati::effects {

constexpr int max_dims = 25;

// OffsetCalculator<operands, uint32_t>: linear index -> byte offset of each operand.
class OffsetCalculator {
  public:
    OffsetCalculator(const char* base, int operands) : base_(base), operands_(operands) {}

    static constexpr size_t bytes(int operands) {
        return 4 + divider_bytes * max_dims + size_t{4} * max_dims * operands;
    }

    int dims() const { return read<int32_t>(base_); }
    uint32_t size(int dim) const { return read<uint32_t>(base_ + 4 + divider_bytes * dim); }
    uint32_t stride(int dim, int operand) const {
        return read<uint32_t>(base_ + 4 + divider_bytes * max_dims + 4 * (size_t(dim) * operands_ + operand));
    }
    bool plausible() const { return dims() >= 0 && dims() <= max_dims; }

    uint32_t offset(uint64_t index, int operand) const {
        uint32_t result = 0;
        for (int dim = 0; dim < dims(); ++dim) {
            const uint32_t extent = size(dim);
            result += static_cast<uint32_t>(index % extent) * stride(dim, operand);
            index /= extent;
        }
        return result;
    }
    void offsets(uint64_t first, int count, int operand, uint32_t* out) const {
        for (int k = 0; k < count; ++k) out[k] = offset(first + k, operand);
    }

  private:
    static constexpr size_t divider_bytes = 12;  // divisor, magic number, shift
    const char* base_;
    int operands_;
};

// LoadWithCast<count> and StoreWithCast<count>: the element types of operands that the kernel converts.
class CastTypes {
  public:
    CastTypes(const char* base, int count) : base_(base), count_(count) {}

    static constexpr size_t bytes(int count) { return align_up(count, 4) + size_t{4} * count; }

    DType dtype(int operand) const { return dtype_of_scalar_type(read<int8_t>(base_ + operand)); }

  private:
    const char* base_;
    int count_;
};

// TensorInfo<T, uint32_t>; strides count elements.
struct TensorInfo {
    char* data;
    uint32_t sizes[max_dims];
    uint32_t strides[max_dims];
    int32_t dims;

    uint64_t offset(uint64_t index) const {
        uint64_t result = 0;
        for (int dim = dims - 1; dim > 0; --dim) {
            result += index % sizes[dim] * strides[dim];
            index /= sizes[dim];
        }
        return result + index * (dims > 0 ? strides[0] : 0);
    }
};
static_assert(sizeof(TensorInfo) == 216, "must equal torch's TensorInfo");

struct ReduceConfig {
    int32_t element_bytes, inputs, outputs;
    int32_t step_input, step_output, ctas_per_output;
    int32_t input_mult[3];
    int32_t output_mult[2];
    int32_t block_width, block_height, threads;
    bool vectorize_input;
    int32_t output_vec_size;
};
static_assert(sizeof(ReduceConfig) == 64, "must equal torch's ReduceConfig");

constexpr int cat_max_dims = 4;
struct CatShape {
    uint32_t sizes[cat_max_dims];
    uint32_t strides[cat_max_dims];

    uint32_t offset(int dims, uint32_t concat_size, int concat_dim, uint32_t index) const {
        uint32_t result = 0;
        for (int dim = dims - 1; dim > 0; --dim) {
            const uint32_t extent = dim == concat_dim ? concat_size : sizes[dim];
            result += index % extent * strides[dim];
            index /= extent;
        }
        return result + index * strides[0];
    }
};

}  // namespace revati::effects
