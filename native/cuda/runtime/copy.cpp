#include "cuda/runtime/copy.h"

#include <initializer_list>

#include "cuda/runtime/registration.h"
#include "device/log.h"
#include "device/memory.h"

using namespace revati;
using namespace revati::cuda::runtime;

namespace revati::cuda::runtime {

Status check_device_range(const void* pointer, size_t bytes) {
    if (bytes == 0) return Status::ok;
    device::Allocation allocation;
    if (!device::find_allocation(pointer, &allocation)) return Status::invalid_value;
    // A range may go on in the neighbouring mapping of the same reservation.
    if (allocation.kind == device::MemoryKind::mapped) return Status::ok;
    const size_t offset = reinterpret_cast<uintptr_t>(pointer) - allocation.base;
    return bytes <= allocation.bytes - offset ? Status::ok : Status::invalid_value;
}

cudaError_t check_copy(const CopyShape& shape, cudaMemcpyKind kind) {
    if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
    if (shape.width == 0 || shape.height == 0) return cudaSuccess;
    if (shape.destination == nullptr || shape.source == nullptr) return cudaErrorInvalidValue;
    if (shape.height > 1 && (shape.width > shape.destination_pitch || shape.width > shape.source_pitch))
        return cudaErrorInvalidPitchValue;
    const size_t rows_before_last = shape.height - 1;
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (to_device && check_device_range(shape.destination, rows_before_last * shape.destination_pitch +
                                                               shape.width) != Status::ok)
        return cudaErrorInvalidValue;
    if (from_device &&
        check_device_range(shape.source, rows_before_last * shape.source_pitch + shape.width) != Status::ok)
        return cudaErrorInvalidValue;
    return cudaSuccess;
}

bool slices_of(const cudaMemcpy3DParms& p, Slices* out) {
    if (p.srcArray != nullptr || p.dstArray != nullptr) return false;
    const size_t destination_stride = p.dstPtr.pitch * p.dstPtr.ysize,
                 source_stride = p.srcPtr.pitch * p.srcPtr.ysize;
    auto* const destination = static_cast<char*>(p.dstPtr.ptr) + p.dstPos.z * destination_stride +
                              p.dstPos.y * p.dstPtr.pitch + p.dstPos.x;
    auto* const source = static_cast<const char*>(p.srcPtr.ptr) + p.srcPos.z * source_stride +
                         p.srcPos.y * p.srcPtr.pitch + p.srcPos.x;
    *out = {{destination, p.dstPtr.pitch, source, p.srcPtr.pitch, p.extent.width, p.extent.height},
            p.extent.depth,
            destination_stride,
            source_stride};
    return true;
}

}  // namespace revati::cuda::runtime

namespace {

cudaError_t copy_1d(void* destination, const void* source, size_t bytes, cudaMemcpyKind kind,
                    cudaStream_t handle, bool synchronous) {
    return on_stream(handle, [=](Stream* stream) {
        const cudaError_t error = check_copy({destination, bytes, source, bytes, bytes, 1}, kind);
        if (error != cudaSuccess) return static_cast<Status>(error);
        return bytes == 0 ? Status::ok : device::copy(stream, destination, source, bytes, synchronous);
    });
}

cudaError_t copy_2d(const CopyShape& shape, cudaMemcpyKind kind, cudaStream_t handle, bool synchronous) {
    return on_stream(handle, [&](Stream* stream) {
        const cudaError_t error = check_copy(shape, kind);
        if (error != cudaSuccess) return static_cast<Status>(error);
        if (shape.width == 0 || shape.height == 0) return Status::ok;
        return device::copy_2d(stream, shape.destination, shape.destination_pitch, shape.source,
                               shape.source_pitch, shape.width, shape.height, synchronous);
    });
}

cudaError_t copy_3d(const cudaMemcpy3DParms* parameters, cudaStream_t handle, bool synchronous) {
    if (parameters == nullptr) return finish(cudaErrorInvalidValue);
    Slices slices;
    if (!slices_of(*parameters, &slices))
        return finish(
            static_cast<cudaError_t>(revati_unsupported("runtime", "cudaMemcpy3D with arrays", 801)));
    for (size_t index = 0; index < slices.count; ++index) {
        CopyShape shape = slices.first;
        shape.destination = static_cast<char*>(shape.destination) + index * slices.destination_stride;
        shape.source = static_cast<const char*>(shape.source) + index * slices.source_stride;
        const cudaError_t error = copy_2d(shape, parameters->kind, handle, synchronous);
        if (error != cudaSuccess) return error;
    }
    return cudaSuccess;
}

cudaError_t copy_peer(void* destination, int destination_device, const void* source, int source_device,
                      size_t bytes, cudaStream_t handle, bool synchronous) {
    for (const int device : {destination_device, source_device}) {
        const Status status = check_device(device);
        if (status != Status::ok) return finish(status);
    }
    return copy_1d(destination, source, bytes, cudaMemcpyDefault, handle, synchronous);
}

cudaError_t copy_3d_peer(const cudaMemcpy3DPeerParms* p, cudaStream_t handle, bool synchronous) {
    if (p == nullptr) return finish(cudaErrorInvalidValue);
    cudaMemcpy3DParms same = {};
    same.srcArray = p->srcArray;
    same.srcPos = p->srcPos;
    same.srcPtr = p->srcPtr;
    same.dstArray = p->dstArray;
    same.dstPos = p->dstPos;
    same.dstPtr = p->dstPtr;
    same.extent = p->extent;
    same.kind = cudaMemcpyDefault;
    return copy_3d(&same, handle, synchronous);
}

cudaError_t fill_1d(void* destination, int value, size_t bytes, cudaStream_t handle, bool synchronous) {
    return on_stream(handle, [=](Stream* stream) {
        if (bytes == 0) return Status::ok;
        const Status status = check_device_range(destination, bytes);
        if (status != Status::ok) return status;
        return device::fill(stream, destination, static_cast<uint8_t>(value), 1, bytes, synchronous);
    });
}

cudaError_t fill_2d(void* destination, size_t pitch, int value, size_t width, size_t height,
                    cudaStream_t handle, bool synchronous) {
    if (width == pitch || height <= 1)
        return fill_1d(destination, value, width * height, handle, synchronous);
    if (width > pitch) return finish(cudaErrorInvalidValue);
    for (size_t row = 0; row < height; ++row) {
        const cudaError_t error =
            fill_1d(static_cast<char*>(destination) + row * pitch, value, width, handle, synchronous);
        if (error != cudaSuccess) return error;
    }
    return cudaSuccess;
}

cudaError_t fill_3d(const cudaPitchedPtr& target, int value, const cudaExtent& extent, cudaStream_t handle,
                    bool synchronous) {
    for (size_t slice = 0; slice < extent.depth; ++slice) {
        void* const start = static_cast<char*>(target.ptr) + slice * target.pitch * target.ysize;
        const cudaError_t error =
            fill_2d(start, target.pitch, value, extent.width, extent.height, handle, synchronous);
        if (error != cudaSuccess) return error;
    }
    return cudaSuccess;
}

// `count` bytes at `offset` of a device variable.
Status symbol_range(const void* symbol, size_t count, size_t offset, char** address) {
    void* base = nullptr;
    size_t bytes = 0;
    const Status status = find_symbol_memory(symbol, &base, &bytes);
    if (status != Status::ok) return status;
    if (offset > bytes || count > bytes - offset) return Status::invalid_value;
    *address = static_cast<char*>(base) + offset;
    return Status::ok;
}

cudaError_t copy_to_symbol(const void* symbol, const void* source, size_t count, size_t offset,
                           cudaMemcpyKind kind, cudaStream_t handle, bool synchronous) {
    if (kind != cudaMemcpyHostToDevice && kind != cudaMemcpyDeviceToDevice && kind != cudaMemcpyDefault)
        return finish(cudaErrorInvalidMemcpyDirection);
    char* address = nullptr;
    const Status status = symbol_range(symbol, count, offset, &address);
    return status == Status::ok ? copy_1d(address, source, count, kind, handle, synchronous) : finish(status);
}

cudaError_t copy_from_symbol(void* destination, const void* symbol, size_t count, size_t offset,
                             cudaMemcpyKind kind, cudaStream_t handle, bool synchronous) {
    if (kind != cudaMemcpyDeviceToHost && kind != cudaMemcpyDeviceToDevice && kind != cudaMemcpyDefault)
        return finish(cudaErrorInvalidMemcpyDirection);
    char* address = nullptr;
    const Status status = symbol_range(symbol, count, offset, &address);
    return status == Status::ok ? copy_1d(destination, address, count, kind, handle, synchronous)
                                : finish(status);
}

// Where managed memory lies is a hint: on this host it is always in the same place.
cudaError_t check_hint(const void* pointer, size_t bytes) {
    return on_device(
        [=](int) { return bytes == 0 ? Status::invalid_value : check_device_range(pointer, bytes); });
}

}  // namespace

cudaError_t cudaMemcpy(void* destination, const void* source, size_t bytes, cudaMemcpyKind kind) {
    return copy_1d(destination, source, bytes, kind, cudaStreamLegacy, true);
}

cudaError_t cudaMemcpyAsync(void* destination, const void* source, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
    return copy_1d(destination, source, bytes, kind, stream, false);
}

cudaError_t cudaMemcpyPeer(void* destination, int destination_device, const void* source, int source_device,
                           size_t bytes) {
    return copy_peer(destination, destination_device, source, source_device, bytes, cudaStreamLegacy, true);
}

cudaError_t cudaMemcpyPeerAsync(void* destination, int destination_device, const void* source,
                                int source_device, size_t bytes, cudaStream_t stream) {
    return copy_peer(destination, destination_device, source, source_device, bytes, stream, false);
}

cudaError_t cudaMemcpy2D(void* destination, size_t destination_pitch, const void* source, size_t source_pitch,
                         size_t width, size_t height, cudaMemcpyKind kind) {
    return copy_2d({destination, destination_pitch, source, source_pitch, width, height}, kind,
                   cudaStreamLegacy, true);
}

cudaError_t cudaMemcpy2DAsync(void* destination, size_t destination_pitch, const void* source,
                              size_t source_pitch, size_t width, size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream) {
    return copy_2d({destination, destination_pitch, source, source_pitch, width, height}, kind, stream,
                   false);
}

cudaError_t cudaMemcpy3D(const cudaMemcpy3DParms* parameters) {
    return copy_3d(parameters, cudaStreamLegacy, true);
}

cudaError_t cudaMemcpy3DAsync(const cudaMemcpy3DParms* parameters, cudaStream_t stream) {
    return copy_3d(parameters, stream, false);
}

cudaError_t cudaMemcpy3DPeer(const cudaMemcpy3DPeerParms* parameters) {
    return copy_3d_peer(parameters, cudaStreamLegacy, true);
}

cudaError_t cudaMemcpy3DPeerAsync(const cudaMemcpy3DPeerParms* parameters, cudaStream_t stream) {
    return copy_3d_peer(parameters, stream, false);
}

cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* source, size_t count, size_t offset,
                               cudaMemcpyKind kind) {
    return copy_to_symbol(symbol, source, count, offset, kind, cudaStreamLegacy, true);
}

cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* source, size_t count, size_t offset,
                                    cudaMemcpyKind kind, cudaStream_t stream) {
    return copy_to_symbol(symbol, source, count, offset, kind, stream, false);
}

cudaError_t cudaMemcpyFromSymbol(void* destination, const void* symbol, size_t count, size_t offset,
                                 cudaMemcpyKind kind) {
    return copy_from_symbol(destination, symbol, count, offset, kind, cudaStreamLegacy, true);
}

cudaError_t cudaMemcpyFromSymbolAsync(void* destination, const void* symbol, size_t count, size_t offset,
                                      cudaMemcpyKind kind, cudaStream_t stream) {
    return copy_from_symbol(destination, symbol, count, offset, kind, stream, false);
}

cudaError_t cudaMemset(void* destination, int value, size_t bytes) {
    return fill_1d(destination, value, bytes, cudaStreamLegacy, true);
}

cudaError_t cudaMemsetAsync(void* destination, int value, size_t bytes, cudaStream_t stream) {
    return fill_1d(destination, value, bytes, stream, false);
}

cudaError_t cudaMemset2D(void* destination, size_t pitch, int value, size_t width, size_t height) {
    return fill_2d(destination, pitch, value, width, height, cudaStreamLegacy, true);
}

cudaError_t cudaMemset2DAsync(void* destination, size_t pitch, int value, size_t width, size_t height,
                              cudaStream_t stream) {
    return fill_2d(destination, pitch, value, width, height, stream, false);
}

cudaError_t cudaMemset3D(cudaPitchedPtr target, int value, cudaExtent extent) {
    return fill_3d(target, value, extent, cudaStreamLegacy, true);
}

cudaError_t cudaMemset3DAsync(cudaPitchedPtr target, int value, cudaExtent extent, cudaStream_t stream) {
    return fill_3d(target, value, extent, stream, false);
}

#if CUDART_VERSION < 13000

cudaError_t cudaMemcpyBatchAsync(void** destinations, void** sources, size_t* sizes, size_t count,
                                 cudaMemcpyAttributes*, size_t*, size_t, size_t* fail_index,
                                 cudaStream_t stream) {
    if (destinations == nullptr || sources == nullptr || sizes == nullptr || count == 0)
        return finish(cudaErrorInvalidValue);
    if (reinterpret_cast<uintptr_t>(stream) <= 1)
        return finish(cudaErrorInvalidValue);  // documented: not on the legacy stream
    for (size_t index = 0; index < count; ++index) {
        const cudaError_t error =
            copy_1d(destinations[index], sources[index], sizes[index], cudaMemcpyDefault, stream, false);
        if (error == cudaSuccess) continue;
        if (fail_index != nullptr) *fail_index = index;
        return error;
    }
    return cudaSuccess;
}

cudaError_t cudaMemPrefetchAsync(const void* pointer, size_t bytes, int, cudaStream_t) {
    return check_hint(pointer, bytes);
}

cudaError_t cudaMemPrefetchAsync_v2(const void* pointer, size_t bytes, cudaMemLocation, unsigned,
                                    cudaStream_t) {
    return check_hint(pointer, bytes);
}

cudaError_t cudaMemAdvise(const void* pointer, size_t bytes, cudaMemoryAdvise, int) {
    return check_hint(pointer, bytes);
}

cudaError_t cudaMemAdvise_v2(const void* pointer, size_t bytes, cudaMemoryAdvise, cudaMemLocation) {
    return check_hint(pointer, bytes);
}

#else

cudaError_t cudaMemcpyBatchAsync(void* const* destinations, const void* const* sources, const size_t* sizes,
                                 size_t count, cudaMemcpyAttributes*, size_t*, size_t, cudaStream_t stream) {
    if (destinations == nullptr || sources == nullptr || sizes == nullptr || count == 0)
        return finish(cudaErrorInvalidValue);
    if (reinterpret_cast<uintptr_t>(stream) <= 1)
        return finish(cudaErrorInvalidValue);  // documented: not on the legacy stream
    for (size_t index = 0; index < count; ++index) {
        const cudaError_t error =
            copy_1d(destinations[index], sources[index], sizes[index], cudaMemcpyDefault, stream, false);
        if (error != cudaSuccess) return error;
    }
    return cudaSuccess;
}

cudaError_t cudaMemPrefetchAsync(const void* pointer, size_t bytes, cudaMemLocation, unsigned, cudaStream_t) {
    return check_hint(pointer, bytes);
}

cudaError_t cudaMemAdvise(const void* pointer, size_t bytes, cudaMemoryAdvise, cudaMemLocation) {
    return check_hint(pointer, bytes);
}

#endif
