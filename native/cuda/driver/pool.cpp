// Stream-ordered memory. Work happens in program order at submission, so that memory can be taken and given
// back at the call itself; a pool is an account of it.
#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "cuda/driver/context.h"

// The public header's opaque type.
struct CUmemPoolHandle_st {
    int device = 0;
    size_t most_bytes = 0;     // 0: as much as the device has
    int reuse[3] = {1, 1, 1};  // the three reuse attributes, in their order
    uint64_t release_threshold_bytes = 0;
    uint64_t used_bytes = 0, used_high_bytes = 0;
    bool is_default = false;
};

namespace revati::driver {
namespace {

using Pool = CUmemPoolHandle_st;

struct Registry {
    std::mutex mutex;
    std::set<Pool*> pools;
    std::map<int, Pool*> defaults, current;
    std::map<CUdeviceptr, std::pair<Pool*, size_t>> allocations;
};

Registry& registry() {
    static auto* instance = new Registry;  // outlives the exit handlers of other libraries
    return *instance;
}

// Both with the registry locked.
Pool* default_pool(int device) {
    Pool*& pool = registry().defaults[device];
    if (pool == nullptr) {
        pool = new Pool;
        pool->device = device;
        pool->is_default = true;
        registry().pools.insert(pool);
    }
    return pool;
}

Pool* current_pool(int device) {
    auto found = registry().current.find(device);
    return found != registry().current.end() ? found->second : default_pool(device);
}

CUresult allocate(CUdeviceptr* out, size_t bytes, Pool* pool) {
    if (pool->most_bytes != 0 && pool->used_bytes + bytes > pool->most_bytes) return CUDA_ERROR_OUT_OF_MEMORY;
    auto status = device::allocate_device(pool->device, bytes, reinterpret_cast<void**>(out));
    if (status != device::Status::ok) return result(status);
    registry().allocations[*out] = {pool, bytes};
    pool->used_bytes += bytes;
    pool->used_high_bytes = std::max(pool->used_high_bytes, pool->used_bytes);
    return CUDA_SUCCESS;
}

uint64_t* number_attribute(Pool* pool, CUmemPool_attribute attribute) {
    switch (attribute) {
        case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
            return &pool->release_threshold_bytes;
        // Nothing is kept in reserve: what is not used has gone back to the device.
        case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
        case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
            return &pool->used_bytes;
        case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
        case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
            return &pool->used_high_bytes;
        default:
            return nullptr;
    }
}

int* switch_attribute(Pool* pool, CUmemPool_attribute attribute) {
    bool is_switch = attribute >= CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES &&
                     attribute <= CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES;
    return is_switch ? &pool->reuse[attribute - CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES] : nullptr;
}

bool known(Pool* pool) {
    return registry().pools.count(pool) != 0;
}

CUresult refuse_capture(device::Stream* stream) {
    device::CaptureInfo info;
    bool capturing =
        device::capture_info(stream, &info) == device::Status::ok && info.state != device::CaptureState::none;
    return capturing ? CUDA_ERROR_NOT_SUPPORTED : CUDA_SUCCESS;  // memory nodes of graphs
}

}  // namespace

REVATI_DRIVER cuMemAllocFromPoolAsync(CUdeviceptr* out, size_t bytes, CUmemoryPool pool, CUstream handle) {
    device::Stream* stream = to_stream(handle);
    if (out == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (CUresult error = refuse_capture(stream)) return error;
    std::lock_guard lock(registry().mutex);
    return known(pool) ? allocate(out, bytes, pool) : CUDA_ERROR_INVALID_VALUE;
}

REVATI_DRIVER cuMemAllocAsync(CUdeviceptr* out, size_t bytes, CUstream handle) {
    device::Stream* stream = to_stream(handle);
    if (out == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (CUresult error = require_context()) return error;
    if (CUresult error = refuse_capture(stream)) return error;
    std::lock_guard lock(registry().mutex);
    return allocate(out, bytes, current_pool(stream->device()));
}

REVATI_DRIVER cuMemFreeAsync(CUdeviceptr pointer, CUstream handle) {
    device::Stream* stream = to_stream(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (pointer == 0) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = refuse_capture(stream)) return error;
    std::lock_guard lock(registry().mutex);
    auto found = registry().allocations.find(pointer);
    if (found != registry().allocations.end()) {
        found->second.first->used_bytes -= found->second.second;
        registry().allocations.erase(found);
    }
    // Its end is in stream order: whoever gets the memory next submits later.
    return result(device::free_device(to_pointer(pointer)));
}

REVATI_DRIVER cuMemPoolCreate(CUmemoryPool* out, const CUmemPoolProps* properties) {
    if (out == nullptr || properties == nullptr || properties->allocType != CU_MEM_ALLOCATION_TYPE_PINNED)
        return CUDA_ERROR_INVALID_VALUE;
    bool ours = properties->location.type == CU_MEM_LOCATION_TYPE_DEVICE &&
                properties->handleTypes == CU_MEM_HANDLE_TYPE_NONE;
    if (!ours) return CUDA_ERROR_NOT_SUPPORTED;
    if (!valid_device(properties->location.id)) return CUDA_ERROR_INVALID_DEVICE;
    auto* pool = new Pool;
    pool->device = properties->location.id;
    pool->most_bytes = properties->maxSize;
    std::lock_guard lock(registry().mutex);
    registry().pools.insert(pool);
    *out = pool;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuMemPoolDestroy(CUmemoryPool pool) {
    std::lock_guard lock(registry().mutex);
    if (!known(pool) || pool->is_default) return CUDA_ERROR_INVALID_VALUE;
    registry().pools.erase(pool);
    for (auto& [device, current] : registry().current) {
        if (current == pool) current = default_pool(device);
    }
    // Allocations outlive their pool; the record stays for their sake.
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuMemPoolTrimTo(CUmemoryPool pool, size_t) {
    std::lock_guard lock(registry().mutex);
    return known(pool) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

REVATI_DRIVER cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
    std::lock_guard lock(registry().mutex);
    if (!known(pool) || value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const int* kept = switch_attribute(pool, attribute)) {
        *static_cast<int*>(value) = *kept;
        return CUDA_SUCCESS;
    }
    const uint64_t* number = number_attribute(pool, attribute);
    if (number == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *static_cast<cuuint64_t*>(value) = *number;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
    std::lock_guard lock(registry().mutex);
    if (!known(pool) || value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (int* kept = switch_attribute(pool, attribute)) {
        *kept = *static_cast<const int*>(value);
        return CUDA_SUCCESS;
    }
    bool is_high =
        attribute == CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH || attribute == CU_MEMPOOL_ATTR_USED_MEM_HIGH;
    auto wanted = *static_cast<const cuuint64_t*>(value);
    // High marks can only be reset to zero, and current figures not be set at all.
    if (attribute != CU_MEMPOOL_ATTR_RELEASE_THRESHOLD && !(is_high && wanted == 0))
        return CUDA_ERROR_INVALID_VALUE;
    *number_attribute(pool, attribute) = is_high ? pool->used_bytes : wanted;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuMemPoolSetAccess(CUmemoryPool pool, const CUmemAccessDesc* access, size_t count) {
    std::lock_guard lock(registry().mutex);
    if (!known(pool) || (access == nullptr && count > 0)) return CUDA_ERROR_INVALID_VALUE;
    for (size_t index = 0; index < count; ++index) {
        if (access[index].location.type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_NOT_SUPPORTED;
        if (!valid_device(access[index].location.id)) return CUDA_ERROR_INVALID_DEVICE;
    }
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuDeviceGetDefaultMemPool(CUmemoryPool* out, CUdevice device) {
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    std::lock_guard lock(registry().mutex);
    *out = default_pool(device);
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuDeviceGetMemPool(CUmemoryPool* out, CUdevice device) {
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    std::lock_guard lock(registry().mutex);
    *out = current_pool(device);
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool) {
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    std::lock_guard lock(registry().mutex);
    if (!known(pool) || pool->device != device) return CUDA_ERROR_INVALID_VALUE;
    registry().current[device] = pool;
    return CUDA_SUCCESS;
}

}  // namespace revati::driver
