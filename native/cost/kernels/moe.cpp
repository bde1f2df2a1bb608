// Mixture of experts: the alignment kernel tells how many experts there are, the Triton grouped GEMM its
// sizes.
#include "cost/kernels/arguments.h"
#include "cost/kernels/factories.h"

namespace revati::cost::kernels {
namespace {

// moe_align_block_size_kernel(ids, sorted, experts, total, map, int experts, ..., int block, size_t rows,
// ...): the first small integer is the number of experts, the last one before the 8-byte count the block
// size.
class AlignModel : public KernelModel {
  public:
    AlignModel(Core* core, SharedState* state, const KernelName& name)
        : core_(core), state_(state), arg_bytes_(name.param_bytes) {
        for (uint32_t i = 0; i < name.param_kinds.size(); ++i) {
            if (name.param_kinds[i] != 'i') continue;
            if (name.param_bytes[i] == 8) {
                rows_ = i;
                break;
            }
            if (first_ == 0) first_ = i;
            last_ = i;
        }
    }

    Duration estimate(const KernelLaunch& launch) const override {
        const Arguments args(launch);
        Routing routing;
        routing.experts = args.integer_or(first_, 1, 65536, 0);
        routing.block_rows = args.integer_or(last_, 1, 4096, 0);
        routing.rows = args.integer_or(rows_, 1, int64_t{1} << 32, 0);
        if (routing.experts > 0 && routing.rows > 0) state_->routing.publish(routing);
        return core_->by_bytes(Family::moe, static_cast<uint64_t>(routing.rows * 24 + routing.experts * 64));
    }

    // Asked at every launch, so that the grouped GEMMs behind it find its routing.
    bool depends_on_memory() const override { return true; }
    const std::vector<uint32_t>& expected_arg_bytes() const override { return arg_bytes_; }

  private:
    Core* core_;
    SharedState* state_;
    std::vector<uint32_t> arg_bytes_;
    uint32_t first_ = 0, last_ = 0, rows_ = 0;
};

// Triton: pointers, then N, K, padded rows, rows, strides. Three scale and bias pointers are optional.
class GroupedGemmModel : public KernelModel {
  public:
    GroupedGemmModel(Core* core, SharedState* state) : core_(core), state_(state) {}

    Duration estimate(const KernelLaunch& launch) const override {
        const Arguments args(launch);
        uint32_t first = 0;
        while (first < args.count() && args.bytes(first) == 8) ++first;
        MoeFeatures f;
        f.n = args.integer_or(first, 1, 1 << 24, 0);
        f.k = args.integer_or(first + 1, 1, 1 << 24, 0);
        f.rows_padded = args.integer_or(first + 2, 1, int64_t{1} << 32, 0);
        f.rows = args.integer_or(first + 3, 1, int64_t{1} << 32, 0);
        const Routing routing = state_->routing.latest();
        if (f.n == 0 || f.k == 0 || f.rows == 0 || routing.experts == 0)
            return core_->guess(Family::moe, threads_of(launch) * 64);
        f.experts = routing.experts;
        constexpr uint32_t pointers_without_scales = 7;
        if (first >= pointers_without_scales + 2) f.activation = f.weight = DType::f8e4m3;
        return core_->moe(f);
    }

  private:
    Core* core_;
    SharedState* state_;
};

}  // namespace

std::unique_ptr<KernelModel> make_moe(const KernelName& name, Core* core, SharedState* state) {
    if (name.base == "vllm::moe::moe_align_block_size_kernel" ||
        name.base == "vllm::moe::moe_align_block_size_small_batch_expert_kernel") {
        return std::make_unique<AlignModel>(core, state, name);
    }
    if (name.plain == "fused_moe_kernel") return std::make_unique<GroupedGemmModel>(core, state);
    return nullptr;
}

}  // namespace revati::cost::kernels
