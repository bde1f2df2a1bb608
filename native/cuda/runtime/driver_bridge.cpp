#include "cuda/runtime/driver_bridge.h"

#include <dlfcn.h>

#include "cuda/runtime/registration.h"

using namespace revati;
using namespace revati::cuda::runtime;

namespace {

// cuGetProcAddress_v2 of the driver that this process has loaded (ours, through the preload and the search
// path).
using LookUp = int (*)(const char* name, void** address, int cuda_version, uint64_t flags, int* result);

LookUp driver_look_up() {
    static const LookUp function = [] {
        void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
        return library == nullptr ? nullptr : reinterpret_cast<LookUp>(dlsym(library, "cuGetProcAddress_v2"));
    }();
    return function;
}

cudaError_t entry_point(const char* name, void** address, int version, unsigned long long flags,
                        cudaDriverEntryPointQueryResult* result) {
    if (name == nullptr || address == nullptr || flags > cudaEnablePerThreadDefaultStream)
        return finish(cudaErrorInvalidValue);
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSuccess;
    *address = driver_entry_point(name, version, flags, &found);
    if (result != nullptr) *result = found;
    // Without a place for the result, the error itself tells.
    return *address == nullptr && result == nullptr ? finish(cudaErrorSymbolNotFound) : cudaSuccess;
}

// The `_ptsz` variants are compiled into programs whose default stream is the per-thread one.
unsigned long long per_thread_flags(unsigned long long flags) {
    return flags == cudaEnableDefault ? static_cast<unsigned long long>(cudaEnablePerThreadDefaultStream)
                                      : flags;
}

}  // namespace

namespace revati::cuda::runtime {

void* driver_entry_point(const char* name, int cuda_version, unsigned long long flags,
                         cudaDriverEntryPointQueryResult* result) {
    int found = cudaDriverEntryPointSymbolNotFound;
    void* address = nullptr;
    const LookUp look_up = driver_look_up();
    if (look_up == nullptr || look_up(name, &address, cuda_version, flags, &found) != 0) address = nullptr;
    if (result != nullptr)
        *result = address != nullptr || found != 0 ? static_cast<cudaDriverEntryPointQueryResult>(found)
                                                   : cudaDriverEntryPointSymbolNotFound;
    return address;
}

}  // namespace revati::cuda::runtime

cudaError_t cudaGetDriverEntryPoint(const char* name, void** address, unsigned long long flags,
                                    cudaDriverEntryPointQueryResult* result) {
    return entry_point(name, address, CUDART_VERSION, flags, result);
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** address, unsigned version,
                                             unsigned long long flags,
                                             cudaDriverEntryPointQueryResult* result) {
    return entry_point(name, address, static_cast<int>(version), flags, result);
}

extern "C" {

REVATI_API cudaError_t cudaGetDriverEntryPoint_ptsz(const char* name, void** address,
                                                    unsigned long long flags,
                                                    cudaDriverEntryPointQueryResult* result) {
    return entry_point(name, address, CUDART_VERSION, per_thread_flags(flags), result);
}

REVATI_API cudaError_t cudaGetDriverEntryPointByVersion_ptsz(const char* name, void** address,
                                                             unsigned version, unsigned long long flags,
                                                             cudaDriverEntryPointQueryResult* result) {
    return entry_point(name, address, static_cast<int>(version), per_thread_flags(flags), result);
}

}  // extern "C"

// Libraries of kernels are the driver's: a cudaLibrary_t is its CUlibrary. Options of the just-in-time
// compiler have other numbers there and no meaning here, because no kernel is compiled; they are left out.

cudaError_t cudaLibraryLoadData(cudaLibrary_t* library, const void* code, cudaJitOption*, void**, unsigned,
                                cudaLibraryOption*, void**, unsigned) {
    if (library == nullptr || code == nullptr) return finish(cudaErrorInvalidValue);
    void* const none = nullptr;
    return call_driver("cuLibraryLoadData", static_cast<void*>(library), code, none, none, 0u, none, none,
                       0u);
}

cudaError_t cudaLibraryLoadFromFile(cudaLibrary_t* library, const char* path, cudaJitOption*, void**,
                                    unsigned, cudaLibraryOption*, void**, unsigned) {
    if (library == nullptr || path == nullptr) return finish(cudaErrorInvalidValue);
    void* const none = nullptr;
    return call_driver("cuLibraryLoadFromFile", static_cast<void*>(library), path, none, none, 0u, none, none,
                       0u);
}

cudaError_t cudaLibraryUnload(cudaLibrary_t library) {
    return call_driver("cuLibraryUnload", library);
}

cudaError_t cudaLibraryGetKernel(cudaKernel_t* kernel, cudaLibrary_t library, const char* name) {
    if (kernel == nullptr || name == nullptr) return finish(cudaErrorInvalidValue);
    const cudaError_t error = call_driver("cuLibraryGetKernel", kernel, library, name);
    if (error == cudaSuccess) remember_library_kernel(*kernel);
    return error;
}

cudaError_t cudaLibraryGetGlobal(void** address, size_t* bytes, cudaLibrary_t library, const char* name) {
    if (name == nullptr) return finish(cudaErrorInvalidValue);
    return call_driver("cuLibraryGetGlobal", address, bytes, library, name);
}

cudaError_t cudaLibraryGetKernelCount(unsigned* count, cudaLibrary_t library) {
    if (count == nullptr) return finish(cudaErrorInvalidValue);
    return call_driver("cuLibraryGetKernelCount", count, library);
}

cudaError_t cudaLibraryEnumerateKernels(cudaKernel_t* kernels, unsigned count, cudaLibrary_t library) {
    if (kernels == nullptr) return finish(cudaErrorInvalidValue);
    const cudaError_t error = call_driver("cuLibraryEnumerateKernels", kernels, count, library);
    for (unsigned index = 0; error == cudaSuccess && index < count; ++index)
        remember_library_kernel(kernels[index]);
    return error;
}
