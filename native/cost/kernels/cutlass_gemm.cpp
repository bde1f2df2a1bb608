// CUTLASS 3 GEMMs that a framework launches itself (fp8): the parameter structure starts with the mode and
// the problem's shape (M, N, K, L).
#include "cost/kernels/arguments.h"
#include "cost/kernels/factories.h"

namespace revati::cost::kernels {
namespace {

struct Problem {
    int32_t mode, m, n, k, l;
};

class CutlassModel : public KernelModel {
  public:
    CutlassModel(Core* core, DType operand) : core_(core), operand_(operand) {}

    Duration estimate(const KernelLaunch& launch) const override {
        Problem problem;
        constexpr int32_t limit = 1 << 26;
        const bool plausible = Arguments(launch).field(0, 0, &problem) && problem.mode >= 0 &&
                               problem.mode < 8 && problem.m > 0 && problem.m < limit && problem.n > 0 &&
                               problem.n < limit && problem.k > 0 && problem.k < limit && problem.l > 0 &&
                               problem.l < 65536;
        if (!plausible) return core_->guess(Family::gemm, threads_of(launch) * 128);
        GemmFeatures features;
        features.m = problem.m;
        features.n = problem.n;
        features.k = problem.k;
        features.batch = problem.l;
        features.a = features.b = operand_;
        return core_->gemm(features);
    }

    const std::vector<uint32_t>& expected_arg_bytes() const override {
        static const auto* const sizes = new std::vector<uint32_t>{sizeof(Problem)};
        return *sizes;
    }

  private:
    Core* core_;
    DType operand_;
};

}  // namespace

std::unique_ptr<KernelModel> make_cutlass_gemm(const KernelName& name, Core* core, SharedState*) {
    const bool universal = name.has("GemmUniversal") && name.has("device_kernel");
    // Groups of problems keep an array of shapes in device memory instead.
    if (!universal || name.has("GroupProblemShape")) return nullptr;
    const DType operand = name.has("float_e4m3_t") ? DType::f8e4m3
                          : name.has("bfloat16_t") ? DType::bf16
                                                   : DType::f16;
    return std::make_unique<CutlassModel>(core, operand);
}

}  // namespace revati::cost::kernels
