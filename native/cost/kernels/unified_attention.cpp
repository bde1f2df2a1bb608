// vLLM's Triton attention (`kernel_unified_attention`, in older releases `..._2d` and `..._3d`). Its heads
// are compile-time constants, but strides tell them. After the last floating-point scalar come: block table
// stride, query strides (2), output strides (2), bias stride, key cache strides (3), value cache strides (3),
// the cumulative query lengths, the number of sequences (no argument if it is 1).
#include "cost/kernels/arguments.h"
#include "cost/kernels/factories.h"

namespace revati::cost::kernels {
namespace {

constexpr uint32_t leading_pointers =
    6;  // output, query, keys, values, block table, lengths; one more with attention sinks

class UnifiedAttentionModel : public KernelModel {
  public:
    UnifiedAttentionModel(Core* core, SharedState* state) : core_(core), state_(state) {}

    Duration estimate(const KernelLaunch& launch) const override {
        AttentionFeatures shape;
        const std::shared_ptr<Lengths> lengths = read(Arguments(launch), &shape);
        if (lengths == nullptr) return core_->guess(Family::attention, threads_of(launch) * 64);
        state_->lengths.publish(lengths);
        Duration duration = core_->attention(shape, lengths->q, lengths->kv, lengths->hash);
        duration.confidence *= 0.7f;
        return duration;
    }

    bool depends_on_memory() const override { return true; }

  private:
    static std::shared_ptr<Lengths> read(const Arguments& args, AttentionFeatures* shape) {
        uint32_t pointers = 0;
        while (args.bytes(pointers) == 8) ++pointers;
        // The run of 8-byte strides that follows the scalars holds at least 13 arguments; its start is the
        // last one of the scalars + 1.
        uint32_t strides = 0;
        for (uint32_t i = pointers; i + 13 <= args.count(); ++i) {
            if (args.bytes(i) == 4) strides = i + 1;
        }
        if (pointers < leading_pointers || strides == 0) return nullptr;
        const int64_t dim = args.integer_or(strides + 2, 8, 1024, 0);
        const int64_t row = args.integer_or(strides + 1, 8, 1 << 20, 0),
                      kv_row = args.integer_or(strides + 7, 8, 1 << 20, 0);
        LengthsLocation where;
        if (dim == 0 || row < dim || kv_row < dim || !args.pointer(strides + 12, &where.q_offsets))
            return nullptr;
        shape->q_heads = static_cast<int>(row / dim);
        shape->kv_heads = static_cast<int>(kv_row / dim);
        shape->head_dim = shape->v_head_dim = static_cast<int>(dim);
        where.batch = args.bytes(strides + 13) == 4 ? args.integer_or(strides + 13, 1, 65536, 1) : 1;
        for (uint32_t at = leading_pointers - 1; at < pointers; ++at) {
            if (!args.pointer(at, &where.kv_used)) continue;
            const std::shared_ptr<Lengths> lengths = read_lengths(where);
            if (lengths != nullptr && consistent(*lengths)) return lengths;
        }
        return nullptr;
    }

    // A sequence sees at least its own new tokens; a block table read by mistake does not look like that.
    static bool consistent(const Lengths& lengths) {
        for (size_t i = 0; i < lengths.q.size(); ++i) {
            if (lengths.kv[i] < lengths.q[i]) return false;
        }
        return true;
    }

    Core* core_;
    SharedState* state_;
};

}  // namespace

std::unique_ptr<KernelModel> make_unified_attention(const KernelName& name, Core* core, SharedState* state) {
    if (name.plain.compare(0, 24, "kernel_unified_attention") != 0) return nullptr;
    return std::make_unique<UnifiedAttentionModel>(core, state);
}

}  // namespace revati::cost::kernels
