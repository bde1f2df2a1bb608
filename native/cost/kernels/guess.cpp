// Kernels that nobody described: bytes by geometry, and the choice among all models.
#include <algorithm>
#include <cctype>

#include "cost/kernels/arguments.h"
#include "cost/kernels/factories.h"

namespace revati::cost::kernels {
namespace {

constexpr uint64_t bytes_of_a_thread = 16;  // one vector load or store

class GuessModel : public KernelModel {
  public:
    GuessModel(Core* core, Family family) : core_(core), family_(family) {}

    Duration estimate(const KernelLaunch& launch) const override {
        return core_->guess(family_, threads_of(launch) * bytes_of_a_thread);
    }

  private:
    Core* core_;
    Family family_;
};

constexpr Factory factories[] = {
    make_flash_attention,
    make_flash_attention_2,
    make_unified_attention,
    make_moe,
    make_marlin,
    make_cutlass_gemm,
    make_sampler,
    make_rows,
    make_collective,
    make_inductor,
    make_aten,
    make_guess,
};

}  // namespace

Family family_by_name(const KernelName& name) {
    std::string text = name.base.empty() ? name.plain : name.base;
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    struct Hint {
        const char* part;
        Family family;
    };
    static const Hint hints[] = {{"norm", Family::norm},
                                 {"topk", Family::sampler},
                                 {"sampl", Family::sampler},
                                 {"gumbel", Family::sampler},
                                 {"argmax", Family::sampler},
                                 {"logprob", Family::sampler},
                                 {"penalt", Family::sampler},
                                 {"moe", Family::moe},
                                 {"expert", Family::moe},
                                 {"marlin", Family::gemm},
                                 {"gemm", Family::gemm},
                                 {"matmul", Family::gemm},
                                 {"attn", Family::attention},
                                 {"attention", Family::attention},
                                 {"fmha", Family::attention},
                                 {"mla", Family::attention},
                                 {"cache", Family::kv_cache},
                                 {"embedding", Family::embedding},
                                 {"all_reduce", Family::collective},
                                 {"allreduce", Family::collective},
                                 {"copy", Family::copy},
                                 {"fill", Family::fill},
                                 {"reduce", Family::reduce},
                                 {"softmax", Family::reduce},
                                 {"scan", Family::reduce},
                                 {"elementwise", Family::elementwise}};
    for (const Hint& hint : hints) {
        if (text.find(hint.part) != std::string::npos) return hint.family;
    }
    return Family::other;
}

std::unique_ptr<KernelModel> make_guess(const KernelName& name, Core* core, SharedState*) {
    return std::make_unique<GuessModel>(core, family_by_name(name));
}

std::unique_ptr<KernelModel> make_model(const std::string& registered_name, Core* core, SharedState* state) {
    const KernelName name = parse_kernel_name(registered_name);
    for (const Factory factory : factories) {
        std::unique_ptr<KernelModel> model = factory(name, core, state);
        if (model != nullptr) return model;
    }
    return nullptr;
}

}  // namespace revati::cost::kernels
