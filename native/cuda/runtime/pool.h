// Stream-ordered memory pools. Work happens in program order at submission, so that memory can be taken and
// given back at the call itself.
#pragma once

#include "cuda/runtime/runtime.h"

namespace revati::cuda::runtime {

// To be called when memory is freed by another way than cudaFreeAsync; does nothing for memory of no pool.
void forget_pool_allocation(const void* pointer);

}  // namespace revati::cuda::runtime
