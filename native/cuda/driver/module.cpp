#include "cuda/driver/module.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>

namespace revati::driver {
namespace {

std::mutex loaded_mutex;
std::set<Module*>& loaded() {
    static auto* modules = new std::set<Module*>;  // outlives the exit handlers of other libraries
    return *modules;
}

Module* find_loaded(Module* candidate) {
    std::lock_guard lock(loaded_mutex);
    return loaded().count(candidate) != 0 ? candidate : nullptr;
}

}  // namespace

CUresult Module::load(const void* image, Module** out) {
    std::unique_ptr<Module> module(new Module);
    const device::GpuSpec& spec = device::gpu();
    CUresult error = read_image(image, spec.compute_major, spec.compute_minor, &module->image_);
    if (error != CUDA_SUCCESS) return error;
    // Programs may free the image as soon as it is loaded. Read again so that all pointers lead into the
    // copy.
    if (!module->image_.opaque) {
        module->storage_.assign(module->image_.data, module->image_.data + module->image_.bytes);
        module->image_ = Image();
        read_image(module->storage_.data(), spec.compute_major, spec.compute_minor, &module->image_);
    }
    std::sort(module->image_.kernels.begin(), module->image_.kernels.end());
    std::lock_guard lock(loaded_mutex);
    loaded().insert(module.get());
    *out = module.release();
    return CUDA_SUCCESS;
}

Module::~Module() {
    for (auto& [place, memory] : section_memory_) device::free_device(memory);
    // Captured graphs may still hold the kernels, and a kernel is small.
    for (auto& [name, kernel] : kernels_) kernel.release()->owner = nullptr;
}

device::Kernel* Module::make_kernel(const std::string& name) {
    auto kernel = std::make_unique<device::Kernel>();
    kernel->name = name;
    kernel->owner = this;
    kernel->attributes.binary_version = device::gpu().compute_major * 10 + device::gpu().compute_minor;
    if (!image_.opaque) {
        device::read_cubin_metadata(image_.data, image_.bytes, name, &kernel->params, &kernel->attributes);
    }
    return (kernels_[name] = std::move(kernel)).get();
}

device::Kernel* Module::kernel(const std::string& name) {
    std::lock_guard lock(mutex_);
    auto found = kernels_.find(name);
    if (found != kernels_.end()) return found->second.get();
    bool held = image_.opaque || std::binary_search(image_.kernels.begin(), image_.kernels.end(), name);
    return held ? make_kernel(name) : nullptr;
}

std::vector<device::Kernel*> Module::kernels() {
    std::vector<device::Kernel*> all;
    for (const std::string& name : image_.kernels) all.push_back(kernel(name));
    return all;
}

CUresult Module::section_base(size_t section, int device, void** out) {
    void*& memory = section_memory_[{section, device}];
    if (memory == nullptr) {
        const DataSection& data = image_.sections[section];
        auto status = device::allocate_device(device, data.bytes, &memory);
        if (status != device::Status::ok) return result(status);
        if (data.content != nullptr) device::move_bytes(memory, data.content, data.bytes);
    }
    *out = memory;
    return CUDA_SUCCESS;
}

CUresult Module::global(const std::string& name, CUdeviceptr* address, size_t* bytes) {
    std::lock_guard lock(mutex_);
    for (const GlobalSymbol& symbol : image_.globals) {
        if (symbol.name != name) continue;
        void* base = nullptr;
        CUresult error = section_base(symbol.section, device::current_device(), &base);
        if (error != CUDA_SUCCESS) return error;
        if (address != nullptr) *address = to_address(base) + symbol.offset;
        if (bytes != nullptr) *bytes = symbol.bytes;
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_NOT_FOUND;
}

Module* to_module(CUmodule handle) {
    return find_loaded(reinterpret_cast<Module*>(handle));
}
Module* to_module(CUlibrary handle) {
    return find_loaded(reinterpret_cast<Module*>(handle));
}

CUresult load_file(const char* path, Module** out) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return CUDA_ERROR_FILE_NOT_FOUND;
    std::vector<char> content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    content.resize(content.size() + 64, '\0');  // short files and text stay within bounds
    return Module::load(content.data(), out);
}

CUresult unload(Module* module) {
    {
        std::lock_guard lock(loaded_mutex);
        if (loaded().erase(module) == 0) return CUDA_ERROR_INVALID_HANDLE;
    }
    delete module;
    return CUDA_SUCCESS;
}

Module* owner_of(const device::Kernel* kernel) {
    return find_loaded(const_cast<Module*>(static_cast<const Module*>(kernel->owner)));
}

REVATI_DRIVER cuModuleLoadData(CUmodule* out, const void* image) {
    if (out == nullptr || image == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    return Module::load(image, reinterpret_cast<Module**>(out));
}

REVATI_DRIVER cuModuleLoadDataEx(CUmodule* out, const void* image, unsigned int, CUjit_option*, void**) {
    // The options steer the compiler of PTX, which we refuse.
    return cuModuleLoadData(out, image);
}

REVATI_DRIVER cuModuleLoadFatBinary(CUmodule* out, const void* image) {
    return cuModuleLoadData(out, image);
}

REVATI_DRIVER cuModuleLoad(CUmodule* out, const char* path) {
    if (out == nullptr || path == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    return load_file(path, reinterpret_cast<Module**>(out));
}

REVATI_DRIVER cuModuleUnload(CUmodule handle) {
    return unload(reinterpret_cast<Module*>(handle));
}

REVATI_DRIVER cuModuleGetFunction(CUfunction* out, CUmodule handle, const char* name) {
    if (out == nullptr || name == nullptr || *name == '\0') return CUDA_ERROR_INVALID_VALUE;
    Module* module = to_module(handle);
    if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    device::Kernel* kernel = module->kernel(name);
    if (kernel == nullptr) return CUDA_ERROR_NOT_FOUND;
    *out = to_function(kernel);
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuModuleGetFunctionCount(unsigned int* count, CUmodule handle) {
    Module* module = to_module(handle);
    if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *count = static_cast<unsigned>(module->kernel_count());
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuModuleEnumerateFunctions(CUfunction* functions, unsigned int count, CUmodule handle) {
    Module* module = to_module(handle);
    if (functions == nullptr || count == 0) return CUDA_ERROR_INVALID_VALUE;
    if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    for (device::Kernel* kernel : module->kernels()) {
        if (count-- == 0) break;
        *functions++ = to_function(kernel);
    }
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuModuleGetGlobal_v2(CUdeviceptr* address, size_t* bytes, CUmodule handle, const char* name) {
    if (name == nullptr || *name == '\0') return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    Module* module = to_module(handle);
    return module == nullptr ? CUDA_ERROR_INVALID_HANDLE : module->global(name, address, bytes);
}

REVATI_DRIVER cuModuleGetLoadingMode(CUmoduleLoadingMode* mode) {
    if (mode == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *mode = CU_MODULE_LAZY_LOADING;
    return CUDA_SUCCESS;
}

}  // namespace revati::driver
