// vLLM's own kernels that work row by row (norms, activations, rotary embedding, cache writes, quantisation):
// bytes from their parameters.
//
// Parameters are found by their kind and order in the mangled signature rather than by fixed places, because
// releases insert some.
#include <algorithm>

#include "cost/kernels/arguments.h"
#include "cost/kernels/factories.h"

namespace revati::cost::kernels {
namespace {

constexpr int64_t max_extent = int64_t{1} << 32;

struct Row {
    const KernelLaunch& launch;
    const Arguments& args;
    const std::vector<uint32_t>& integers;  // indices of the parameters that are 4-byte integers
    int64_t element_bytes;
    const std::string& templates;

    // The i-th 4-byte integer of the signature, from the end if negative; 0 if it is not there.
    int64_t value(int i) const {
        const int index = i >= 0 ? i : static_cast<int>(integers.size()) + i;
        if (index < 0 || index >= static_cast<int>(integers.size())) return 0;
        return args.integer_or(integers[static_cast<size_t>(index)], 0, max_extent, 0);
    }
    int64_t blocks() const { return static_cast<int64_t>(blocks_of(launch)); }
};

using Bytes = int64_t (*)(const Row& row);  // 0: cannot tell

int64_t norm(const Row& row) {
    return 2 * row.value(-2) * row.value(-1) * row.element_bytes;
}
int64_t add_norm(const Row& row) {
    return 2 * norm(row);
}
int64_t quantising_norm(const Row& row) {
    return row.blocks() * row.value(-1) * (row.element_bytes + 1);
}
int64_t activation(const Row& row) {
    return 3 * row.launch.grid[0] * row.value(0) * row.element_bytes;
}
int64_t quantise(const Row& row) {
    return row.launch.grid[0] * row.value(0) * (row.element_bytes + 1);
}

int64_t rotary(const Row& row) {
    const int64_t rotated = row.value(0), heads = row.value(1) + row.value(2);
    return 2 * row.launch.grid[0] * heads * rotated * row.element_bytes;
}

// Reads keys and values, writes both into the cache.
int64_t cache_write(const Row& row) {
    return 4 * row.launch.grid[0] * row.value(0) * row.value(1) * row.element_bytes;
}

int64_t expert_sum(const Row& row) {
    const std::vector<std::string> parts = split_top_level(row.templates);
    const int64_t chosen =
        parts.size() > 1 ? std::clamp<int64_t>(std::strtol(parts[1].c_str(), nullptr, 10), 1, 64) : 8;
    return (chosen + 1) * row.launch.grid[0] * row.value(0) * row.element_bytes;
}

int64_t gating(const Row& row) {
    return row.value(0) * 256 * 4;
}

struct Entry {
    const char* base;  // the end of the qualified name
    Family family;
    Bytes bytes;
};

constexpr Entry entries[] = {
    {"vllm::rms_norm_kernel", Family::norm, norm},
    {"vllm::fused_add_rms_norm_kernel", Family::norm, add_norm},
    {"vllm::rms_norm_static_fp8_quant_kernel", Family::norm, quantising_norm},
    {"vllm::fused_add_rms_norm_static_fp8_quant_kernel", Family::norm, quantising_norm},
    {"vllm::rms_norm_dynamic_per_token_quant_kernel", Family::norm, quantising_norm},
    {"vllm::act_and_mul_kernel", Family::elementwise, activation},
    {"vllm::act_and_mul_kernel_with_param", Family::elementwise, activation},
    {"vllm::act_and_mul_quant_kernel", Family::elementwise, activation},
    {"vllm::rotary_embedding_kernel", Family::elementwise, rotary},
    {"vllm::reshape_and_cache_flash_kernel", Family::kv_cache, cache_write},
    {"vllm::reshape_and_cache_kernel", Family::kv_cache, cache_write},
    {"vllm::dynamic_per_token_scaled_fp8_quant_kernel_strided", Family::elementwise, quantise},
    {"vllm::scaled_fp8_quant_kernel_strided_dynamic", Family::elementwise, quantise},
    {"vllm::scaled_fp8_quant_kernel_strided_group_shape", Family::elementwise, quantise},
    {"vllm::moe::moe_sum_kernel", Family::moe, expert_sum},
    {"vllm::moe::topkGating", Family::moe, gating},
};

class RowModel : public KernelModel {
  public:
    RowModel(Core* core, const KernelName& name, const Entry& entry)
        : core_(core), entry_(entry), templates_(name.templates) {
        arg_bytes_ = name.param_bytes;
        for (uint32_t i = 0; i < name.param_kinds.size(); ++i) {
            if (name.param_kinds[i] == 'i' && name.param_bytes[i] == 4) integers_.push_back(i);
        }
        const DType dtype = first_dtype(name.templates);
        element_bytes_ = dtype == DType::f32 ? 4 : 2;
    }

    Duration estimate(const KernelLaunch& launch) const override {
        const Arguments args(launch);
        const Row row{launch, args, integers_, element_bytes_, templates_};
        const int64_t bytes = entry_.bytes(row);
        if (bytes <= 0) return core_->guess(entry_.family, threads_of(launch) * 16);
        return core_->by_bytes(entry_.family, static_cast<uint64_t>(bytes));
    }

    const std::vector<uint32_t>& expected_arg_bytes() const override { return arg_bytes_; }

  private:
    Core* core_;
    const Entry& entry_;
    std::string templates_;
    std::vector<uint32_t> arg_bytes_, integers_;
    int64_t element_bytes_;
};

}  // namespace

std::unique_ptr<KernelModel> make_rows(const KernelName& name, Core* core, SharedState*) {
    for (const Entry& entry : entries) {
        if (name.base == entry.base) return std::make_unique<RowModel>(core, name, entry);
    }
    return nullptr;
}

}  // namespace revati::cost::kernels
