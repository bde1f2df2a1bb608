// Marlin: products with weights of 4 or 8 bits (AWQ, GPTQ, MXFP4), dense and grouped by expert. Types are
// numbers in the template arguments: exponent, mantissa and sign bits in the low bytes (vLLM's ScalarType).
// Of the signature's 4-byte integers, the dense kernel's begin with groups, m, n, k, the grouped kernel's
// with top_k, groups, m, n, k.
#include <cstdlib>

#include "cost/kernels/arguments.h"
#include "cost/kernels/factories.h"

namespace revati::cost::kernels {
namespace {

constexpr int64_t limit = 1 << 26;

class MarlinModel : public KernelModel {
  public:
    MarlinModel(Core* core, SharedState* state, const KernelName& name, bool grouped)
        : core_(core), state_(state), grouped_(grouped), arg_bytes_(name.param_bytes) {
        for (uint32_t i = 0; i < name.param_kinds.size(); ++i) {
            if (name.param_kinds[i] == 'i' && name.param_bytes[i] == 4) integers_.push_back(i);
        }
        int64_t types[2] = {0, 0};
        int found = 0;
        for (const std::string& argument : split_top_level(name.templates)) {
            const int64_t value = std::strtoll(argument.c_str(), nullptr, 10);
            if (value > int64_t{1} << 32 && found < 2) types[found++] = value;
        }
        // Older releases name the activation's type in clear and give a number for the weight only.
        const int64_t weight = found == 2 ? types[1] : types[0];
        const int64_t bits = (weight & 0xff) + (weight >> 8 & 0xff) + (weight >> 16 & 1);
        weight_ = bits > 4 ? DType::i8 : DType::f4;
    }

    Duration estimate(const KernelLaunch& launch) const override {
        const Arguments args(launch);
        const size_t first = grouped_ ? 2 : 1;
        int64_t sizes[3] = {0, 0, 0};
        for (size_t i = 0; i < 3 && first + i < integers_.size(); ++i)
            sizes[i] = args.integer_or(integers_[first + i], 1, limit, 0);
        const bool known = sizes[0] > 0 && sizes[1] > 0 && sizes[2] > 0;
        const int64_t experts = grouped_ ? state_->routing.latest().experts : 1;
        if (!known || experts == 0)
            return core_->guess(grouped_ ? Family::moe : Family::gemm, threads_of(launch) * 128);
        if (!grouped_) {
            GemmFeatures f;
            f.m = sizes[0];
            f.n = sizes[1];
            f.k = sizes[2];
            f.b = weight_;
            return core_->gemm(f);
        }
        MoeFeatures f;
        f.rows = sizes[0] * args.integer_or(integers_[0], 1, 1024, 1);
        f.n = sizes[1];
        f.k = sizes[2];
        f.experts = experts;
        f.weight = weight_;
        return core_->moe(f);
    }

    const std::vector<uint32_t>& expected_arg_bytes() const override { return arg_bytes_; }

  private:
    Core* core_;
    SharedState* state_;
    bool grouped_;
    DType weight_;
    std::vector<uint32_t> arg_bytes_, integers_;
};

}  // namespace

std::unique_ptr<KernelModel> make_marlin(const KernelName& name, Core* core, SharedState* state) {
    if (name.base == "marlin::Marlin") return std::make_unique<MarlinModel>(core, state, name, false);
    if (name.base == "marlin_moe_wna16::Marlin")
        return std::make_unique<MarlinModel>(core, state, name, true);
    return nullptr;
}

}  // namespace revati::cost::kernels
