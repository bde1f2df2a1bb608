// What a loaded function tells about itself, and occupancy.
#include <algorithm>

#include "cuda/common/attributes.h"
#include "cuda/driver/module.h"

namespace revati::driver {
namespace {

CUresult read_attribute(const device::KernelAttributes& attributes, CUfunction_attribute attribute,
                        int* value) {
    switch (attribute) {
        case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
            *value = attributes.max_threads_per_block;
            break;
        case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
            *value = attributes.shared_static_bytes;
            break;
        case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES:
            *value = attributes.const_bytes;
            break;
        case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
            *value = attributes.local_bytes;
            break;
        case CU_FUNC_ATTRIBUTE_NUM_REGS:
            *value = device::told_registers(attributes);
            break;
        case CU_FUNC_ATTRIBUTE_PTX_VERSION:
        case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
            *value = attributes.binary_version;
            break;
        case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA:
            *value = 0;
            break;
        case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
            *value = attributes.max_dynamic_shared_bytes;
            break;
        case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
            *value = attributes.preferred_carveout;
            break;
        // Compile-time cluster sizes are not read from the binary; a launch states them.
        case CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET:
        case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
        case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
        case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
        case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
        case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
            *value = 0;
            break;
        default:
            return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

bool fits_shared(const device::Kernel& kernel, size_t dynamic_bytes) {
    return static_cast<size_t>(kernel.attributes.shared_static_bytes) + dynamic_bytes <=
           static_cast<size_t>(device::gpu().shared_per_block_optin_bytes);
}

// The largest block, in steps of a warp, that gives the most resident threads: what the documentation
// promises.
int best_block_size(const device::Kernel& kernel, CUoccupancyB2DSize shared_of_block, size_t shared_bytes,
                    int limit, int* blocks) {
    const device::GpuSpec& spec = device::gpu();
    int largest = std::min(spec.max_threads_per_block, kernel.attributes.max_threads_per_block);
    if (limit > 0) largest = std::min(largest, limit);
    int best = 0, best_threads = 0;
    for (int threads = largest; threads > 0;) {
        size_t shared = shared_of_block != nullptr ? shared_of_block(threads) : shared_bytes;
        int resident = cuda::resident_blocks(kernel.attributes, threads, shared);
        if (resident * threads > best_threads) {
            best = threads;
            best_threads = resident * threads;
            *blocks = resident;
        }
        threads = threads % spec.warp_size != 0 ? threads / spec.warp_size * spec.warp_size
                                                : threads - spec.warp_size;
    }
    return best;
}

int cluster_blocks(const CUlaunchConfig& config) {
    for (unsigned index = 0; index < config.numAttrs; ++index) {
        const CUlaunchAttribute& attribute = config.attrs[index];
        if (attribute.id != CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION) continue;
        return static_cast<int>(attribute.value.clusterDim.x * attribute.value.clusterDim.y *
                                attribute.value.clusterDim.z);
    }
    return 1;
}

}  // namespace

REVATI_DRIVER cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction function) {
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return read_attribute(to_kernel(function)->attributes, attribute, value);
}

REVATI_DRIVER cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    device::Kernel& kernel = *to_kernel(function);
    switch (attribute) {
        case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
            if (value < 0 || !fits_shared(kernel, static_cast<size_t>(value)))
                return CUDA_ERROR_INVALID_VALUE;
            kernel.attributes.max_dynamic_shared_bytes = value;
            return CUDA_SUCCESS;
        case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
            if (value < -1 || value > 100) return CUDA_ERROR_INVALID_VALUE;
            kernel.attributes.preferred_carveout = value;
            return CUDA_SUCCESS;
        case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
        case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
        case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
        case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
        case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
            return device::gpu().max_cluster_blocks > 0 ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
        default:
            return CUDA_ERROR_INVALID_VALUE;
    }
}

REVATI_DRIVER cuFuncSetCacheConfig(CUfunction function, CUfunc_cache config) {
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    bool known = config >= CU_FUNC_CACHE_PREFER_NONE && config <= CU_FUNC_CACHE_PREFER_EQUAL;
    return known ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

REVATI_DRIVER cuFuncSetSharedMemConfig(CUfunction function, CUsharedconfig config) {
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    bool known = config >= CU_SHARED_MEM_CONFIG_DEFAULT_BANK_SIZE &&
                 config <= CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE;
    return known ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

REVATI_DRIVER cuFuncGetModule(CUmodule* out, CUfunction function) {
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    Module* owner = owner_of(to_kernel(function));
    if (owner == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *out = reinterpret_cast<CUmodule>(owner);
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuFuncGetName(const char** name, CUfunction function) {
    if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *name = to_kernel(function)->name.c_str();
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuFuncGetParamInfo(CUfunction function, size_t index, size_t* offset, size_t* bytes) {
    if (offset == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const device::ParamLayout& params = to_kernel(function)->params;
    if (!params.known || params.offsets.size() != params.bytes.size()) return CUDA_ERROR_NOT_SUPPORTED;
    if (index >= params.bytes.size()) return CUDA_ERROR_INVALID_VALUE;
    *offset = params.offsets[index];
    if (bytes != nullptr) *bytes = params.bytes[index];
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuFuncIsLoaded(CUfunctionLoadingState* state, CUfunction function) {
    if (state == nullptr || function == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *state = CU_FUNCTION_LOADING_STATE_LOADED;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuFuncLoad(CUfunction function) {
    return function == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

REVATI_DRIVER cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, CUfunction function,
                                                                   int block_threads, size_t shared_bytes,
                                                                   unsigned int flags) {
    if (blocks == nullptr || block_threads <= 0 || flags > CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE)
        return CUDA_ERROR_INVALID_VALUE;
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *blocks = cuda::resident_blocks(to_kernel(function)->attributes, block_threads, shared_bytes);
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction function, int block_threads,
                                                          size_t shared_bytes) {
    return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, block_threads, shared_bytes,
                                                                0);
}

REVATI_DRIVER cuOccupancyMaxPotentialBlockSizeWithFlags(int* grid_blocks, int* block_threads,
                                                        CUfunction function,
                                                        CUoccupancyB2DSize shared_of_block,
                                                        size_t shared_bytes, int limit, unsigned int flags) {
    if (grid_blocks == nullptr || block_threads == nullptr || limit < 0) return CUDA_ERROR_INVALID_VALUE;
    if (flags > CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE) return CUDA_ERROR_INVALID_VALUE;
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    int resident = 0;
    *block_threads = best_block_size(*to_kernel(function), shared_of_block, shared_bytes, limit, &resident);
    *grid_blocks = resident * device::gpu().sm_count;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuOccupancyMaxPotentialBlockSize(int* grid_blocks, int* block_threads, CUfunction function,
                                               CUoccupancyB2DSize shared_of_block, size_t shared_bytes,
                                               int limit) {
    return cuOccupancyMaxPotentialBlockSizeWithFlags(grid_blocks, block_threads, function, shared_of_block,
                                                     shared_bytes, limit, 0);
}

REVATI_DRIVER cuOccupancyAvailableDynamicSMemPerBlock(size_t* bytes, CUfunction function, int blocks,
                                                      int block_threads) {
    if (bytes == nullptr || blocks <= 0 || block_threads <= 0) return CUDA_ERROR_INVALID_VALUE;
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const device::KernelAttributes& attributes = to_kernel(function)->attributes;
    if (cuda::resident_blocks(attributes, block_threads, 0) < blocks) return CUDA_ERROR_INVALID_VALUE;
    *bytes = cuda::dynamic_shared_for(attributes, blocks);
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuOccupancyMaxPotentialClusterSize(int* blocks, CUfunction function,
                                                 const CUlaunchConfig* config) {
    if (blocks == nullptr || config == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    int largest = device::gpu().max_cluster_blocks;
    if (largest == 0) return CUDA_ERROR_NOT_SUPPORTED;
    *blocks = std::min(largest, 8);  // the portable size; more only after opting in
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuOccupancyMaxActiveClusters(int* clusters, CUfunction function, const CUlaunchConfig* config) {
    if (clusters == nullptr || config == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (device::gpu().max_cluster_blocks == 0) return CUDA_ERROR_NOT_SUPPORTED;
    auto threads = static_cast<int>(config->blockDimX * config->blockDimY * config->blockDimZ);
    *clusters = cuda::resident_clusters(to_kernel(function)->attributes, threads, config->sharedMemBytes,
                                        cluster_blocks(*config));
    return CUDA_SUCCESS;
}

}  // namespace revati::driver
