// Multicast objects: memory that NVSwitch writes to, or reduces from, several GPUs at once. Only kernels use
// it, so that the bytes behind a mapping do not matter here; what counts is that the objects behave (create,
// share, join, bind, map) where the GPU has them.
#pragma once

#include "cuda/driver/api.h"

namespace revati::driver {

// Notes that an imported handle is a multicast object of another process, if it is.
void recognise_multicast(CUmemGenericAllocationHandle handle, int fd);
void forget_multicast(CUmemGenericAllocationHandle handle);

}  // namespace revati::driver
