// What a virtual GPU answers to `cudaDeviceGetAttribute` and `cuDeviceGetAttribute`, which number the attributes alike.
#pragma once

namespace revati::cuda {

// False for an attribute that we do not know: the caller answers "invalid value". `device` must be a visible device.
bool device_attribute(int cuda_attribute, int device, int* value);

}  // namespace revati::cuda
