// Allocation, host memory, pointers, IPC.
#include "device/memory.h"

#include <cstring>
#include <mutex>
#include <unordered_map>

#include "cuda/runtime/pool.h"
#include "cuda/runtime/runtime.h"

using namespace revati;
using namespace revati::cuda::runtime;

namespace {

// The flags that a host allocation was made with, for cudaHostGetFlags; only those that differ from the
// default.
struct HostFlags {
    std::mutex mutex;
    std::unordered_map<uintptr_t, unsigned> of_base;
};

HostFlags& host_flags() {
    static auto* const flags = new HostFlags;
    return *flags;
}

void remember_flags(const void* base, unsigned flags) {
    if (flags == 0) return;
    const std::lock_guard<std::mutex> lock(host_flags().mutex);
    host_flags().of_base[reinterpret_cast<uintptr_t>(base)] = flags;
}

void forget_flags(const void* base) {
    const std::lock_guard<std::mutex> lock(host_flags().mutex);
    host_flags().of_base.erase(reinterpret_cast<uintptr_t>(base));
}

bool host_allocation(const void* pointer, device::Allocation* allocation) {
    return device::find_allocation(pointer, allocation) &&
           (allocation->kind == device::MemoryKind::pinned ||
            allocation->kind == device::MemoryKind::registered);
}

cudaError_t allocate_host(void** out, size_t bytes, unsigned flags) {
    if (out == nullptr) return finish(cudaErrorInvalidValue);
    return on_device([=](int device) {
        Status status = device::check_unsafe_call();
        if (status == Status::ok) status = device::allocate_pinned(device, bytes, out);
        if (status == Status::ok) remember_flags(*out, flags);
        return status;
    });
}

constexpr size_t pitch_alignment = 512;

}  // namespace

cudaError_t cudaMalloc(void** out, size_t bytes) {
    if (out == nullptr) return finish(cudaErrorInvalidValue);
    return on_device([=](int device) {
        const Status status = device::check_unsafe_call();
        return status == Status::ok ? device::allocate_device(device, bytes, out) : status;
    });
}

cudaError_t cudaMallocManaged(void** out, size_t bytes, unsigned flags) {
    if (out == nullptr || bytes == 0) return finish(cudaErrorInvalidValue);
    if (flags != cudaMemAttachGlobal && flags != cudaMemAttachHost) return finish(cudaErrorInvalidValue);
    return on_device([=](int device) {
        const Status status = device::check_unsafe_call();
        return status == Status::ok ? device::allocate_managed(device, bytes, out) : status;
    });
}

cudaError_t cudaMallocPitch(void** out, size_t* pitch, size_t width, size_t height) {
    if (pitch == nullptr) return finish(cudaErrorInvalidValue);
    *pitch = (width + pitch_alignment - 1) / pitch_alignment * pitch_alignment;
    return cudaMalloc(out, *pitch * height);
}

cudaError_t cudaMalloc3D(cudaPitchedPtr* out, cudaExtent extent) {
    if (out == nullptr) return finish(cudaErrorInvalidValue);
    *out = {nullptr, 0, extent.width, extent.height};
    return cudaMallocPitch(&out->ptr, &out->pitch, extent.width, extent.height * extent.depth);
}

cudaError_t cudaFree(void* pointer) {
    return on_device([=](int) {
        if (pointer == nullptr) return Status::ok;
        const Status safe = device::check_unsafe_call();
        if (safe != Status::ok) return safe;
        device::Allocation allocation;
        if (!device::find_allocation(pointer, &allocation)) return Status::invalid_value;
        // Freeing waits for the device that owns the memory.
        const Status waited = device::synchronize_device(allocation.device);
        if (waited != Status::ok) return waited;
        forget_pool_allocation(pointer);
        return device::free_device(pointer);
    });
}

cudaError_t cudaMallocHost(void** out, size_t bytes) {
    return allocate_host(out, bytes, 0);
}

cudaError_t cudaHostAlloc(void** out, size_t bytes, unsigned flags) {
    if ((flags & ~(cudaHostAllocPortable | cudaHostAllocMapped | cudaHostAllocWriteCombined)) != 0)
        return finish(cudaErrorInvalidValue);
    return allocate_host(out, bytes, flags);
}

cudaError_t cudaFreeHost(void* pointer) {
    return on_device([=](int) {
        if (pointer == nullptr) return Status::ok;
        const Status safe = device::check_unsafe_call();
        if (safe != Status::ok) return safe;
        forget_flags(pointer);
        return device::free_pinned(pointer);
    });
}

cudaError_t cudaHostRegister(void* pointer, size_t bytes, unsigned flags) {
    constexpr unsigned known = cudaHostRegisterPortable | cudaHostRegisterMapped | cudaHostRegisterIoMemory |
                               cudaHostRegisterReadOnly;
    if (pointer == nullptr || bytes == 0 || (flags & ~known) != 0) return finish(cudaErrorInvalidValue);
    return on_device([=](int device) {
        Status status = device::check_unsafe_call();
        if (status == Status::ok) status = device::register_host(device, pointer, bytes);
        if (status == Status::ok) remember_flags(pointer, flags);
        return status;
    });
}

cudaError_t cudaHostUnregister(void* pointer) {
    if (pointer == nullptr) return finish(cudaErrorInvalidValue);
    return on_device([=](int) {
        const Status safe = device::check_unsafe_call();
        if (safe != Status::ok) return safe;
        forget_flags(pointer);
        return device::unregister_host(pointer);
    });
}

cudaError_t cudaHostGetDevicePointer(void** out, void* pointer, unsigned flags) {
    if (out == nullptr || pointer == nullptr || flags != 0) return finish(cudaErrorInvalidValue);
    return on_device([=](int) {
        device::Allocation allocation;
        if (!host_allocation(pointer, &allocation)) return Status::invalid_value;
        device::give_back_if_clear(allocation);
        *out = pointer;  // unified addressing
        return Status::ok;
    });
}

cudaError_t cudaHostGetFlags(unsigned* flags, void* pointer) {
    if (flags == nullptr || pointer == nullptr) return finish(cudaErrorInvalidValue);
    return on_device([=](int) {
        device::Allocation allocation;
        if (!host_allocation(pointer, &allocation)) return Status::invalid_value;
        const std::lock_guard<std::mutex> lock(host_flags().mutex);
        const auto found = host_flags().of_base.find(allocation.base);
        // With unified addressing all of it is mapped.
        *flags = (found != host_flags().of_base.end() ? found->second : 0) | cudaHostAllocMapped;
        return Status::ok;
    });
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
    return on_device([=](int device) {
        size_t available = 0, total = 0;
        const Status status = device::memory_info(device, &available, &total);
        if (free_bytes != nullptr) *free_bytes = available;
        if (total_bytes != nullptr) *total_bytes = total;
        return status;
    });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
    if (attributes == nullptr) return finish(cudaErrorInvalidValue);
    if (device::device_count() == 0) return finish(cudaErrorNoDevice);
    memset(attributes, 0, sizeof *attributes);
    void* const address = const_cast<void*>(pointer);
    device::Allocation allocation;
    if (!device::find_allocation(pointer, &allocation)) {
        attributes->type = cudaMemoryTypeUnregistered;
        attributes->device = cudaInvalidDeviceId;
        attributes->hostPointer = address;
        return cudaSuccess;
    }
    attributes->device = allocation.device;
    attributes->devicePointer = address;
    switch (allocation.kind) {
        case device::MemoryKind::pinned:
        case device::MemoryKind::registered:
            attributes->type = cudaMemoryTypeHost;
            attributes->hostPointer = address;
            break;
        case device::MemoryKind::managed:
            attributes->type = cudaMemoryTypeManaged;
            attributes->hostPointer = address;
            break;
        default:
            attributes->type = cudaMemoryTypeDevice;
    }
    return cudaSuccess;
}

cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t* handle, void* pointer) {
    if (handle == nullptr || pointer == nullptr) return finish(cudaErrorInvalidValue);
    return on_device([=](int) {
        device::MemoryShareHandle shared;
        const Status status = device::share_memory(pointer, &shared);
        if (status == Status::ok) memcpy(handle, &shared, sizeof shared);
        return status;
    });
}

cudaError_t cudaIpcOpenMemHandle(void** out, cudaIpcMemHandle_t handle, unsigned flags) {
    if (out == nullptr || flags != cudaIpcMemLazyEnablePeerAccess) return finish(cudaErrorInvalidValue);
    return on_device([&](int device) {
        device::MemoryShareHandle shared;
        static_assert(sizeof shared == sizeof handle, "handles must fit");
        memcpy(&shared, &handle, sizeof shared);
        return device::open_shared_memory(device, shared, out);
    });
}

cudaError_t cudaIpcCloseMemHandle(void* pointer) {
    if (pointer == nullptr) return finish(cudaErrorInvalidValue);
    return on_device([=](int) { return device::close_shared_memory(pointer); });
}
