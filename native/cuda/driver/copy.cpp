// Copies.
#include "cuda/driver/copy.h"

namespace revati::driver {
namespace {

CUresult copy(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream handle, bool synchronous) {
    if (bytes == 0) return CUDA_SUCCESS;
    if (destination == 0 || source == 0) return CUDA_ERROR_INVALID_VALUE;
    device::Stream* stream = to_stream(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return result(device::copy(stream, to_pointer(destination), to_pointer(source), bytes, synchronous));
}

CUresult copy_now(CUdeviceptr destination, CUdeviceptr source, size_t bytes) {
    if (CUresult error = require_context()) return error;
    return copy(destination, source, bytes, nullptr, true);
}

CUresult copy_rectangle(const CUDA_MEMCPY2D* given, CUstream handle, bool synchronous) {
    if (given == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    device::Stream* stream = to_stream(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    CUDA_MEMCPY3D box = {};
    box.srcXInBytes = given->srcXInBytes, box.srcY = given->srcY;
    box.srcMemoryType = given->srcMemoryType, box.srcHost = given->srcHost, box.srcDevice = given->srcDevice;
    box.srcPitch = given->srcPitch;
    box.dstXInBytes = given->dstXInBytes, box.dstY = given->dstY;
    box.dstMemoryType = given->dstMemoryType, box.dstHost = given->dstHost, box.dstDevice = given->dstDevice;
    box.dstPitch = given->dstPitch;
    box.WidthInBytes = given->WidthInBytes, box.Height = given->Height, box.Depth = 1;
    return copy_box(stream, box, synchronous);
}

uint8_t* start_of(CUmemorytype type, const void* host, CUdeviceptr address) {
    if (type == CU_MEMORYTYPE_HOST) return static_cast<uint8_t*>(const_cast<void*>(host));
    bool linear = type == CU_MEMORYTYPE_DEVICE || type == CU_MEMORYTYPE_UNIFIED;
    return linear ? static_cast<uint8_t*>(to_pointer(address)) : nullptr;
}

}  // namespace

CUresult plan_box(const CUDA_MEMCPY3D& box, BoxPlan* plan) {
    uint8_t* source = start_of(box.srcMemoryType, box.srcHost, box.srcDevice);
    uint8_t* destination = start_of(box.dstMemoryType, box.dstHost, box.dstDevice);
    if (box.srcMemoryType == CU_MEMORYTYPE_ARRAY || box.dstMemoryType == CU_MEMORYTYPE_ARRAY)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (source == nullptr || destination == nullptr) return CUDA_ERROR_INVALID_VALUE;
    plan->source_pitch = box.srcPitch != 0 ? box.srcPitch : box.srcXInBytes + box.WidthInBytes;
    plan->destination_pitch = box.dstPitch != 0 ? box.dstPitch : box.dstXInBytes + box.WidthInBytes;
    if (plan->source_pitch < box.WidthInBytes || plan->destination_pitch < box.WidthInBytes)
        return CUDA_ERROR_INVALID_VALUE;
    plan->source_slice = plan->source_pitch * (box.srcHeight != 0 ? box.srcHeight : box.srcY + box.Height);
    plan->destination_slice =
        plan->destination_pitch * (box.dstHeight != 0 ? box.dstHeight : box.dstY + box.Height);
    plan->source = source + box.srcZ * plan->source_slice + box.srcY * plan->source_pitch + box.srcXInBytes;
    plan->destination = destination + box.dstZ * plan->destination_slice +
                        box.dstY * plan->destination_pitch + box.dstXInBytes;
    return CUDA_SUCCESS;
}

CUresult copy_box(device::Stream* stream, const CUDA_MEMCPY3D& box, bool synchronous) {
    if (box.WidthInBytes == 0 || box.Height == 0 || box.Depth == 0) return CUDA_SUCCESS;
    BoxPlan plan;
    CUresult error = plan_box(box, &plan);
    if (error != CUDA_SUCCESS) return error;
    for (size_t slice = 0; slice < box.Depth; ++slice) {
        auto status = device::copy_2d(stream, plan.destination + slice * plan.destination_slice,
                                      plan.destination_pitch, plan.source + slice * plan.source_slice,
                                      plan.source_pitch, box.WidthInBytes, box.Height, synchronous);
        if (status != device::Status::ok) return result(status);
    }
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuMemcpy(CUdeviceptr destination, CUdeviceptr source, size_t bytes) {
    return copy_now(destination, source, bytes);
}

REVATI_DRIVER cuMemcpyPeer(CUdeviceptr destination, CUcontext, CUdeviceptr source, CUcontext, size_t bytes) {
    return copy_now(destination, source, bytes);
}

REVATI_DRIVER cuMemcpyHtoD_v2(CUdeviceptr destination, const void* source, size_t bytes) {
    return copy_now(destination, to_address(source), bytes);
}

REVATI_DRIVER cuMemcpyDtoH_v2(void* destination, CUdeviceptr source, size_t bytes) {
    return copy_now(to_address(destination), source, bytes);
}

REVATI_DRIVER cuMemcpyDtoD_v2(CUdeviceptr destination, CUdeviceptr source, size_t bytes) {
    return copy_now(destination, source, bytes);
}

REVATI_DRIVER cuMemcpyAsync(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream) {
    return copy(destination, source, bytes, stream, false);
}

REVATI_DRIVER cuMemcpyPeerAsync(CUdeviceptr destination, CUcontext, CUdeviceptr source, CUcontext,
                                size_t bytes, CUstream stream) {
    return copy(destination, source, bytes, stream, false);
}

REVATI_DRIVER cuMemcpyHtoDAsync_v2(CUdeviceptr destination, const void* source, size_t bytes,
                                   CUstream stream) {
    return copy(destination, to_address(source), bytes, stream, false);
}

REVATI_DRIVER cuMemcpyDtoHAsync_v2(void* destination, CUdeviceptr source, size_t bytes, CUstream stream) {
    return copy(to_address(destination), source, bytes, stream, false);
}

REVATI_DRIVER cuMemcpyDtoDAsync_v2(CUdeviceptr destination, CUdeviceptr source, size_t bytes,
                                   CUstream stream) {
    return copy(destination, source, bytes, stream, false);
}

REVATI_DRIVER cuMemcpy2D_v2(const CUDA_MEMCPY2D* given) {
    return copy_rectangle(given, nullptr, true);
}
REVATI_DRIVER cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D* given) {
    return copy_rectangle(given, nullptr, true);
}

REVATI_DRIVER cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* given, CUstream stream) {
    return copy_rectangle(given, stream, false);
}

REVATI_DRIVER cuMemcpy3D_v2(const CUDA_MEMCPY3D* box) {
    if (box == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    return copy_box(to_stream(nullptr), *box, true);
}

REVATI_DRIVER cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D* box, CUstream handle) {
    if (box == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    device::Stream* stream = to_stream(handle);
    return stream == nullptr ? CUDA_ERROR_INVALID_HANDLE : copy_box(stream, *box, false);
}

REVATI_DRIVER cuMemcpyBatchAsync_v2(CUdeviceptr* destinations, CUdeviceptr* sources, size_t* bytes,
                                    size_t count, CUmemcpyAttributes*, size_t*, size_t, CUstream stream) {
    if (destinations == nullptr || sources == nullptr || bytes == nullptr || count == 0)
        return CUDA_ERROR_INVALID_VALUE;
    // The legacy default stream is not allowed here.
    if (stream == nullptr || stream == CU_STREAM_LEGACY) return CUDA_ERROR_INVALID_HANDLE;
    for (size_t index = 0; index < count; ++index) {
        CUresult error = copy(destinations[index], sources[index], bytes[index], stream, false);
        if (error != CUDA_SUCCESS) return error;
    }
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuMemcpyBatchAsync(CUdeviceptr* destinations, CUdeviceptr* sources, size_t* bytes, size_t count,
                                 CUmemcpyAttributes* attributes, size_t* attribute_indices,
                                 size_t attribute_count, size_t* failed, CUstream stream) {
    if (failed != nullptr) *failed = SIZE_MAX;
    return cuMemcpyBatchAsync_v2(destinations, sources, bytes, count, attributes, attribute_indices,
                                 attribute_count, stream);
}

}  // namespace revati::driver
