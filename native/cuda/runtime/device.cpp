// Devices: choice, flags, limits, peers, versions.
#include <atomic>
#include <cstdio>
#include <cstring>

#include "cuda/common/attributes.h"
#include "cuda/runtime/runtime.h"
#include "device/memory.h"

using namespace revati;
using namespace revati::cuda::runtime;

namespace {

constexpr int max_devices = 64;

struct DeviceState {
    std::atomic<unsigned> flags{cudaDeviceScheduleAuto};
    std::atomic<int> cache_config{cudaFuncCachePreferNone};
    std::atomic<int> shared_config{cudaSharedMemBankSizeFourByte};
    std::atomic<uint64_t> peers{0};  // devices whose memory this one has been allowed to reach
    // Indexed by cudaLimit; the defaults of the driver.
    std::atomic<size_t> limits[7] = {1024, 1048576, 8388608, 2, 2048, 64, 0};
};

DeviceState& state_of(int device) {
    static auto* const states = new DeviceState[max_devices];
    return states[device];
}

constexpr unsigned known_flags =
    cudaDeviceScheduleMask | cudaDeviceMapHost | cudaDeviceLmemResizeToMax | cudaDeviceSyncMemops;

bool peers_reachable(int device, int peer) {
    return device != peer && device::gpu().peer_access != 0;
}

Status check_limit(cudaLimit limit) {
    return limit == cudaLimitDevRuntimeSyncDepth || limit < 0 || limit > cudaLimitPersistingL2CacheSize
               ? static_cast<Status>(cudaErrorUnsupportedLimit)
               : Status::ok;
}

}  // namespace

cudaError_t cudaGetDeviceCount(int* count) {
    if (count == nullptr) return finish(cudaErrorInvalidValue);
    *count = device::device_count();
    return finish(*count > 0 ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t cudaGetDevice(int* device) {
    if (device == nullptr) return finish(cudaErrorInvalidValue);
    if (device::device_count() == 0) return finish(cudaErrorNoDevice);
    *device = device::current_device();
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
    const Status status = device::set_current_device(device);
    // From CUDA 12 on this call also creates the context (release notes of CUDA 12.0).
    return finish(status == Status::ok ? device::ensure_context(device) : status);
}

cudaError_t cudaInitDevice(int device, unsigned device_flags, unsigned flags) {
    const Status status = check_device(device);
    if (status != Status::ok) return finish(status);
    if ((device_flags & ~known_flags) != 0 || (flags & ~cudaInitDeviceFlagsAreValid) != 0)
        return finish(cudaErrorInvalidValue);
    if ((flags & cudaInitDeviceFlagsAreValid) != 0) state_of(device).flags = device_flags;
    return finish(device::ensure_context(device));
}

cudaError_t cudaSetValidDevices(int* devices, int count) {
    if (count < 0 || (devices == nullptr && count > 0)) return finish(cudaErrorInvalidValue);
    for (int index = 0; index < count; ++index) {
        const Status status = check_device(devices[index]);
        if (status != Status::ok) return finish(status);
    }
    return finish(device::device_count() > 0 ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t cudaChooseDevice(int* device, const cudaDeviceProp* properties) {
    if (device == nullptr || properties == nullptr) return finish(cudaErrorInvalidValue);
    if (device::device_count() == 0) return finish(cudaErrorNoDevice);
    *device = 0;  // all virtual devices are the same model
    return cudaSuccess;
}

cudaError_t cudaSetDeviceFlags(unsigned flags) {
    if ((flags & ~known_flags) != 0) return finish(cudaErrorInvalidValue);
    if (device::device_count() == 0) return finish(cudaErrorNoDevice);
    state_of(device::current_device()).flags = flags;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceFlags(unsigned* flags) {
    if (flags == nullptr) return finish(cudaErrorInvalidValue);
    if (device::device_count() == 0) return finish(cudaErrorNoDevice);
    // Mapping of host memory is always on where addresses are unified.
    *flags = state_of(device::current_device()).flags | cudaDeviceMapHost;
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
    return on_device([](int device) { return device::synchronize_device(device); });
}

cudaError_t cudaDeviceReset() {
    return on_device([](int device) {
        const Status status = device::synchronize_device(device);
        if (status == Status::ok) device::reset_device(device);
        return status;
    });
}

cudaError_t cudaDeviceSetLimit(cudaLimit limit, size_t value) {
    return on_device([=](int device) {
        const Status status = check_limit(limit);
        if (status != Status::ok) return status;
        const auto persisting = static_cast<size_t>(device::gpu().persisting_l2_max_bytes);
        const bool clamped = limit == cudaLimitPersistingL2CacheSize && value > persisting;
        state_of(device).limits[limit] = clamped ? persisting : value;
        return Status::ok;
    });
}

cudaError_t cudaDeviceGetLimit(size_t* value, cudaLimit limit) {
    if (value == nullptr) return finish(cudaErrorInvalidValue);
    return on_device([=](int device) {
        const Status status = check_limit(limit);
        if (status == Status::ok) *value = state_of(device).limits[limit];
        return status;
    });
}

cudaError_t cudaDeviceGetCacheConfig(cudaFuncCache* config) {
    if (config == nullptr) return finish(cudaErrorInvalidValue);
    return on_device([=](int device) {
        *config = static_cast<cudaFuncCache>(state_of(device).cache_config.load());
        return Status::ok;
    });
}

cudaError_t cudaDeviceSetCacheConfig(cudaFuncCache config) {
    if (config < cudaFuncCachePreferNone || config > cudaFuncCachePreferEqual)
        return finish(cudaErrorInvalidValue);
    return on_device([=](int device) {
        state_of(device).cache_config = config;
        return Status::ok;
    });
}

cudaError_t cudaDeviceGetSharedMemConfig(cudaSharedMemConfig* config) {
    if (config == nullptr) return finish(cudaErrorInvalidValue);
    return on_device([=](int device) {
        *config = static_cast<cudaSharedMemConfig>(state_of(device).shared_config.load());
        return Status::ok;
    });
}

cudaError_t cudaDeviceSetSharedMemConfig(cudaSharedMemConfig config) {
    if (config < cudaSharedMemBankSizeDefault || config > cudaSharedMemBankSizeEightByte)
        return finish(cudaErrorInvalidValue);
    // Bank sizes have been fixed at four bytes since Maxwell: accepted and without effect.
    return on_device([](int) { return Status::ok; });
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
    return on_device([=](int) {
        if (least != nullptr) *least = 0;
        if (greatest != nullptr) *greatest = -5;
        return Status::ok;
    });
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int device) {
    if (text == nullptr || length <= 0) return finish(cudaErrorInvalidValue);
    const Status status = check_device(device);
    if (status != Status::ok) return finish(status);
    char full[32];
    device::device_pci_bus_id(device::physical_index(device), full, sizeof full);
    // The runtime writes a domain of four digits, the management library one of eight.
    const int written = snprintf(text, static_cast<size_t>(length), "%s", full + 4);
    return finish(written < length ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaDeviceGetByPCIBusId(int* device, const char* text) {
    if (device == nullptr || text == nullptr) return finish(cudaErrorInvalidValue);
    if (device::device_count() == 0) return finish(cudaErrorNoDevice);
    unsigned first = 0, second = 0, third = 0;
    const int fields = sscanf(text, "%x:%x:%x", &first, &second, &third);
    if (fields < 2) return finish(cudaErrorInvalidValue);
    const unsigned wanted_domain = fields == 3 ? first : 0, wanted_bus = fields == 3 ? second : first;
    for (int index = 0; index < device::device_count(); ++index) {
        char full[32];
        unsigned domain = 0, bus = 0;
        device::device_pci_bus_id(device::physical_index(index), full, sizeof full);
        if (sscanf(full, "%x:%x", &domain, &bus) != 2 || domain != wanted_domain || bus != wanted_bus)
            continue;
        *device = index;
        return cudaSuccess;
    }
    return finish(cudaErrorInvalidValue);
}

cudaError_t cudaDeviceCanAccessPeer(int* reachable, int device, int peer) {
    if (reachable == nullptr) return finish(cudaErrorInvalidValue);
    for (const int each : {device, peer}) {
        const Status status = check_device(each);
        if (status != Status::ok) return finish(status);
    }
    *reachable = peers_reachable(device, peer);
    return cudaSuccess;
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags) {
    return on_device([=](int device) {
        if (!valid_device(peer) || peer == device) return Status::invalid_device;
        if (flags != 0) return Status::invalid_value;
        if (!peers_reachable(device, peer)) return static_cast<Status>(cudaErrorPeerAccessUnsupported);
        const uint64_t bit = uint64_t{1} << peer;
        return (state_of(device).peers.fetch_or(bit) & bit) != 0 ? Status::peer_access_already_enabled
                                                                 : Status::ok;
    });
}

cudaError_t cudaDeviceDisablePeerAccess(int peer) {
    return on_device([=](int device) {
        if (!valid_device(peer)) return Status::invalid_device;
        const uint64_t bit = uint64_t{1} << peer;
        return (state_of(device).peers.fetch_and(~bit) & bit) != 0 ? Status::ok
                                                                   : Status::peer_access_not_enabled;
    });
}

cudaError_t cudaDeviceGetP2PAttribute(int* value, cudaDeviceP2PAttr attribute, int source, int destination) {
    if (value == nullptr) return finish(cudaErrorInvalidValue);
    for (const int each : {source, destination}) {
        const Status status = check_device(each);
        if (status != Status::ok) return finish(status);
    }
    if (source == destination) return finish(cudaErrorInvalidDevice);
    const bool reachable = peers_reachable(source, destination), linked = device::gpu().nvlinks > 0;
    switch (attribute) {
        case cudaDevP2PAttrPerformanceRank:
            *value = linked ? 1 : 0;
            break;
        case cudaDevP2PAttrAccessSupported:
            *value = reachable;
            break;
        case cudaDevP2PAttrNativeAtomicSupported:
            *value = reachable && linked;
            break;
        case cudaDevP2PAttrCudaArrayAccessSupported:
            *value = reachable && linked;
            break;
        default:
            return finish(cudaErrorInvalidValue);
    }
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
    if (version == nullptr) return finish(cudaErrorInvalidValue);
    *version = device::in_session() ? device::gpu().cuda_driver_version : 0;  // 0: no driver installed
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
    if (version == nullptr) return finish(cudaErrorInvalidValue);
    *version = CUDART_VERSION;
    return cudaSuccess;
}

// Declared in a header of their own.
extern "C" REVATI_API cudaError_t cudaProfilerStart() {
    return on_device([](int) { return Status::ok; });
}

extern "C" REVATI_API cudaError_t cudaProfilerStop() {
    return on_device([](int) { return Status::ok; });
}

cudaError_t cudaCtxResetPersistingL2Cache() {
    return on_device([](int) { return Status::ok; });
}

cudaError_t cudaDeviceFlushGPUDirectRDMAWrites(cudaFlushGPUDirectRDMAWritesTarget,
                                               cudaFlushGPUDirectRDMAWritesScope) {
    return on_device([](int) { return Status::ok; });
}

cudaChannelFormatDesc cudaCreateChannelDesc(int x, int y, int z, int w, cudaChannelFormatKind kind) {
    return {x, y, z, w, kind};
}

#if CUDART_VERSION < 13000
cudaError_t cudaThreadSynchronize() {
    return cudaDeviceSynchronize();
}
cudaError_t cudaThreadExit() {
    return cudaDeviceReset();
}
cudaError_t cudaThreadSetLimit(cudaLimit limit, size_t value) {
    return cudaDeviceSetLimit(limit, value);
}
cudaError_t cudaThreadGetLimit(size_t* value, cudaLimit limit) {
    return cudaDeviceGetLimit(value, limit);
}
cudaError_t cudaThreadGetCacheConfig(cudaFuncCache* config) {
    return cudaDeviceGetCacheConfig(config);
}
cudaError_t cudaThreadSetCacheConfig(cudaFuncCache config) {
    return cudaDeviceSetCacheConfig(config);
}
#endif
