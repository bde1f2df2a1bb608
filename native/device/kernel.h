// A kernel as the virtual GPU knows it: a name, a parameter layout where it is known, what it does on the
// host (effect), what it costs.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "cost/model.h"
#include "device/export.h"

namespace revati::device {

class Stream;
struct Kernel;

struct Dim3 {
    uint32_t x = 1, y = 1, z = 1;
};

// One launch as an effect sees it.
struct LaunchView {
    const Kernel* kernel;
    Dim3 grid, block;
    uint32_t shared_bytes;
    void* const* args;  // args[i] -> bytes of argument i, valid only for the duration of the call
    int device;
    Stream* stream;

    template <typename T>
    T arg(int index) const {
        T value;
        __builtin_memcpy(&value, args[index], sizeof value);
        return value;
    }
};

// Computes on the host what a control-plane kernel does. Called in stream order at submission and at every
// replay of a graph. An implausible value must stop the run through `fail_closed` (device/log.h) with the
// kernel's name.
using EffectFunction = void (*)(const LaunchView& launch, const void* user);

struct Effect {
    EffectFunction function = nullptr;
    const void* user =
        nullptr;  // what the matcher learnt from the name (element size, functor kind ...), never freed
    // Argument sizes for kernels whose binary does not tell; also what a captured node copies. Empty: take
    // the kernel's own layout.
    std::vector<uint32_t> arg_bytes;
};

// A kernel that all ranks of a group launch, each on its own GPU, and that waits for the others.
struct JointKernel {
    struct Place {
        uint64_t memory = 0, offset = 0;  // of rank 0's shared buffer, the same in all processes
        int ranks = 0, rank = 0;
        uint64_t size = 0;  // must agree among the ranks
    };
    // False if the arguments do not tell.
    bool (*find)(void* const* args, const JointKernel& kernel, Place* place) = nullptr;
    int ranks = 0;  // from the kernel's name; 0: `find` says
    std::vector<uint32_t> arg_bytes;
};

struct ParamLayout {
    bool known = false;
    std::vector<uint32_t> bytes;    // size of each parameter, in order
    std::vector<uint32_t> offsets;  // of each parameter in the argument buffer; empty where unknown
};

struct KernelAttributes {
    int registers = 0;  // 0: the binary does not tell, being compressed
    int shared_static_bytes = 0;
    int local_bytes = 0;
    int const_bytes = 0;
    int max_threads_per_block = 1024;
    int max_dynamic_shared_bytes = 49152;
    int binary_version = 0;  // e.g. 90
    int preferred_carveout = -1;
};

struct Kernel {
    std::string name;
    ParamLayout params;
    KernelAttributes attributes;
    const void* owner = nullptr;  // the fake library's own record (module, fat binary)

    // Resolved at first launch (`resolve`), then constant.
    std::atomic<bool> resolved{false};
    const Effect* effect = nullptr;
    const cost::KernelModel* model = nullptr;
    const JointKernel* joint = nullptr;
    // Sizes to copy when a launch is captured; empty if neither effect nor model wants arguments at replay.
    std::vector<uint32_t> kept_arg_bytes;
};

// Effects register here (native/effects/*.cpp, at library load). A matcher looks at a kernel's name and
// layout and returns its effect, or null. First match wins; asked once per kernel.
using EffectMatcher = const Effect* (*)(const Kernel& kernel);
REVATI_API void register_effect_matcher(EffectMatcher matcher);
using JointMatcher = const JointKernel* (*)(const Kernel& kernel);
REVATI_API void register_joint_matcher(JointMatcher matcher);

// Sizes of a kernel's parameters (and its attributes) from the `.nv.info` metadata of a cubin held in memory.
// False if `image` is no ELF cubin or does not hold the kernel.
REVATI_API bool read_cubin_metadata(const void* image, size_t image_bytes, const std::string& kernel,
                                    ParamLayout* params, KernelAttributes* attributes);

// What a program is told: programs divide by it. Where the binary does not tell, as many as threads of the
// largest block may have.
REVATI_API int told_registers(const KernelAttributes& attributes);

}  // namespace revati::device
