// The runtime of the CUTLASS DSL (nvidia-cutlass-dsl 4.5.2), from which code that it compiles calls CUDA. The
// real one has a runtime of its own inside; this one passes each call on to the CUDA runtime, whose public
// function of the same name (less the underscore) says what the parameters are. The three calls that have
// none are as compiled modules make them.
#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>

#include "device/export.h"

namespace {

using Load = int (*)(cudaLibrary_t* library);
using Prepare = int (*)(cudaLibrary_t* library, int device);

/// What is known of one compiled module, which the place of its library stands for. Modules are never
/// forgotten.
struct Module {
    bool loaded = false;
    std::set<int> prepared_devices;
};

const char* name_of(int status) {
    return cudaGetErrorName(static_cast<cudaError_t>(status));
}

}  // namespace

#define CUTE_DSL extern "C" REVATI_API

/// Loads a module's library once, and finds its kernels and raises their limits once for each device that
/// uses them.
CUTE_DSL int cuda_dialect_init_library_once(cudaLibrary_t* library, Load load, Prepare prepare) {
    static auto* mutex = new std::mutex;
    static auto* modules = new std::map<const void*, Module>;
    int device = 0;
    if (cudaError_t error = cudaGetDevice(&device); error != cudaSuccess) return error;
    const std::lock_guard lock(*mutex);
    Module& module = (*modules)[library];
    if (!module.loaded) {
        if (int error = load(library); error != cudaSuccess) return error;
        module.loaded = true;
    }
    if (module.prepared_devices.count(device) > 0) return cudaSuccess;
    if (int error = prepare(library, device); error != cudaSuccess) return error;
    module.prepared_devices.insert(device);
    return cudaSuccess;
}

CUTE_DSL int cuda_dialect_unload_library_once() {
    return 0;
}

CUTE_DSL const char* cuda_dialect_get_error_name(int status) {
    return name_of(status);
}

CUTE_DSL void cuda_dialect_print_on_error(int status) {
    if (status != cudaSuccess)
        std::fprintf(stderr, "CUTLASS DSL: CUDA error %d (%s)\n", status, name_of(status));
}

CUTE_DSL void cuda_dialect_assert_success(int status) {
    cuda_dialect_print_on_error(status);
    if (status != cudaSuccess) std::abort();
}

// Libraries and kernels.

CUTE_DSL cudaError_t _cudaLibraryLoadData(cudaLibrary_t* library, const void* code, cudaJitOption* options,
                                          void** values, unsigned count, cudaLibraryOption* library_options,
                                          void** library_values, unsigned library_count) {
    return cudaLibraryLoadData(library, code, options, values, count, library_options, library_values,
                               library_count);
}

CUTE_DSL cudaError_t _cudaLibraryUnload(cudaLibrary_t library) {
    return cudaLibraryUnload(library);
}

CUTE_DSL cudaError_t _cudaLibraryGetKernel(cudaKernel_t* kernel, cudaLibrary_t library, const char* name) {
    return cudaLibraryGetKernel(kernel, library, name);
}

CUTE_DSL cudaError_t _cudaKernelSetAttributeForDevice(cudaKernel_t kernel, cudaFuncAttribute attribute,
                                                      int value, int device) {
    // The public function is new in the runtime of CUDA 13.
    return static_cast<cudaError_t>(cuKernelSetAttribute(static_cast<CUfunction_attribute>(attribute), value,
                                                         reinterpret_cast<CUkernel>(kernel), device));
}

CUTE_DSL cudaError_t _cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
    return cudaFuncSetAttribute(function, attribute, value);
}

CUTE_DSL cudaError_t _cudaLaunchKernelEx(const cudaLaunchConfig_t* launch, const void* function,
                                         void** arguments) {
    return cudaLaunchKernelExC(launch, function, arguments);
}

CUTE_DSL cudaError_t _cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function,
                                                                    int threads, size_t shared_bytes) {
    return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, shared_bytes);
}

CUTE_DSL CUresult _cuKernelGetAttribute(int* value, CUfunction_attribute attribute, CUkernel kernel,
                                        CUdevice device) {
    return cuKernelGetAttribute(value, attribute, kernel, device);
}

CUTE_DSL CUresult _cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank,
                                          void* address, const cuuint64_t* dimensions,
                                          const cuuint64_t* strides_bytes, const cuuint32_t* box,
                                          const cuuint32_t* element_strides, CUtensorMapInterleave interleave,
                                          CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
                                          CUtensorMapFloatOOBfill fill) {
    return cuTensorMapEncodeTiled(map, type, rank, address, dimensions, strides_bytes, box, element_strides,
                                  interleave, swizzle, promotion, fill);
}

// Devices.

CUTE_DSL CUresult _cuDeviceGet(CUdevice* device, int ordinal) {
    return cuDeviceGet(device, ordinal);
}

CUTE_DSL cudaError_t _cudaGetDeviceCount(int* count) {
    return cudaGetDeviceCount(count);
}

CUTE_DSL cudaError_t _cudaGetDevice(int* device) {
    return cudaGetDevice(device);
}

CUTE_DSL cudaError_t _cudaSetDevice(int device) {
    return cudaSetDevice(device);
}

CUTE_DSL cudaError_t _cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
    return cudaDeviceGetAttribute(value, attribute, device);
}

CUTE_DSL cudaError_t _cudaDeviceSynchronize() {
    return cudaDeviceSynchronize();
}

CUTE_DSL cudaError_t _cudaProfilerStart() {
    return cudaSuccess;
}

CUTE_DSL cudaError_t _cudaProfilerStop() {
    return cudaSuccess;
}
