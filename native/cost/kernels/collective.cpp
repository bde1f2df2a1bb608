// Collectives that frameworks run as kernels of their own, over memory that the ranks share.
//
// vLLM: `cross_device_reduce_{1,2}stage<T, ranks>(RankData*, RankSignals, Signal*, T* result, int rank, int
// size)`; the size counts packs of 16 bytes.
// FlashInfer: `allreduce_fusion_kernel_{oneshot_lamport,twoshot_sync}<pattern, T, ranks, ...>(params, ...)`;
// the structure begins with four integers: ranks, rank, elements, elements of a row. torch, on symmetric
// memory: `*{multimem,one_shot,two_shot}_*(..., size_t elements, uint32_t** signal_pads, size_t rank, size_t
// ranks, ...)`. SGLang: `all_reduce_one_shot_push_kernel<T, ranks, ...>(data, controller)`,
// `all_reduce_{one,two}_shot_kernel<T, ranks, ...>(inputs, params, controller)`; data and params hold the
// elements at bytes 84 and 12.
#include <cstdlib>

#include "cost/kernels/arguments.h"
#include "cost/kernels/factories.h"

namespace revati::cost::kernels {
namespace {

constexpr int64_t pack_bytes = 16;
constexpr int64_t most_bytes = int64_t{1} << 40;

struct Payload {
    int ranks = 0;
    int64_t bytes = 0;           // of one rank's input; 0: cannot tell
    int64_t streamed_bytes = 0;  // what the kernel does besides, in its own memory
};

struct Signature {
    CollectiveKind kind = CollectiveKind::all_reduce;
    int ranks = 0;  // 0: an argument
    int64_t element_bytes = 0;
    uint32_t elements_at = 0;  // index of the argument
    bool fuses_norm = false;
};

using Read = Payload (*)(const Signature& signature, const Arguments& args);

Payload read_vllm(const Signature& signature, const Arguments& args) {
    if (args.count() != 6) return {};
    return {signature.ranks, args.integer_or(5, 1, most_bytes / pack_bytes, 0) * pack_bytes, 0};
}

Payload read_flashinfer(const Signature& signature, const Arguments& args) {
    int32_t elements = 0;
    if (!args.field(0, 8, &elements) || elements <= 0) return {};
    const int64_t bytes = elements * signature.element_bytes;
    // Residual in and out, and what is normalised.
    return {signature.ranks, bytes, signature.fuses_norm ? 3 * bytes : 0};
}

Payload read_sglang(const Signature& signature, const Arguments& args) {
    const bool pushes = signature.elements_at == 0;
    int32_t elements = 0;
    if (!args.field(signature.elements_at, pushes ? 84 : 12, &elements) || elements <= 0) return {};
    return {signature.ranks, elements * signature.element_bytes, 0};
}

Payload read_torch(const Signature& signature, const Arguments& args) {
    const uint32_t at = signature.elements_at;
    const int64_t ranks = args.integer_or(at + 3, 2, 1024, 0);
    const int64_t elements = args.integer_or(at, 1, most_bytes / signature.element_bytes, 0);
    return {static_cast<int>(ranks), ranks > 0 ? elements * signature.element_bytes : 0, 0};
}

class CollectiveModel : public KernelModel {
  public:
    CollectiveModel(Core* core, Read read, const Signature& signature, std::vector<uint32_t> arg_bytes)
        : core_(core), read_(read), signature_(signature), arg_bytes_(std::move(arg_bytes)) {}

    Duration estimate(const KernelLaunch& launch) const override {
        const Payload payload = read_(signature_, Arguments(launch));
        if (payload.bytes == 0) return core_->guess(Family::collective, threads_of(launch) * pack_bytes);
        // Without what a launch of its own would cost.
        int64_t streamed_ns = 0;
        if (payload.streamed_bytes > 0) {
            streamed_ns = core_->by_bytes(Family::norm, static_cast<uint64_t>(payload.streamed_bytes)).ns -
                          core_->by_bytes(Family::norm, 0).ns;
        }
        CollectiveFeatures features;
        features.kind = signature_.kind;
        features.ranks = payload.ranks;
        features.bytes = static_cast<uint64_t>(payload.bytes);
        features.custom = true;
        Duration duration = core_->collective(features);
        duration.ns += streamed_ns;
        return duration;
    }

    const std::vector<uint32_t>& expected_arg_bytes() const override { return arg_bytes_; }

  private:
    Core* core_;
    Read read_;
    Signature signature_;
    std::vector<uint32_t> arg_bytes_;
};

int ranks_in(const std::vector<std::string>& templates, size_t index) {
    if (index >= templates.size()) return 0;
    const long ranks = std::strtol(templates[index].c_str(), nullptr, 10);
    return ranks >= 2 && ranks <= 16 ? static_cast<int>(ranks) : 0;
}

bool ends_with(const std::string& text, const char* end) {
    const std::string tail = end;
    return text.size() >= tail.size() && text.compare(text.size() - tail.size(), tail.size(), tail) == 0;
}

bool is_flashinfer(const KernelName& name) {
    return ends_with(name.base, "trtllm_allreduce_fusion::allreduce_fusion_kernel_oneshot_lamport") ||
           ends_with(name.base, "trtllm_allreduce_fusion::allreduce_fusion_kernel_twoshot_sync");
}

std::string plain_name(const KernelName& name) {
    const size_t colons = name.base.rfind("::");
    return colons == std::string::npos ? name.base : name.base.substr(colons + 2);
}

bool is_torch(const KernelName& name, CollectiveKind* kind) {
    const std::string plain = plain_name(name);
    *kind = CollectiveKind::all_reduce;
    if (plain == "multimem_all_reduce_kernel" || plain == "multimem_one_shot_all_reduce_kernel" ||
        plain == "one_shot_all_reduce_kernel" || plain == "two_shot_all_reduce_kernel" ||
        plain == "two_shot_all_reduce_kernel_inplace") {
        return true;
    }
    *kind = CollectiveKind::reduce;
    if (plain == "multimem_one_shot_reduce_kernel") return true;
    *kind = CollectiveKind::all_gather;
    return plain == "multimem_all_gather_kernel";
}

}  // namespace

std::unique_ptr<KernelModel> make_collective(const KernelName& name, Core* core, SharedState*) {
    const std::vector<std::string> parts = split_top_level(name.templates);
    Signature signature;
    if (name.base == "vllm::cross_device_reduce_1stage" || name.base == "vllm::cross_device_reduce_2stage") {
        signature.ranks = ranks_in(parts, 1);
        if (signature.ranks == 0) return nullptr;
        return std::make_unique<CollectiveModel>(core, read_vllm, signature, name.param_bytes);
    }
    if (is_flashinfer(name) && parts.size() >= 3) {
        signature.ranks = ranks_in(parts, 2);
        signature.element_bytes = bits_of(first_dtype(parts[1])) / 8;
        signature.fuses_norm = !ends_with(parts[0], ")0");
        if (signature.ranks == 0 || signature.element_bytes == 0) return nullptr;
        constexpr uint32_t head_bytes = 24;  // as much of the structure as is read
        return std::make_unique<CollectiveModel>(core, read_flashinfer, signature,
                                                 std::vector<uint32_t>{head_bytes});
    }
    const std::string plain = plain_name(name);
    const bool pushes = plain == "all_reduce_one_shot_push_kernel";
    if (pushes || plain == "all_reduce_one_shot_kernel" || plain == "all_reduce_two_shot_kernel") {
        signature.ranks = ranks_in(parts, 1);
        signature.elements_at = pushes ? 0 : 1;
        if (parts.size() == 3) signature.element_bytes = bits_of(first_dtype(parts[0])) / 8;
        if (signature.ranks == 0 || signature.element_bytes == 0) return nullptr;
        return std::make_unique<CollectiveModel>(
            core, read_sglang, signature,
            pushes ? std::vector<uint32_t>{96} : std::vector<uint32_t>{8, 16});
    }
    const size_t at = name.param_kinds.find("ipii");
    if (is_torch(name, &signature.kind) && at != std::string::npos) {
        const bool in_bytes = signature.kind == CollectiveKind::all_gather;
        signature.element_bytes = in_bytes || parts.empty() ? 1 : bits_of(first_dtype(parts[0])) / 8;
        signature.elements_at = static_cast<uint32_t>(at);
        if (signature.element_bytes == 0) return nullptr;
        return std::make_unique<CollectiveModel>(core, read_torch, signature, name.param_bytes);
    }
    return nullptr;
}

}  // namespace revati::cost::kernels
