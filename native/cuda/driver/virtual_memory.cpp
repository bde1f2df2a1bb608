// Virtual memory management: reserve, create, map, export, import.
#include "cuda/driver/multicast.h"

namespace revati::driver {
namespace {

device::PhysicalMemory* to_physical(CUmemGenericAllocationHandle handle) {
    return reinterpret_cast<device::PhysicalMemory*>(handle);
}

CUresult check_properties(const CUmemAllocationProp* properties) {
    if (properties == nullptr || properties->type != CU_MEM_ALLOCATION_TYPE_PINNED)
        return CUDA_ERROR_INVALID_VALUE;
    if (properties->location.type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_NOT_SUPPORTED;
    if (!valid_device(properties->location.id)) return CUDA_ERROR_INVALID_DEVICE;
    bool shareable = properties->requestedHandleTypes == CU_MEM_HANDLE_TYPE_NONE ||
                     properties->requestedHandleTypes == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    return shareable ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
}

}  // namespace

REVATI_DRIVER cuMemAddressReserve(CUdeviceptr* out, size_t bytes, size_t alignment, CUdeviceptr hint,
                                  unsigned long long flags) {
    if (out == nullptr || bytes == 0 || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    return result(
        device::reserve_addresses(bytes, alignment, to_pointer(hint), reinterpret_cast<void**>(out)));
}

REVATI_DRIVER cuMemAddressFree(CUdeviceptr address, size_t bytes) {
    return result(device::free_addresses(to_pointer(address), bytes));
}

REVATI_DRIVER cuMemCreate(CUmemGenericAllocationHandle* out, size_t bytes,
                          const CUmemAllocationProp* properties, unsigned long long flags) {
    if (out == nullptr || bytes == 0 || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = check_properties(properties)) return error;
    return result(device::create_physical(properties->location.id, bytes,
                                          reinterpret_cast<device::PhysicalMemory**>(out)));
}

REVATI_DRIVER cuMemRelease(CUmemGenericAllocationHandle handle) {
    forget_multicast(handle);
    return result(device::release_physical(to_physical(handle)));
}

REVATI_DRIVER cuMemMap(CUdeviceptr address, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,
                       unsigned long long flags) {
    if (address == 0 || bytes == 0 || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    return result(device::map_physical(to_pointer(address), bytes, offset, to_physical(handle)));
}

REVATI_DRIVER cuMemUnmap(CUdeviceptr address, size_t bytes) {
    return result(device::unmap_physical(to_pointer(address), bytes));
}

REVATI_DRIVER cuMemSetAccess(CUdeviceptr address, size_t bytes, const CUmemAccessDesc* access, size_t count) {
    device::Allocation allocation;
    if (address == 0 || bytes == 0 || access == nullptr || count == 0) return CUDA_ERROR_INVALID_VALUE;
    for (size_t index = 0; index < count; ++index) {
        const CUmemLocation& location = access[index].location;
        if (location.type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_NOT_SUPPORTED;
        if (!valid_device(location.id)) return CUDA_ERROR_INVALID_DEVICE;
    }
    // No kernel runs, so that there is nobody whose access could be denied.
    return device::find_allocation(to_pointer(address), &allocation) ? CUDA_SUCCESS
                                                                     : CUDA_ERROR_INVALID_VALUE;
}

REVATI_DRIVER cuMemGetAccess(unsigned long long* flags, const CUmemLocation* location, CUdeviceptr address) {
    device::Allocation allocation;
    if (flags == nullptr || location == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!device::find_allocation(to_pointer(address), &allocation)) return CUDA_ERROR_INVALID_VALUE;
    *flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuMemGetAllocationGranularity(size_t* granularity, const CUmemAllocationProp* properties,
                                            CUmemAllocationGranularity_flags option) {
    bool known = option == CU_MEM_ALLOC_GRANULARITY_MINIMUM || option == CU_MEM_ALLOC_GRANULARITY_RECOMMENDED;
    if (granularity == nullptr || !known) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = check_properties(properties)) return error;
    *granularity = device::mapping_granularity();
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp* out,
                                                     CUmemGenericAllocationHandle handle) {
    if (out == nullptr || handle == 0) return CUDA_ERROR_INVALID_VALUE;
    *out = CUmemAllocationProp{};
    out->type = CU_MEM_ALLOCATION_TYPE_PINNED;
    out->requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    out->location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    out->location.id = device::physical_device_of(to_physical(handle));
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuMemRetainAllocationHandle(CUmemGenericAllocationHandle* out, void* address) {
    if (out == nullptr || address == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return result(device::retain_physical(address, reinterpret_cast<device::PhysicalMemory**>(out)));
}

REVATI_DRIVER cuMemExportToShareableHandle(void* out, CUmemGenericAllocationHandle handle,
                                           CUmemAllocationHandleType type, unsigned long long flags) {
    if (out == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) return CUDA_ERROR_NOT_SUPPORTED;
    return result(device::export_physical(to_physical(handle), static_cast<int*>(out)));
}

REVATI_DRIVER cuMemImportFromShareableHandle(CUmemGenericAllocationHandle* out, void* shared,
                                             CUmemAllocationHandleType type) {
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) return CUDA_ERROR_NOT_SUPPORTED;
    // The file descriptor itself stands in the pointer.
    int fd = static_cast<int>(reinterpret_cast<intptr_t>(shared));
    auto status = device::import_physical(fd, reinterpret_cast<device::PhysicalMemory**>(out));
    if (status == device::Status::ok) recognise_multicast(*out, fd);
    return result(status);
}

REVATI_DRIVER cuMemGetHandleForAddressRange(void* out, CUdeviceptr, size_t, CUmemRangeHandleType,
                                            unsigned long long) {
    return out == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_NOT_SUPPORTED;  // no DMA-BUF
}

}  // namespace revati::driver
