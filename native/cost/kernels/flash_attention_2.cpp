// FlashAttention 2: all parameters in one structure passed by value.
//
// Offsets follow from the public header (csrc/flash_attn/src/flash.h); the one member that releases inserted
// in between (leftpad_k) is told apart by what the memory behind it holds.
#include "cost/kernels/arguments.h"
#include "cost/kernels/factories.h"

namespace revati::cost::kernels {
namespace {

constexpr uint32_t heads_offset = 96, kv_heads_offset = 100;
constexpr uint32_t batch_offset = 176, q_length_offset = 180, kv_length_offset = 184, head_dim_offset = 192;
constexpr uint32_t q_offsets_offset = 224, kv_offsets_offset = 232;
constexpr uint32_t kv_used_offsets[] = {248, 240};
constexpr uint32_t needed_bytes = 256;

class ForwardModel : public KernelModel {
  public:
    ForwardModel(Core* core, SharedState* state, DType dtype) : core_(core), state_(state), dtype_(dtype) {}

    Duration estimate(const KernelLaunch& launch) const override {
        const Arguments args(launch);
        int32_t heads = 0, kv_heads = 0, dim = 0, batch = 0, q_length = 0, kv_length = 0;
        LengthsLocation where;
        const void* kv_used[2] = {nullptr, nullptr};
        const bool readable =
            args.field(0, heads_offset, &heads) && args.field(0, kv_heads_offset, &kv_heads) &&
            args.field(0, head_dim_offset, &dim) && args.field(0, batch_offset, &batch) &&
            args.field(0, q_length_offset, &q_length) && args.field(0, kv_length_offset, &kv_length) &&
            args.field(0, q_offsets_offset, &where.q_offsets) &&
            args.field(0, kv_offsets_offset, &where.kv_offsets) &&
            args.field(0, kv_used_offsets[0], &kv_used[0]) && args.field(0, kv_used_offsets[1], &kv_used[1]);
        if (!readable || heads < 1 || heads > 4096 || kv_heads < 1 || kv_heads > heads || dim < 8 ||
            dim > 1024) {
            return core_->guess(Family::attention, threads_of(launch) * 64);
        }
        where.batch = batch;
        where.q_static = q_length;
        where.kv_static = kv_length;
        std::shared_ptr<Lengths> lengths;
        for (const void* const candidate : kv_used) {
            where.kv_used = candidate;
            if (candidate != nullptr) lengths = read_lengths(where);
            if (lengths != nullptr) break;
        }
        where.kv_used = nullptr;
        if (lengths == nullptr) lengths = read_lengths(where);
        if (lengths == nullptr) return core_->guess(Family::attention, threads_of(launch) * 64);
        AttentionFeatures shape;
        shape.q_heads = heads;
        shape.kv_heads = kv_heads;
        shape.head_dim = shape.v_head_dim = dim;
        shape.q_dtype = shape.kv_dtype = dtype_;
        Duration duration = core_->attention(shape, lengths->q, lengths->kv, lengths->hash);
        // The older kernel: about three quarters of what its successor reaches on the same GPU, hence less
        // sure.
        duration.confidence *= 0.8f;
        state_->lengths.publish(lengths);
        return duration;
    }

    bool depends_on_memory() const override { return true; }

    const std::vector<uint32_t>& expected_arg_bytes() const override {
        static const auto* const sizes = new std::vector<uint32_t>{needed_bytes};
        return *sizes;
    }

  private:
    Core* core_;
    SharedState* state_;
    DType dtype_;
};

class CombineModel : public KernelModel {
  public:
    Duration estimate(const KernelLaunch&) const override {
        return {1, Source::roofline, Family::attention, 0.7f};
    }
};

}  // namespace

std::unique_ptr<KernelModel> make_flash_attention_2(const KernelName& name, Core* core, SharedState* state) {
    if (name.has("flash_fwd_splitkv_combine_kernel")) return std::make_unique<CombineModel>();
    if (!name.has("flash_fwd_splitkv_kernel") && !name.has("flash_fwd_kernel")) return nullptr;
    const DType dtype = first_dtype(name.templates);
    return std::make_unique<ForwardModel>(core, state, dtype == DType::f16 ? DType::f16 : DType::bf16);
}

}  // namespace revati::cost::kernels
