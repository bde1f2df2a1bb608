// Context-independent loading: cuLibrary* and cuKernel*.
#include "cuda/driver/module.h"

namespace revati::driver {

REVATI_DRIVER cuLibraryLoadData(CUlibrary* out, const void* code, CUjit_option*, void**, unsigned int,
                                CUlibraryOption*, void**, unsigned int) {
    if (out == nullptr || code == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (device::device_count() == 0) return CUDA_ERROR_NO_DEVICE;
    return Module::load(code, reinterpret_cast<Module**>(out));
}

REVATI_DRIVER cuLibraryLoadFromFile(CUlibrary* out, const char* path, CUjit_option*, void**, unsigned int,
                                    CUlibraryOption*, void**, unsigned int) {
    if (out == nullptr || path == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (device::device_count() == 0) return CUDA_ERROR_NO_DEVICE;
    return load_file(path, reinterpret_cast<Module**>(out));
}

REVATI_DRIVER cuLibraryUnload(CUlibrary handle) {
    return unload(reinterpret_cast<Module*>(handle));
}

REVATI_DRIVER cuLibraryGetModule(CUmodule* out, CUlibrary handle) {
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    Module* module = to_module(handle);
    if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *out = reinterpret_cast<CUmodule>(module);
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuLibraryGetKernel(CUkernel* out, CUlibrary handle, const char* name) {
    if (out == nullptr || name == nullptr || *name == '\0') return CUDA_ERROR_INVALID_VALUE;
    Module* module = to_module(handle);
    if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    device::Kernel* kernel = module->kernel(name);
    if (kernel == nullptr) return CUDA_ERROR_NOT_FOUND;
    *out = reinterpret_cast<CUkernel>(kernel);
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuLibraryGetKernelCount(unsigned int* count, CUlibrary handle) {
    return cuModuleGetFunctionCount(count, reinterpret_cast<CUmodule>(handle));
}

REVATI_DRIVER cuLibraryEnumerateKernels(CUkernel* kernels, unsigned int count, CUlibrary handle) {
    return cuModuleEnumerateFunctions(reinterpret_cast<CUfunction*>(kernels), count,
                                      reinterpret_cast<CUmodule>(handle));
}

REVATI_DRIVER cuLibraryGetGlobal(CUdeviceptr* address, size_t* bytes, CUlibrary handle, const char* name) {
    return cuModuleGetGlobal_v2(address, bytes, reinterpret_cast<CUmodule>(handle), name);
}

REVATI_DRIVER cuKernelGetFunction(CUfunction* out, CUkernel kernel) {
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (CUresult error = require_context()) return error;
    *out = to_function(to_kernel(kernel));
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuKernelGetLibrary(CUlibrary* out, CUkernel kernel) {
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    Module* owner = owner_of(to_kernel(kernel));
    if (owner == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *out = reinterpret_cast<CUlibrary>(owner);
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuKernelGetName(const char** name, CUkernel kernel) {
    if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *name = to_kernel(kernel)->name.c_str();
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuKernelGetParamInfo(CUkernel kernel, size_t index, size_t* offset, size_t* bytes) {
    return cuFuncGetParamInfo(to_function(to_kernel(kernel)), index, offset, bytes);
}

REVATI_DRIVER cuKernelGetAttribute(int* value, CUfunction_attribute attribute, CUkernel kernel,
                                   CUdevice device) {
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    return cuFuncGetAttribute(value, attribute, to_function(to_kernel(kernel)));
}

REVATI_DRIVER cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel kernel,
                                   CUdevice device) {
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    return cuFuncSetAttribute(to_function(to_kernel(kernel)), attribute, value);
}

REVATI_DRIVER cuKernelSetCacheConfig(CUkernel kernel, CUfunc_cache config, CUdevice device) {
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    return cuFuncSetCacheConfig(to_function(to_kernel(kernel)), config);
}

}  // namespace revati::driver
