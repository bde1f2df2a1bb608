// Attributes of kernels and occupancy.
#include <algorithm>
#include <cstring>

#include "cuda/common/attributes.h"
#include "cuda/runtime/registration.h"

using namespace revati;
using namespace revati::cuda;
using namespace revati::cuda::runtime;

namespace {

template <typename Work>
cudaError_t on_kernel(const void* function, Work&& work) {
    return on_device([&](int) {
        device::Kernel* const kernel = find_kernel(function);
        return kernel != nullptr ? work(kernel) : static_cast<Status>(cudaErrorInvalidDeviceFunction);
    });
}

Status set_attribute(device::Kernel* kernel, cudaFuncAttribute attribute, int value) {
    const device::GpuSpec& gpu = device::gpu();
    switch (attribute) {
        case cudaFuncAttributeMaxDynamicSharedMemorySize: {
            const auto limit =
                static_cast<int>(gpu.shared_per_block_optin_bytes) - kernel->attributes.shared_static_bytes;
            if (value < 0 || value > limit) return Status::invalid_value;
            kernel->attributes.max_dynamic_shared_bytes = value;
            return Status::ok;
        }
        case cudaFuncAttributePreferredSharedMemoryCarveout:
            if (value < -1 || value > 100) return Status::invalid_value;
            kernel->attributes.preferred_carveout = value;
            return Status::ok;
        case cudaFuncAttributeRequiredClusterWidth:
        case cudaFuncAttributeRequiredClusterHeight:
        case cudaFuncAttributeRequiredClusterDepth:
            return value >= 0 ? Status::ok : Status::invalid_value;
        case cudaFuncAttributeNonPortableClusterSizeAllowed:
            return value == 0 || value == 1 ? Status::ok : Status::invalid_value;
        case cudaFuncAttributeClusterSchedulingPolicyPreference:
            return value >= 0 && value <= 2 ? Status::ok : Status::invalid_value;
        default:
            return Status::invalid_value;
    }
}

struct ClusterQuery {
    int blocks = 1, threads = 0;
};

ClusterQuery read_cluster(const cudaLaunchConfig_t* launch) {
    ClusterQuery query;
    query.threads = static_cast<int>(launch->blockDim.x * launch->blockDim.y * launch->blockDim.z);
    for (unsigned index = 0; index < launch->numAttrs; ++index) {
        if (launch->attrs[index].id != cudaLaunchAttributeClusterDimension) continue;
        const auto& cluster = launch->attrs[index].val.clusterDim;
        query.blocks = static_cast<int>(cluster.x * cluster.y * cluster.z);
    }
    return query;
}

}  // namespace

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* out, const void* function) {
    if (out == nullptr) return finish(cudaErrorInvalidValue);
    return on_kernel(function, [=](device::Kernel* kernel) {
        const device::KernelAttributes& attributes = kernel->attributes;
        memset(out, 0, sizeof *out);
        out->sharedSizeBytes = static_cast<size_t>(attributes.shared_static_bytes);
        out->constSizeBytes = static_cast<size_t>(attributes.const_bytes);
        out->localSizeBytes = static_cast<size_t>(attributes.local_bytes);
        out->maxThreadsPerBlock = attributes.max_threads_per_block;
        out->numRegs = device::told_registers(attributes);
        out->ptxVersion = attributes.binary_version;
        out->binaryVersion = attributes.binary_version;
        out->maxDynamicSharedSizeBytes = attributes.max_dynamic_shared_bytes;
        out->preferredShmemCarveout = attributes.preferred_carveout;
        return Status::ok;
    });
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
    return on_kernel(function,
                     [=](device::Kernel* kernel) { return set_attribute(kernel, attribute, value); });
}

cudaError_t cudaKernelSetAttributeForDevice(cudaKernel_t kernel, cudaFuncAttribute attribute, int value,
                                            int device) {
    const Status status = check_device(device);
    if (status != Status::ok) return finish(status);
    return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), attribute, value);
}

cudaError_t cudaFuncSetCacheConfig(const void* function, cudaFuncCache config) {
    if (config < cudaFuncCachePreferNone || config > cudaFuncCachePreferEqual)
        return finish(cudaErrorInvalidValue);
    return on_kernel(function, [](device::Kernel*) { return Status::ok; });  // a hint
}

cudaError_t cudaFuncSetSharedMemConfig(const void* function, cudaSharedMemConfig config) {
    if (config < cudaSharedMemBankSizeDefault || config > cudaSharedMemBankSizeEightByte)
        return finish(cudaErrorInvalidValue);
    return on_kernel(function, [](device::Kernel*) { return Status::ok; });  // without effect since Maxwell
}

cudaError_t cudaFuncGetName(const char** name, const void* function) {
    if (name == nullptr) return finish(cudaErrorInvalidValue);
    return on_kernel(function, [=](device::Kernel* kernel) {
        *name = kernel->name.c_str();
        return Status::ok;
    });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* function,
                                                                   int threads, size_t shared_bytes,
                                                                   unsigned flags) {
    if (blocks == nullptr || threads <= 0 || (flags & ~cudaOccupancyDisableCachingOverride) != 0)
        return finish(cudaErrorInvalidValue);
    return on_kernel(function, [=](device::Kernel* kernel) {
        *blocks = resident_blocks(kernel->attributes, threads, shared_bytes);
        return Status::ok;
    });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function, int threads,
                                                          size_t shared_bytes) {
    return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, shared_bytes,
                                                                  cudaOccupancyDefault);
}

cudaError_t cudaOccupancyAvailableDynamicSMemPerBlock(size_t* bytes, const void* function, int blocks,
                                                      int threads) {
    if (bytes == nullptr || blocks <= 0 || threads <= 0) return finish(cudaErrorInvalidValue);
    return on_kernel(function, [=](device::Kernel* kernel) {
        if (blocks > resident_blocks(kernel->attributes, threads, 0)) return Status::invalid_value;
        *bytes = dynamic_shared_for(kernel->attributes, blocks);
        return Status::ok;
    });
}

cudaError_t cudaOccupancyMaxPotentialClusterSize(int* size, const void* function,
                                                 const cudaLaunchConfig_t* launch) {
    if (size == nullptr || launch == nullptr) return finish(cudaErrorInvalidValue);
    if (device::device_count() > 0 && device::gpu().max_cluster_blocks == 0)
        return finish(cudaErrorNotSupported);
    return on_kernel(function, [=](device::Kernel* kernel) {
        constexpr int portable_blocks = 8;
        const ClusterQuery query = read_cluster(launch);
        const bool fits = resident_blocks(kernel->attributes, query.threads, launch->dynamicSmemBytes) > 0;
        *size = fits ? std::min(portable_blocks, device::gpu().max_cluster_blocks) : 0;
        return Status::ok;
    });
}

cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, const void* function,
                                           const cudaLaunchConfig_t* launch) {
    if (clusters == nullptr || launch == nullptr) return finish(cudaErrorInvalidValue);
    if (device::device_count() > 0 && device::gpu().max_cluster_blocks == 0)
        return finish(cudaErrorNotSupported);
    return on_kernel(function, [=](device::Kernel* kernel) {
        const ClusterQuery query = read_cluster(launch);
        *clusters =
            resident_clusters(kernel->attributes, query.threads, launch->dynamicSmemBytes, query.blocks);
        return Status::ok;
    });
}
