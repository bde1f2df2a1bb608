// Limits and cache preferences of a context. They steer code that runs on the GPU; here they are kept and
// told back.
#include <array>
#include <atomic>

#include "cuda/driver/context.h"

namespace revati::driver {
namespace {

constexpr size_t megabyte = 1 << 20;

// The defaults that the driver sets ("cudaDeviceGetLimit" in the CUDA documentation); one set for the
// process.
struct Limits {
    std::atomic<size_t> stack_bytes{1024};
    std::atomic<size_t> printf_bytes{7 * megabyte};
    std::atomic<size_t> heap_bytes{8 * megabyte};
    std::atomic<size_t> pending_launches{2048};
    std::atomic<size_t> l2_fetch_bytes{64};
    std::atomic<size_t> persisting_l2_bytes{0};
};

Limits& limits() {
    static auto* instance = new Limits;
    return *instance;
}

std::atomic<size_t>* limit_named(CUlimit limit) {
    switch (limit) {
        case CU_LIMIT_STACK_SIZE:
            return &limits().stack_bytes;
        case CU_LIMIT_PRINTF_FIFO_SIZE:
            return &limits().printf_bytes;
        case CU_LIMIT_MALLOC_HEAP_SIZE:
            return &limits().heap_bytes;
        case CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT:
            return &limits().pending_launches;
        case CU_LIMIT_MAX_L2_FETCH_GRANULARITY:
            return &limits().l2_fetch_bytes;
        case CU_LIMIT_PERSISTING_L2_CACHE_SIZE:
            return &limits().persisting_l2_bytes;
        default:
            return nullptr;
    }
}

std::atomic<int> cache_config{CU_FUNC_CACHE_PREFER_NONE};

}  // namespace

REVATI_DRIVER cuCtxGetLimit(size_t* value, CUlimit limit) {
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    std::atomic<size_t>* kept = limit_named(limit);
    if (kept == nullptr) return CUDA_ERROR_UNSUPPORTED_LIMIT;
    *value = *kept;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuCtxSetLimit(CUlimit limit, size_t value) {
    if (CUresult error = require_context()) return error;
    std::atomic<size_t>* kept = limit_named(limit);
    if (kept == nullptr) return CUDA_ERROR_UNSUPPORTED_LIMIT;
    if (limit == CU_LIMIT_MAX_L2_FETCH_GRANULARITY && value > 128) return CUDA_ERROR_INVALID_VALUE;
    if (limit == CU_LIMIT_PERSISTING_L2_CACHE_SIZE) {
        size_t most = static_cast<size_t>(device::gpu().persisting_l2_max_bytes);
        if (most == 0) return CUDA_ERROR_UNSUPPORTED_LIMIT;
        if (value > most) value = most;
    }
    *kept = value;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuCtxGetCacheConfig(CUfunc_cache* config) {
    if (config == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    *config = static_cast<CUfunc_cache>(cache_config.load());
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuCtxSetCacheConfig(CUfunc_cache config) {
    if (config < CU_FUNC_CACHE_PREFER_NONE || config > CU_FUNC_CACHE_PREFER_EQUAL)
        return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    cache_config = config;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuCtxResetPersistingL2Cache() {
    return require_context();
}

}  // namespace revati::driver
