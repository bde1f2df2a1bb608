#include "cuda/runtime/pool.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "device/log.h"
#include "device/memory.h"

using namespace revati;
using namespace revati::cuda::runtime;

// The public header's opaque type.
struct CUmemPoolHandle_st {
    int device = 0;
    size_t max_bytes = 0;  // 0: as much as the device has
    bool is_default = false;
    int reuse_follow_dependencies = 1, reuse_opportunistic = 1, reuse_internal = 1;
    uint64_t release_threshold = 0;
    uint64_t used_bytes = 0, used_high = 0, reserved_high = 0;
    std::unordered_map<int, cudaMemAccessFlags> access;
};

namespace {

using Pool = CUmemPoolHandle_st;

struct Registry {
    std::mutex mutex;
    std::unordered_set<Pool*> pools;
    std::unordered_map<int, Pool*> defaults, current;
    struct Entry {
        Pool* pool;
        size_t bytes;
    };
    std::unordered_map<const void*, Entry> allocations;
};

Registry& registry() {
    static auto* const instance = new Registry;
    return *instance;
}

// Caller holds the registry's mutex.
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
    const auto found = registry().current.find(device);
    return found != registry().current.end() ? found->second : default_pool(device);
}

void credit(const void* pointer) {
    const auto found = registry().allocations.find(pointer);
    if (found == registry().allocations.end()) return;
    found->second.pool->used_bytes -= found->second.bytes;
    registry().allocations.erase(found);
}

Status allocate_from(Pool* pool, size_t bytes, Stream* stream, void** out) {
    device::CaptureInfo capture;
    const Status status = device::capture_info(stream, &capture);
    if (status != Status::ok) return status;
    if (capture.state != device::CaptureState::none) {
        revati_unsupported("runtime", "cudaMallocAsync in a capturing stream (memory nodes of graphs)", 0);
        return Status::not_supported;
    }
    const std::lock_guard<std::mutex> lock(registry().mutex);
    if (pool == nullptr) pool = current_pool(stream->device());
    if (registry().pools.count(pool) == 0) return Status::invalid_value;
    if (pool->max_bytes != 0 && pool->used_bytes + bytes > pool->max_bytes) return Status::out_of_memory;
    const Status allocated = device::allocate_device(pool->device, bytes, out);
    if (allocated != Status::ok || *out == nullptr) return allocated;
    pool->used_bytes += bytes;
    pool->used_high = std::max(pool->used_high, pool->used_bytes);
    pool->reserved_high = std::max(pool->reserved_high, pool->used_bytes);
    registry().allocations[*out] = {pool, bytes};
    return Status::ok;
}

template <typename Work>
cudaError_t on_pool(Pool* pool, Work&& work) {
    const std::lock_guard<std::mutex> lock(registry().mutex);
    return finish(registry().pools.count(pool) != 0 ? work() : Status::invalid_value);
}

// `write` false: pool -> value; true: value -> pool.
template <typename Member, typename Value>
void transfer(Member* member, void* value, bool write) {
    if (write) {
        *member = static_cast<Member>(*static_cast<Value*>(value));
    } else {
        *static_cast<Value*>(value) = static_cast<Value>(*member);
    }
}

Status access_attribute(Pool* pool, cudaMemPoolAttr attribute, void* value, bool write) {
    if (value == nullptr) return Status::invalid_value;
    switch (attribute) {
        case cudaMemPoolReuseFollowEventDependencies:
            transfer<int, int>(&pool->reuse_follow_dependencies, value, write);
            break;
        case cudaMemPoolReuseAllowOpportunistic:
            transfer<int, int>(&pool->reuse_opportunistic, value, write);
            break;
        case cudaMemPoolReuseAllowInternalDependencies:
            transfer<int, int>(&pool->reuse_internal, value, write);
            break;
        case cudaMemPoolAttrReleaseThreshold:
            transfer<uint64_t, uint64_t>(&pool->release_threshold, value, write);
            break;
        case cudaMemPoolAttrReservedMemCurrent:
        case cudaMemPoolAttrUsedMemCurrent:
            if (write) return Status::invalid_value;
            transfer<uint64_t, uint64_t>(&pool->used_bytes, value, false);
            break;
        case cudaMemPoolAttrReservedMemHigh:
        case cudaMemPoolAttrUsedMemHigh: {
            uint64_t& high = attribute == cudaMemPoolAttrUsedMemHigh ? pool->used_high : pool->reserved_high;
            // The only value that may be set is 0: start anew from now.
            if (write && *static_cast<uint64_t*>(value) != 0) return Status::invalid_value;
            if (write)
                high = pool->used_bytes;
            else
                transfer<uint64_t, uint64_t>(&high, value, false);
            break;
        }
        default:
            return Status::invalid_value;
    }
    return Status::ok;
}

}  // namespace

namespace revati::cuda::runtime {

void forget_pool_allocation(const void* pointer) {
    const std::lock_guard<std::mutex> lock(registry().mutex);
    if (!registry().allocations.empty()) credit(pointer);
}

}  // namespace revati::cuda::runtime

cudaError_t cudaMallocAsync(void** out, size_t bytes, cudaStream_t handle) {
    if (out == nullptr) return finish(cudaErrorInvalidValue);
    return on_stream(handle, [=](Stream* stream) { return allocate_from(nullptr, bytes, stream, out); });
}

cudaError_t cudaMallocFromPoolAsync(void** out, size_t bytes, cudaMemPool_t pool, cudaStream_t handle) {
    if (out == nullptr || pool == nullptr) return finish(cudaErrorInvalidValue);
    return on_stream(handle, [=](Stream* stream) { return allocate_from(pool, bytes, stream, out); });
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t handle) {
    return on_stream(handle, [=](Stream*) {
        if (pointer == nullptr) return Status::invalid_value;
        forget_pool_allocation(pointer);
        return device::free_device(pointer);
    });
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
    if (pool == nullptr) return finish(cudaErrorInvalidValue);
    const Status status = check_device(device);
    if (status != Status::ok) return finish(status);
    const std::lock_guard<std::mutex> lock(registry().mutex);
    *pool = default_pool(device);
    return cudaSuccess;
}

cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* pool, int device) {
    if (pool == nullptr) return finish(cudaErrorInvalidValue);
    const Status status = check_device(device);
    if (status != Status::ok) return finish(status);
    const std::lock_guard<std::mutex> lock(registry().mutex);
    *pool = current_pool(device);
    return cudaSuccess;
}

cudaError_t cudaDeviceSetMemPool(int device, cudaMemPool_t pool) {
    const Status status = check_device(device);
    if (status != Status::ok) return finish(status);
    return on_pool(pool, [=] {
        if (pool->device != device) return Status::invalid_value;
        registry().current[device] = pool;
        return Status::ok;
    });
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t* out, const cudaMemPoolProps* properties) {
    if (out == nullptr || properties == nullptr) return finish(cudaErrorInvalidValue);
    if (properties->allocType != cudaMemAllocationTypePinned ||
        properties->location.type != cudaMemLocationTypeDevice)
        return finish(cudaErrorInvalidValue);
    if (properties->handleTypes != cudaMemHandleTypeNone) return finish(cudaErrorNotSupported);
    const Status status = check_device(properties->location.id);
    if (status != Status::ok) return finish(status);
    auto* const pool = new Pool;
    pool->device = properties->location.id;
    pool->max_bytes = properties->maxSize;
    const std::lock_guard<std::mutex> lock(registry().mutex);
    registry().pools.insert(pool);
    *out = pool;
    return cudaSuccess;
}

cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) {
    return on_pool(pool, [=] {
        if (pool->is_default) return Status::invalid_value;
        registry().pools.erase(pool);
        if (current_pool(pool->device) == pool) registry().current.erase(pool->device);
        // Memory that is still in use keeps its pool: the object stays until the process ends.
        if (pool->used_bytes == 0) delete pool;
        return Status::ok;
    });
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, size_t) {
    return on_pool(pool, [] { return Status::ok; });  // freed memory never stays in a pool
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
    return on_pool(pool, [=] { return access_attribute(pool, attribute, value, true); });
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
    return on_pool(pool, [=] { return access_attribute(pool, attribute, value, false); });
}

cudaError_t cudaMemPoolSetAccess(cudaMemPool_t pool, const cudaMemAccessDesc* list, size_t count) {
    if (list == nullptr && count > 0) return finish(cudaErrorInvalidValue);
    return on_pool(pool, [=] {
        for (size_t index = 0; index < count; ++index) {
            if (list[index].location.type != cudaMemLocationTypeDevice) return Status::invalid_value;
            if (!valid_device(list[index].location.id)) return Status::invalid_device;
            // The owner can always reach its own memory.
            if (list[index].location.id == pool->device &&
                list[index].flags != cudaMemAccessFlagsProtReadWrite)
                return Status::invalid_device;
            pool->access[list[index].location.id] = list[index].flags;
        }
        return Status::ok;
    });
}

cudaError_t cudaMemPoolGetAccess(cudaMemAccessFlags* flags, cudaMemPool_t pool, cudaMemLocation* location) {
    if (flags == nullptr || location == nullptr) return finish(cudaErrorInvalidValue);
    return on_pool(pool, [=] {
        if (location->type != cudaMemLocationTypeDevice || !valid_device(location->id))
            return Status::invalid_value;
        const auto found = pool->access.find(location->id);
        const bool own = location->id == pool->device;
        *flags = own                           ? cudaMemAccessFlagsProtReadWrite
                 : found != pool->access.end() ? found->second
                                               : cudaMemAccessFlagsProtNone;
        return Status::ok;
    });
}

#if CUDART_VERSION >= 13000

// Pools by place: the only place with pools is a device.

cudaError_t cudaMemGetDefaultMemPool(cudaMemPool_t* pool, cudaMemLocation* location,
                                     cudaMemAllocationType type) {
    if (location == nullptr || location->type != cudaMemLocationTypeDevice ||
        type != cudaMemAllocationTypePinned)
        return finish(cudaErrorInvalidValue);
    return cudaDeviceGetDefaultMemPool(pool, location->id);
}

cudaError_t cudaMemGetMemPool(cudaMemPool_t* pool, cudaMemLocation* location, cudaMemAllocationType type) {
    if (location == nullptr || location->type != cudaMemLocationTypeDevice ||
        type != cudaMemAllocationTypePinned)
        return finish(cudaErrorInvalidValue);
    return cudaDeviceGetMemPool(pool, location->id);
}

cudaError_t cudaMemSetMemPool(cudaMemLocation* location, cudaMemAllocationType type, cudaMemPool_t pool) {
    if (location == nullptr || location->type != cudaMemLocationTypeDevice ||
        type != cudaMemAllocationTypePinned)
        return finish(cudaErrorInvalidValue);
    return cudaDeviceSetMemPool(location->id, pool);
}

#endif
