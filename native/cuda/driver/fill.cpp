// Memory sets.
#include "cuda/driver/api.h"

namespace revati::driver {
namespace {

CUresult fill(CUdeviceptr address, uint32_t value, size_t element_bytes, size_t elements, CUstream handle,
              bool synchronous) {
    if (CUresult error = require_context()) return error;
    if (elements == 0) return CUDA_SUCCESS;
    if (address == 0 || address % element_bytes != 0) return CUDA_ERROR_INVALID_VALUE;
    device::Stream* stream = to_stream(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return result(device::fill(stream, to_pointer(address), value, element_bytes, elements, synchronous));
}

CUresult fill_rows(CUdeviceptr address, size_t pitch_bytes, uint32_t value, size_t element_bytes,
                   size_t width, size_t height, CUstream handle, bool synchronous) {
    if (height > 1 && pitch_bytes < width * element_bytes) return CUDA_ERROR_INVALID_VALUE;
    for (size_t row = 0; row < height; ++row) {
        CUresult error = fill(address + row * pitch_bytes, value, element_bytes, width, handle, synchronous);
        if (error != CUDA_SUCCESS) return error;
    }
    return CUDA_SUCCESS;
}

}  // namespace

REVATI_DRIVER cuMemsetD8_v2(CUdeviceptr address, unsigned char value, size_t count) {
    return fill(address, value, 1, count, nullptr, true);
}
REVATI_DRIVER cuMemsetD16_v2(CUdeviceptr address, unsigned short value, size_t count) {
    return fill(address, value, 2, count, nullptr, true);
}
REVATI_DRIVER cuMemsetD32_v2(CUdeviceptr address, unsigned int value, size_t count) {
    return fill(address, value, 4, count, nullptr, true);
}
REVATI_DRIVER cuMemsetD8Async(CUdeviceptr address, unsigned char value, size_t count, CUstream stream) {
    return fill(address, value, 1, count, stream, false);
}
REVATI_DRIVER cuMemsetD16Async(CUdeviceptr address, unsigned short value, size_t count, CUstream stream) {
    return fill(address, value, 2, count, stream, false);
}
REVATI_DRIVER cuMemsetD32Async(CUdeviceptr address, unsigned int value, size_t count, CUstream stream) {
    return fill(address, value, 4, count, stream, false);
}
REVATI_DRIVER cuMemsetD2D8_v2(CUdeviceptr address, size_t pitch, unsigned char value, size_t width,
                              size_t height) {
    return fill_rows(address, pitch, value, 1, width, height, nullptr, true);
}
REVATI_DRIVER cuMemsetD2D16_v2(CUdeviceptr address, size_t pitch, unsigned short value, size_t width,
                               size_t height) {
    return fill_rows(address, pitch, value, 2, width, height, nullptr, true);
}
REVATI_DRIVER cuMemsetD2D32_v2(CUdeviceptr address, size_t pitch, unsigned int value, size_t width,
                               size_t height) {
    return fill_rows(address, pitch, value, 4, width, height, nullptr, true);
}
REVATI_DRIVER cuMemsetD2D8Async(CUdeviceptr address, size_t pitch, unsigned char value, size_t width,
                                size_t height, CUstream stream) {
    return fill_rows(address, pitch, value, 1, width, height, stream, false);
}
REVATI_DRIVER cuMemsetD2D16Async(CUdeviceptr address, size_t pitch, unsigned short value, size_t width,
                                 size_t height, CUstream stream) {
    return fill_rows(address, pitch, value, 2, width, height, stream, false);
}
REVATI_DRIVER cuMemsetD2D32Async(CUdeviceptr address, size_t pitch, unsigned int value, size_t width,
                                 size_t height, CUstream stream) {
    return fill_rows(address, pitch, value, 4, width, height, stream, false);
}

}  // namespace revati::driver
