// Loaded code. A CUmodule and a CUlibrary are the same object: a library's code is simply there for every
// context.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/driver/api.h"
#include "cuda/driver/image.h"

namespace revati::driver {

class Module {
  public:
    // Copies what it needs from `image`.
    static CUresult load(const void* image, Module** out);
    ~Module();

    // The kernel `name`, or null. The same object at every call.
    device::Kernel* kernel(const std::string& name);
    std::vector<device::Kernel*> kernels();
    size_t kernel_count() const { return image_.kernels.size(); }
    // Device memory of a variable on the current device. Allocated at the first question.
    CUresult global(const std::string& name, CUdeviceptr* address, size_t* bytes);

    Module(const Module&) = delete;
    Module& operator=(const Module&) = delete;

  private:
    Module() = default;
    device::Kernel* make_kernel(const std::string& name);
    CUresult section_base(size_t section, int device, void** out);

    std::vector<uint8_t> storage_;
    Image image_;  // points into storage_
    std::mutex mutex_;
    std::map<std::string, std::unique_ptr<device::Kernel>> kernels_;
    std::map<std::pair<size_t, int>, void*> section_memory_;
};

// Null if the handle is no loaded module or library.
Module* to_module(CUmodule handle);
Module* to_module(CUlibrary handle);
CUresult load_file(const char* path, Module** out);
CUresult unload(Module* module);
// Whether `kernel` belongs to a loaded module, and to which.
Module* owner_of(const device::Kernel* kernel);

}  // namespace revati::driver
