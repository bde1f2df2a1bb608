// Checks of copies that several files need.
#pragma once

#include "cuda/runtime/runtime.h"

namespace revati::cuda::runtime {

// What a copy reads and writes: `height` rows of `width` bytes.
struct CopyShape {
    void* destination;
    size_t destination_pitch;
    const void* source;
    size_t source_pitch;
    size_t width, height;
};

// Direction, pitches, and that what is said to be device memory is some, large enough.
cudaError_t check_copy(const CopyShape& shape, cudaMemcpyKind kind);
// invalid_value unless `bytes` bytes from `pointer` on are memory that the device can write.
Status check_device_range(const void* pointer, size_t bytes);

// A three-dimensional copy without arrays as slices of a two-dimensional one. False if it involves arrays.
struct Slices {
    CopyShape first;
    size_t count, destination_stride, source_stride;
};
bool slices_of(const cudaMemcpy3DParms& parameters, Slices* out);

}  // namespace revati::cuda::runtime
