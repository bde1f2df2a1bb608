// All-reduce kernels of frameworks: which ranks launch them together. They carry their group in their
// arguments, as pointers to buffers that all ranks have mapped; the buffer of rank 0 names the group.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "device/kernel.h"
#include "device/memory.h"
#include "effects/mangled_name.h"

namespace revati::effects {
namespace {

using device::JointKernel;
using device::Kernel;

constexpr uint32_t pointer_bytes = 8, int_bytes = 4, signals_bytes = 64, fused_bytes = 136;
// SGLang: AllReducePushData, AllReduceParams.
constexpr uint32_t push_bytes = 96, pull_bytes = 16;

template <typename T>
T read(const void* argument, size_t offset) {
    T value;
    memcpy(&value, static_cast<const char*>(argument) + offset, sizeof value);
    return value;
}

// vLLM: cross_device_reduce_{1,2}stage<T, ranks>(RankData*, RankSignals, Signal* own, T* result, int rank,
// int packs). RankSignals holds up to eight pointers.
bool find_custom_all_reduce(void* const* args, const JointKernel&, JointKernel::Place* place) {
    place->rank = read<int>(args[4], 0);
    place->size = static_cast<uint64_t>(read<int>(args[5], 0));
    return device::shared_place(read<const void*>(args[1], 0), &place->memory, &place->offset);
}

// FlashInfer: allreduce_fusion_kernel_{oneshot_lamport,twoshot_sync}<pattern, T, ranks, ...>(params). The
// structure begins with int ranks, rank, size, hidden; then void** workspace, an array in device memory whose
// first entries are the buffers of the ranks.
bool find_fused_all_reduce(void* const* args, const JointKernel& kernel, JointKernel::Place* place) {
    if (read<int>(args[0], 0) != kernel.ranks) return false;
    place->rank = read<int>(args[0], 4);
    place->size = static_cast<uint64_t>(read<int>(args[0], 8));
    const void* const workspace = read<const void*>(args[0], 16);
    device::Allocation allocation;
    if (!device::find_allocation(workspace, &allocation)) return false;
    return device::shared_place(read<const void*>(workspace, 0), &place->memory, &place->offset);
}

// SGLang: all_reduce_one_shot_push_kernel<T, ranks, ...>(data, controller). The structure begins with eight
// pointers, one for each rank's buffer, then the input, the output, uint32_t rank, elements.
bool find_push_all_reduce(void* const* args, const JointKernel&, JointKernel::Place* place) {
    place->rank = read<int>(args[0], 80);
    place->size = read<uint32_t>(args[0], 84);
    return device::shared_place(read<const void*>(args[0], 0), &place->memory, &place->offset);
}

// SGLang: all_reduce_{one,two}_shot_kernel<T, ranks, ...>(inputs, params, controller), where the structure is
// a pointer, uint32_t rank, elements, and the controller eight pointers to the ranks' signals.
bool find_pull_all_reduce(void* const* args, const JointKernel&, JointKernel::Place* place) {
    place->rank = read<int>(args[1], 8);
    place->size = read<uint32_t>(args[1], 12);
    return device::shared_place(read<const void*>(args[2], 0), &place->memory, &place->offset);
}

// torch, on symmetric memory (CUDASymmetricMemoryOps.cu): (..., size_t elements, uint32_t** signal_pads,
// size_t rank, size_t ranks, ...), where all parameters are pointers and 8-byte integers. The pads are an
// array in device memory with one entry for each rank.
template <size_t pads_at>
bool find_symmetric(void* const* args, const JointKernel&, JointKernel::Place* place) {
    place->size = read<uint64_t>(args[pads_at - 1], 0);
    place->rank = static_cast<int>(read<uint64_t>(args[pads_at + 1], 0));
    place->ranks = static_cast<int>(read<uint64_t>(args[pads_at + 2], 0));
    const void* const pads = read<const void*>(args[pads_at], 0);
    device::Allocation allocation;
    if (!device::find_allocation(pads, &allocation)) return false;
    return device::shared_place(read<const void*>(pads, 0), &place->memory, &place->offset);
}

const JointKernel* match_symmetric(const Kernel& kernel) {
    const std::string text = demangle(kernel.name);
    const TemplateName name = parse_template(text);
    const bool known = name.is("multimem_all_reduce_kernel") ||
                       name.is("multimem_one_shot_all_reduce_kernel") ||
                       name.is("multimem_one_shot_reduce_kernel") || name.is("multimem_all_gather_kernel") ||
                       name.is("one_shot_all_reduce_kernel") || name.is("two_shot_all_reduce_kernel") ||
                       name.is("two_shot_all_reduce_kernel_inplace");
    const size_t open = name.rest.find('('), close = name.rest.rfind(')');
    if (!known || open == std::string::npos || close == std::string::npos) return nullptr;
    const auto parameters = split_arguments(name.rest.substr(open + 1, close - open - 1));
    const auto pads = std::find(parameters.begin(), parameters.end(), "unsigned int**");
    if (parameters.end() - pads < 3) return nullptr;
    std::vector<uint32_t> arg_bytes(parameters.size(), pointer_bytes);
    switch (pads - parameters.begin()) {
        case 2:
            return new JointKernel{find_symmetric<2>, 0, std::move(arg_bytes)};
        case 3:
            return new JointKernel{find_symmetric<3>, 0, std::move(arg_bytes)};
        case 4:
            return new JointKernel{find_symmetric<4>, 0, std::move(arg_bytes)};
        case 5:
            return new JointKernel{find_symmetric<5>, 0, std::move(arg_bytes)};
        default:
            return nullptr;
    }
}

const JointKernel* make(bool (*find)(void* const*, const JointKernel&, JointKernel::Place*),
                        const std::string& ranks, std::vector<uint32_t> arg_bytes) {
    const int count = static_cast<int>(strtol(ranks.c_str(), nullptr, 10));
    if (count < 2) return nullptr;
    return new JointKernel{find, count, std::move(arg_bytes)};
}

const JointKernel* match_sglang(const Kernel& kernel) {
    const TemplateName name = parse_template(demangle(kernel.name));
    if (name.arguments.size() != 3) return nullptr;
    if (name.is("all_reduce_one_shot_push_kernel"))
        return make(find_push_all_reduce, name.arguments[1], {push_bytes, pointer_bytes});
    if (name.is("all_reduce_one_shot_kernel") || name.is("all_reduce_two_shot_kernel"))
        return make(find_pull_all_reduce, name.arguments[1], {pointer_bytes, pull_bytes, signals_bytes});
    return nullptr;
}

const JointKernel* match_all_reduce(const Kernel& kernel) {
    const bool vllm = kernel.name.find("cross_device_reduce_") != std::string::npos;
    const bool fused = kernel.name.find("allreduce_fusion_kernel_") != std::string::npos;
    if (kernel.name.find("all_reduce_one_shot_") != std::string::npos ||
        kernel.name.find("all_reduce_two_shot_") != std::string::npos) {
        return match_sglang(kernel);
    }
    if (!vllm && !fused)
        return kernel.name.find("CUDASymmetricMemoryOps") != std::string::npos ? match_symmetric(kernel)
                                                                               : nullptr;
    const TemplateName name = parse_template(demangle(kernel.name));
    if (vllm && name.arguments.size() == 2 &&
        (name.is("cross_device_reduce_1stage") || name.is("cross_device_reduce_2stage"))) {
        return make(find_custom_all_reduce, name.arguments[1],
                    {pointer_bytes, signals_bytes, pointer_bytes, pointer_bytes, int_bytes, int_bytes});
    }
    if (fused && name.arguments.size() >= 4 && name.is("allreduce_fusion_kernel_oneshot_lamport"))
        return make(find_fused_all_reduce, name.arguments[2], {fused_bytes});
    if (fused && name.arguments.size() >= 4 && name.is("allreduce_fusion_kernel_twoshot_sync")) {
        const auto ranks = static_cast<uint32_t>(strtol(name.arguments[2].c_str(), nullptr, 10));
        return make(find_fused_all_reduce, name.arguments[2],
                    {fused_bytes, ranks * int_bytes, ranks * int_bytes});
    }
    return nullptr;
}

const bool registered = (device::register_joint_matcher(match_all_reduce), true);

}  // namespace
}  // namespace revati::effects
