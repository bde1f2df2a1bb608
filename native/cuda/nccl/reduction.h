// What a reduction of a collective computes, on the host.
#pragma once

#include <cstddef>

#include "cuda/nccl/types.h"

namespace revati::nccl {

// A built-in operation, or a sum of inputs that are multiplied by a scalar first.
struct Reduction {
    RedOp op = op_sum;
    double scalar = 1;
    bool scaled = false;
};

// Whether numbers of the type can be reduced here; the 8-bit floats cannot (they carry no control values).
bool can_reduce(DataType type);
// The value of one element as it stands in memory.
double read_scalar(const void* value, DataType type);
// destination[i] = op over ranks of sources[rank][i]. The order is that of the ranks, so that all ranks get
// the same bits.
void reduce(const Reduction& reduction, DataType type, const void* const* sources, int ranks, size_t count,
            void* destination);

}  // namespace revati::nccl
