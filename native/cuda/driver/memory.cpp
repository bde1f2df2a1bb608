// Allocation of device and host memory, and what a pointer tells about itself.
#include "cuda/driver/context.h"

namespace revati::driver {
namespace {

// Rows of a pitched allocation start at multiples of this, as on every GPU since compute capability 3.0.
constexpr size_t pitch_unit_bytes = 512;

CUresult require_safe_call() {
    if (CUresult error = require_context()) return error;
    return result(device::check_unsafe_call());
}

bool on_host(const device::Allocation& allocation) {
    return allocation.kind == device::MemoryKind::pinned || allocation.kind == device::MemoryKind::registered;
}

template <typename T>
CUresult answer(void* out, T value) {
    *static_cast<T*>(out) = value;
    return CUDA_SUCCESS;
}

CUresult attribute_of(const device::Allocation& allocation, CUpointer_attribute attribute,
                      CUdeviceptr pointer, void* out) {
    bool host = on_host(allocation);
    bool managed = allocation.kind == device::MemoryKind::managed;
    bool exportable = allocation.kind == device::MemoryKind::mapped;
    switch (attribute) {
        case CU_POINTER_ATTRIBUTE_CONTEXT:
            return answer(out, to_handle(primary_context(allocation.device)));
        case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
            return answer<unsigned>(out, host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE);
        case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
            return answer(out, pointer);
        case CU_POINTER_ATTRIBUTE_HOST_POINTER:
            return host || managed ? answer(out, to_pointer(pointer)) : CUDA_ERROR_INVALID_VALUE;
        case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
            return answer<bool>(out, false);
        case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
        case CU_POINTER_ATTRIBUTE_BUFFER_ID:
            return answer<unsigned long long>(out, allocation.id);
        case CU_POINTER_ATTRIBUTE_IS_MANAGED:
            return answer<bool>(out, managed);
        case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
            return answer<int>(out, allocation.device);
        case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
            return answer<bool>(out, allocation.kind == device::MemoryKind::device);
        case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
        case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
            return answer<CUdeviceptr>(out, allocation.base);
        case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
        case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
            return answer<size_t>(out, allocation.bytes);
        case CU_POINTER_ATTRIBUTE_MAPPED:
            return answer<bool>(out, true);
        case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
            return answer<unsigned long long>(
                out, exportable ? CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR : CU_MEM_HANDLE_TYPE_NONE);
        case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
            return answer<bool>(out, false);
        case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
            return answer<unsigned>(out, CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE);
        case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
            return answer<CUmemoryPool>(out, nullptr);
        default:
            return CUDA_ERROR_INVALID_VALUE;
    }
}

// What cuPointerGetAttributes writes for memory that CUDA does not know: it succeeds where
// cuPointerGetAttribute refuses.
void attribute_of_foreign(CUpointer_attribute attribute, CUdeviceptr pointer, void* out) {
    switch (attribute) {
        case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
            *static_cast<unsigned*>(out) = 0;
            break;
        case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
            *static_cast<int*>(out) = -2;
            break;
        case CU_POINTER_ATTRIBUTE_HOST_POINTER:
            *static_cast<void**>(out) = to_pointer(pointer);
            break;
        case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
        case CU_POINTER_ATTRIBUTE_IS_MANAGED:
        case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
        case CU_POINTER_ATTRIBUTE_MAPPED:
        case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
            *static_cast<bool*>(out) = false;
            break;
        default:
            *static_cast<uint64_t*>(out) = 0;
            break;
    }
}

}  // namespace

REVATI_DRIVER cuMemGetInfo_v2(size_t* free_bytes, size_t* total_bytes) {
    if (free_bytes == nullptr || total_bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    return result(device::memory_info(device::current_device(), free_bytes, total_bytes));
}

REVATI_DRIVER cuMemAlloc_v2(CUdeviceptr* out, size_t bytes) {
    if (out == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_safe_call()) return error;
    return result(device::allocate_device(device::current_device(), bytes, reinterpret_cast<void**>(out)));
}

REVATI_DRIVER cuMemAllocPitch_v2(CUdeviceptr* out, size_t* pitch, size_t width_bytes, size_t height,
                                 unsigned int element_bytes) {
    bool valid_element = element_bytes == 4 || element_bytes == 8 || element_bytes == 16;
    if (out == nullptr || pitch == nullptr || width_bytes == 0 || height == 0 || !valid_element)
        return CUDA_ERROR_INVALID_VALUE;
    *pitch = (width_bytes + pitch_unit_bytes - 1) / pitch_unit_bytes * pitch_unit_bytes;
    return cuMemAlloc_v2(out, *pitch * height);
}

REVATI_DRIVER cuMemAllocManaged(CUdeviceptr* out, size_t bytes, unsigned int flags) {
    bool valid_flags = flags == CU_MEM_ATTACH_GLOBAL || flags == CU_MEM_ATTACH_HOST;
    if (out == nullptr || bytes == 0 || !valid_flags) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_safe_call()) return error;
    return result(device::allocate_managed(device::current_device(), bytes, reinterpret_cast<void**>(out)));
}

REVATI_DRIVER cuMemFree_v2(CUdeviceptr pointer) {
    if (pointer == 0) return CUDA_SUCCESS;
    if (CUresult error = require_safe_call()) return error;
    return result(device::free_device(to_pointer(pointer)));
}

REVATI_DRIVER cuMemGetAddressRange_v2(CUdeviceptr* base, size_t* bytes, CUdeviceptr pointer) {
    if (CUresult error = require_context()) return error;
    device::Allocation allocation;
    if (!device::find_allocation(to_pointer(pointer), &allocation)) return CUDA_ERROR_NOT_FOUND;
    if (base != nullptr) *base = allocation.base;
    if (bytes != nullptr) *bytes = allocation.bytes;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuMemHostAlloc(void** out, size_t bytes, unsigned int flags) {
    constexpr unsigned known =
        CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED;
    if (out == nullptr || bytes == 0 || (flags & ~known) != 0) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_safe_call()) return error;
    return result(device::allocate_pinned(device::current_device(), bytes, out));
}

REVATI_DRIVER cuMemAllocHost_v2(void** out, size_t bytes) {
    return cuMemHostAlloc(out, bytes, 0);
}

REVATI_DRIVER cuMemFreeHost(void* pointer) {
    if (pointer == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_safe_call()) return error;
    return result(device::free_pinned(pointer));
}

REVATI_DRIVER cuMemHostRegister_v2(void* pointer, size_t bytes, unsigned int flags) {
    constexpr unsigned known =
        CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP | CU_MEMHOSTREGISTER_READ_ONLY;
    if (pointer == nullptr || bytes == 0 || (flags & ~known) != 0) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_safe_call()) return error;
    return result(device::register_host(device::current_device(), pointer, bytes));
}

REVATI_DRIVER cuMemHostUnregister(void* pointer) {
    if (pointer == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_safe_call()) return error;
    return result(device::unregister_host(pointer));
}

REVATI_DRIVER cuMemHostGetDevicePointer_v2(CUdeviceptr* out, void* pointer, unsigned int flags) {
    device::Allocation allocation;
    if (out == nullptr || pointer == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    bool known = device::find_allocation(pointer, &allocation) && on_host(allocation);
    if (!known) return CUDA_ERROR_INVALID_VALUE;
    device::give_back_if_clear(allocation);
    *out = to_address(pointer);
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuMemHostGetFlags(unsigned int* flags, void* pointer) {
    device::Allocation allocation;
    if (flags == nullptr || pointer == nullptr) return CUDA_ERROR_INVALID_VALUE;
    bool known = device::find_allocation(pointer, &allocation) && on_host(allocation);
    if (!known) return CUDA_ERROR_INVALID_VALUE;
    // With unified addressing all pinned memory is portable and mapped.
    *flags = CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuPointerGetAttribute(void* out, CUpointer_attribute attribute, CUdeviceptr pointer) {
    device::Allocation allocation;
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!device::find_allocation(to_pointer(pointer), &allocation)) return CUDA_ERROR_INVALID_VALUE;
    return attribute_of(allocation, attribute, pointer, out);
}

REVATI_DRIVER cuPointerGetAttributes(unsigned int count, CUpointer_attribute* attributes, void** out,
                                     CUdeviceptr pointer) {
    if (attributes == nullptr || out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    device::Allocation allocation;
    bool known = device::find_allocation(to_pointer(pointer), &allocation);
    for (unsigned index = 0; index < count; ++index) {
        bool answered =
            known && attribute_of(allocation, attributes[index], pointer, out[index]) == CUDA_SUCCESS;
        if (!answered) attribute_of_foreign(attributes[index], pointer, out[index]);
    }
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuPointerSetAttribute(const void* value, CUpointer_attribute attribute, CUdeviceptr pointer) {
    device::Allocation allocation;
    if (value == nullptr || attribute != CU_POINTER_ATTRIBUTE_SYNC_MEMOPS) return CUDA_ERROR_INVALID_VALUE;
    // Every copy is done when it is submitted, so that this attribute's promise always holds.
    return device::find_allocation(to_pointer(pointer), &allocation) ? CUDA_SUCCESS
                                                                     : CUDA_ERROR_INVALID_VALUE;
}

REVATI_DRIVER cuMemAdvise(CUdeviceptr pointer, size_t bytes, CUmem_advise, CUdevice) {
    device::Allocation allocation;
    bool managed = bytes > 0 && device::find_allocation(to_pointer(pointer), &allocation) &&
                   allocation.kind == device::MemoryKind::managed;
    return managed ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

REVATI_DRIVER cuMemAdvise_v2(CUdeviceptr pointer, size_t bytes, CUmem_advise advice, CUmemLocation location) {
    return cuMemAdvise(pointer, bytes, advice, location.id);
}

REVATI_DRIVER cuMemPrefetchAsync(CUdeviceptr pointer, size_t bytes, CUdevice, CUstream stream) {
    if (to_stream(stream) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return cuMemAdvise(pointer, bytes, CU_MEM_ADVISE_SET_PREFERRED_LOCATION, 0);
}

REVATI_DRIVER cuMemPrefetchAsync_v2(CUdeviceptr pointer, size_t bytes, CUmemLocation location,
                                    unsigned int flags, CUstream stream) {
    return flags != 0 ? CUDA_ERROR_INVALID_VALUE : cuMemPrefetchAsync(pointer, bytes, location.id, stream);
}

}  // namespace revati::driver
