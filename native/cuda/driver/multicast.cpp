#include "cuda/driver/multicast.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <map>
#include <mutex>
#include <set>
#include <string>

namespace revati::driver {
namespace {

struct MulticastObject {
    unsigned members = 0;  // size of the team, as created
    size_t bytes = 0;
    std::set<int> devices;  // those that joined in this process
};

struct Registry {
    std::mutex mutex;
    std::map<CUmemGenericAllocationHandle, MulticastObject> objects;
};

Registry& registry() {
    static auto* instance = new Registry;  // outlives the exit handlers of other libraries
    return *instance;
}

// The name tells other processes what an imported file descriptor is.
constexpr char name_format[] = "revati-multicast-%u";

CUresult check_supported() {
    if (device::device_count() == 0) return CUDA_ERROR_NO_DEVICE;
    return device::gpu().multicast != 0 ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
}

CUresult check_properties(const CUmulticastObjectProp* properties) {
    if (properties == nullptr || properties->size == 0 || properties->flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (properties->numDevices == 0) return CUDA_ERROR_INVALID_VALUE;
    return (properties->handleTypes & ~1ULL) != 0 ? CUDA_ERROR_NOT_SUPPORTED : CUDA_SUCCESS;
}

// Checks the handle and the range, with the registry locked for the time of the call.
CUresult check_range(CUmemGenericAllocationHandle handle, size_t offset, size_t bytes) {
    std::lock_guard lock(registry().mutex);
    auto found = registry().objects.find(handle);
    if (found == registry().objects.end()) return CUDA_ERROR_INVALID_HANDLE;
    size_t unit = device::mapping_granularity();
    bool aligned = bytes != 0 && bytes % unit == 0 && offset % unit == 0;
    return aligned && offset + bytes <= found->second.bytes ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

void recognise_multicast(CUmemGenericAllocationHandle handle, int fd) {
    char path[64], target[128];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length <= 0) return;
    target[length] = '\0';
    unsigned members = 0;
    const std::string format = std::string("/memfd:") + name_format;
    if (std::sscanf(target, format.c_str(), &members) != 1) return;
    size_t bytes = device::physical_bytes_of(reinterpret_cast<device::PhysicalMemory*>(handle));
    std::lock_guard lock(registry().mutex);
    registry().objects[handle] = MulticastObject{members, bytes, {}};
}

void forget_multicast(CUmemGenericAllocationHandle handle) {
    std::lock_guard lock(registry().mutex);
    registry().objects.erase(handle);
}

REVATI_DRIVER cuMulticastGetGranularity(size_t* granularity, const CUmulticastObjectProp* properties,
                                        CUmulticastGranularity_flags option) {
    if (granularity == nullptr || option > CU_MULTICAST_GRANULARITY_RECOMMENDED)
        return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = check_supported()) return error;
    if (CUresult error = check_properties(properties)) return error;
    *granularity = device::mapping_granularity();
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuMulticastCreate(CUmemGenericAllocationHandle* out, const CUmulticastObjectProp* properties) {
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = check_supported()) return error;
    if (CUresult error = check_properties(properties)) return error;
    if (properties->size % device::mapping_granularity() != 0) return CUDA_ERROR_INVALID_VALUE;
    char name[64];
    std::snprintf(name, sizeof name, name_format, properties->numDevices);
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, static_cast<off_t>(properties->size)) != 0) {
        if (fd >= 0) close(fd);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    // Imported memory charges no device: a multicast object has addresses and no memory of its own.
    auto status = device::import_physical(fd, reinterpret_cast<device::PhysicalMemory**>(out));
    if (status == device::Status::ok) recognise_multicast(*out, fd);
    close(fd);
    return result(status);
}

REVATI_DRIVER cuMulticastAddDevice(CUmemGenericAllocationHandle handle, CUdevice device) {
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    std::lock_guard lock(registry().mutex);
    auto found = registry().objects.find(handle);
    if (found == registry().objects.end()) return CUDA_ERROR_INVALID_HANDLE;
    MulticastObject& object = found->second;
    bool full = object.devices.size() >= object.members;
    return !full && object.devices.insert(device).second ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

REVATI_DRIVER cuMulticastBindMem(CUmemGenericAllocationHandle handle, size_t offset,
                                 CUmemGenericAllocationHandle memory, size_t memory_offset, size_t bytes,
                                 unsigned long long flags) {
    if (memory == 0 || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    size_t available = device::physical_bytes_of(reinterpret_cast<device::PhysicalMemory*>(memory));
    if (memory_offset + bytes > available) return CUDA_ERROR_INVALID_VALUE;
    return check_range(handle, offset, bytes);
}

REVATI_DRIVER cuMulticastBindAddr(CUmemGenericAllocationHandle handle, size_t offset, CUdeviceptr address,
                                  size_t bytes, unsigned long long flags) {
    device::Allocation allocation;
    if (flags != 0 || !device::find_allocation(to_pointer(address), &allocation))
        return CUDA_ERROR_INVALID_VALUE;
    return check_range(handle, offset, bytes);
}

REVATI_DRIVER cuMulticastUnbind(CUmemGenericAllocationHandle handle, CUdevice device, size_t offset,
                                size_t bytes) {
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    return check_range(handle, offset, bytes);
}

}  // namespace revati::driver
