// FlashAttention 3: the forward kernel, its scheduler kernel that tells the lengths, its second pass.
//
// Template arguments as in the public sources (hopper/mainloop_fwd_sm90_tma_gmma_ws.hpp): stages, cluster
// shape, tile shape (M, N, head dimension), head dimension of V, element type, accumulator, architecture,
// causal, local, softcap, variable lengths, pages without TMA, appended keys, second query part, ...
#include <climits>

#include "cost/kernels/arguments.h"
#include "cost/kernels/factories.h"

namespace revati::cost::kernels {
namespace {

// Parameters of flash::prepare_varlen_num_blocks_kernel.
enum PrepareArg : uint32_t {
    q_static = 0,
    kv_static = 1,
    q_offsets = 3,
    kv_offsets = 4,
    q_used = 6,
    kv_used = 7,
    batch = 9,
    kv_heads = 10,
    group = 11,
    sms = 12,
    split_limit = 13
};

class PrepareModel : public KernelModel {
  public:
    PrepareModel(Core* core, SharedState* state) : core_(core), state_(state) {}

    Duration estimate(const KernelLaunch& launch) const override {
        read(launch);
        return core_->by_bytes(Family::attention, threads_of(launch) * 8);
    }

    bool depends_on_memory() const override { return true; }

    const std::vector<uint32_t>& expected_arg_bytes() const override {
        static const auto* const sizes = new std::vector<uint32_t>{4, 4, 4, 8, 8, 8, 8, 8, 8, 4, 4, 4, 4, 4};
        return *sizes;
    }

  private:
    void read(const KernelLaunch& launch) const {
        const Arguments args(launch);
        LengthsLocation where;
        if (!args.integer(PrepareArg::batch, &where.batch) ||
            !args.integer(PrepareArg::q_static, &where.q_static) ||
            !args.integer(PrepareArg::kv_static, &where.kv_static) ||
            !args.pointer(PrepareArg::q_offsets, &where.q_offsets) ||
            !args.pointer(PrepareArg::kv_offsets, &where.kv_offsets) ||
            !args.pointer(PrepareArg::kv_used, &where.kv_used)) {
            return;
        }
        const std::shared_ptr<Lengths> lengths = read_lengths(where);
        if (lengths == nullptr) return;
        lengths->kv_heads = static_cast<int>(args.integer_or(PrepareArg::kv_heads, 1, 4096, 0));
        lengths->group = static_cast<int>(args.integer_or(PrepareArg::group, 1, 4096, 0));
        if (lengths->kv_heads == 0 || lengths->group == 0) return;
        state_->lengths.publish(lengths);
    }

    Core* core_;
    SharedState* state_;
};

// The forward kernel takes one structure by value, of 2560 to 2944 bytes in vLLM 0.24.0's wheel depending on
// the template arguments: what stands in front of the length pointers grows in steps of 128. Offsets below
// are those of the common size, 2688.
constexpr uint32_t forward_bytes_needed = 2208;
constexpr uint32_t q_offsets_place = 1904, kv_used_place = 1936;
constexpr int shifts[] = {0, -128, 128, 256};
constexpr int no_shift = INT_MAX;

// The members before the pointers, by the public sources: softcap, window left and right, (a divisor of
// attention chunks in three words,) number of splits. Releases with and without chunks differ in the place.
struct WindowPlace {
    uint32_t left, right, splits;
};
constexpr WindowPlace window_places[] = {{1884, 1888, 1892}, {1868, 1872, 1888}};

// Keys that a query sees, itself included; 0 if no place holds a causal window.
int window_of(const Arguments& args, int shift) {
    const auto at = [shift](uint32_t place) {
        return static_cast<uint32_t>(static_cast<int>(place) + shift);
    };
    for (const WindowPlace& place : window_places) {
        int32_t left = -1, right = -1, splits = 0;
        const bool read = args.field(0, at(place.left), &left) && args.field(0, at(place.right), &right) &&
                          args.field(0, at(place.splits), &splits);
        if (read && left > 0 && left < 1 << 24 && right == 0 && splits >= 0 && splits <= 256) return left + 1;
    }
    return 0;
}

class ForwardModel : public KernelModel {
  public:
    ForwardModel(Core* core, SharedState* state, const AttentionFeatures& shape, bool local, bool hopper)
        : core_(core), state_(state), shape_(shape), local_(local), hopper_(hopper) {}

    Duration estimate(const KernelLaunch& launch) const override {
        const Arguments args(launch);
        int shift = no_shift;
        const std::shared_ptr<const Lengths> lengths = find_lengths(args, &shift);
        if (lengths == nullptr) return core_->guess(Family::attention, threads_of(launch) * 64);
        AttentionFeatures shape = shape_;
        shape.kv_heads = lengths->kv_heads;
        shape.q_heads = lengths->kv_heads * lengths->group;
        if (local_ && shift != no_shift) shape.window = window_of(args, shift);
        Duration duration = core_->attention(shape, lengths->q, lengths->kv, lengths->hash);
        // A window of unknown size is priced as full attention.
        if (local_ && shape.window == 0) duration.confidence *= 0.5f;
        return duration;
    }

    const std::vector<uint32_t>& expected_arg_bytes() const override {
        // Only Hopper's structure is known to be that long; reading past the end of another would be reading
        // the caller's stack.
        static const auto* const sizes = new std::vector<uint32_t>{forward_bytes_needed};
        return hopper_ ? *sizes : KernelModel::expected_arg_bytes();
    }

    bool depends_on_memory() const override { return true; }

  private:
    // The batch whose addresses stand in the parameters, which also tells the layout; else the latest one.
    std::shared_ptr<const Lengths> find_lengths(const Arguments& args, int* shift) const {
        for (const int candidate : shifts) {
            const void *q = nullptr, *kv = nullptr;
            const bool read =
                args.field(0, static_cast<uint32_t>(static_cast<int>(q_offsets_place) + candidate), &q) &&
                args.field(0, static_cast<uint32_t>(static_cast<int>(kv_used_place) + candidate), &kv);
            if (!read || kv == nullptr) continue;
            std::shared_ptr<const Lengths> found = state_->lengths.find(q, kv);
            if (found == nullptr) continue;
            *shift = candidate;
            return found;
        }
        return state_->lengths.latest();
    }

    Core* core_;
    SharedState* state_;
    AttentionFeatures shape_;
    bool local_, hopper_;
};

// Its time is part of the forward pass's: operator tables measure both together.
class CombineModel : public KernelModel {
  public:
    Duration estimate(const KernelLaunch&) const override {
        return {1, Source::roofline, Family::attention, 0.7f};
    }
};

int number_at(const std::vector<std::string>& parts, size_t index) {
    return index < parts.size() ? static_cast<int>(std::strtol(parts[index].c_str(), nullptr, 10)) : 0;
}

// "cute::tuple<cute::C<128>, cute::C<176>, cute::C<64> >" -> 64
int last_constant(const std::string& tuple) {
    const size_t at = tuple.rfind("C<");
    return at == std::string::npos ? 0 : static_cast<int>(std::strtol(tuple.c_str() + at + 2, nullptr, 10));
}

bool parse_forward(const std::string& templates, AttentionFeatures* shape, bool* local) {
    const size_t at = templates.find("CollectiveMainloopFwd");
    const size_t open = at == std::string::npos ? at : templates.find('<', at);
    if (open == std::string::npos) return false;
    const std::vector<std::string> parts = split_top_level(templates.substr(open + 1));
    if (parts.size() < 9) return false;
    shape->head_dim = last_constant(parts[2]);
    shape->v_head_dim = number_at(parts, 3);
    shape->q_dtype = shape->kv_dtype = first_dtype(parts[4]);
    *local = parts[8] == "true";
    // Latent attention: the tile's head dimension is the rotary part alone, the rest of a key is its value.
    const bool has_second_query = parts.size() > 13 && parts[13] == "true";
    if (has_second_query) shape->head_dim += shape->v_head_dim;
    return shape->head_dim > 0 && shape->v_head_dim > 0;
}

}  // namespace

std::unique_ptr<KernelModel> make_flash_attention(const KernelName& name, Core* core, SharedState* state) {
    if (name.has("prepare_varlen_num_blocks_kernel")) return std::make_unique<PrepareModel>(core, state);
    if (name.has("FlashAttnFwdCombine")) return std::make_unique<CombineModel>();
    if (!name.has("FlashAttnFwdSm90") && !name.has("FlashAttnFwdSm80")) return nullptr;
    AttentionFeatures shape;
    bool local = false;
    if (!parse_forward(name.templates, &shape, &local)) return nullptr;
    return std::make_unique<ForwardModel>(core, state, shape, local, name.has("FlashAttnFwdSm90"));
}

}  // namespace revati::cost::kernels
