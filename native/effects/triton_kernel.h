// Triton kernels: from a signature in the source and the parameter sizes of a binary to the place of each
// argument.
//
// Triton removes arguments that are None, constexpr, or integers equal to 1, and appends pointers of its own
// (two in 3.6). The sizes in the binary's `.nv.info` tell which ones are left; a size list that fits no
// specialisation, or two different ones, is refused.
#pragma once

#include <vector>

#include "effects/effects.h"

namespace revati::effects {

enum class TritonParam : uint8_t {
    pointer,
    optional_pointer,  // may be None
    integer,           // never 1 in this kernel: strides of rows, vocabulary sizes
    integer_or_one,    // gone when it is 1
    fixed_integer,     // do_not_specialize: always there
    absent,            // other releases have it
};

class TritonArgs {
  public:
    TritonArgs(const LaunchView& launch, const std::vector<int>& places, const std::vector<uint32_t>& sizes)
        : launch_(launch), places_(places), sizes_(sizes) {}

    const Kernel& kernel() const { return *launch_.kernel; }
    int device() const { return launch_.device; }
    uint32_t grid(int axis) const { return axis == 0 ? launch_.grid.x : launch_.grid.y; }

    bool has(int param) const { return places_[param] >= 0; }
    template <typename T>
    T* pointer(int param) const {
        return has(param) ? launch_.arg<T*>(places_[param]) : nullptr;
    }
    int64_t integer(int param) const {
        if (!has(param)) return 1;
        return sizes_[places_[param]] == 8 ? launch_.arg<int64_t>(places_[param])
                                           : launch_.arg<int32_t>(places_[param]);
    }

  private:
    const LaunchView& launch_;
    const std::vector<int>& places_;
    const std::vector<uint32_t>& sizes_;
};

struct TritonKernel {
    const char* name;  // a last character '*' stands for any number, as torch.compile appends one
    void (*run)(const TritonArgs& args);
    // One or more parameter lists, the first that fits is taken: a kernel whose constexpr flags change the
    // meaning of its arguments has several, and so has one that other releases declare otherwise.
    std::vector<std::vector<TritonParam>> signatures;
    void (*const* variants)(const TritonArgs& args) = nullptr;
};

// The place of each parameter in the binary (-1: gone), or empty if the sizes do not fit exactly one
// specialisation.
std::vector<int> place_triton_params(const std::vector<TritonParam>& params,
                                     const std::vector<uint32_t>& sizes);

void register_triton_kernel(const TritonKernel* kernel);
const std::vector<const TritonKernel*>& triton_kernels();

struct TritonRegistration {
    explicit TritonRegistration(const std::vector<TritonKernel>& kernels) {
        for (const TritonKernel& kernel : kernels) register_triton_kernel(&kernel);
    }
};

}  // namespace revati::effects
