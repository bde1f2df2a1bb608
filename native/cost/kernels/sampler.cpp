// Kernels that pass over the logits. None of them tells how many there are in a place that releases keep, but
// they follow the product that made the logits, and its shape is known.
#include "cost/kernels/arguments.h"
#include "cost/kernels/factories.h"

namespace revati::cost::kernels {
namespace {

constexpr uint64_t logit_bytes = 4;  // samplers work in f32

struct Entry {
    const char* part;  // of the registered name
    int passes;        // over the logits, reading or writing
};

constexpr Entry entries[] = {
    {"_gumbel_sample_kernel", 1},
    {"ArgMaxOps", 1},
    {"TopKTopPSamplingFromProb", 3},
    {"TopPSamplingFromProb", 3},
    {"TopKSamplingFromProb", 3},
    {"SamplingFromProbKernel", 2},
    {"RadixTopK", 3},
    {"OnlineSoftmax", 2},
    {"SoftMaxForward", 2},
    {"_temperature_kernel", 2},
    {"_penalties_kernel", 2},
    {"_min_p_kernel", 2},
    {"apply_repetition_penalties", 2},
    {"_topk_log_softmax_kernel", 2},
};

class LogitsModel : public KernelModel {
  public:
    LogitsModel(Core* core, int passes) : core_(core), passes_(passes) {}

    Duration estimate(const KernelLaunch& launch) const override {
        const uint64_t logits = core_->elements_of_last_product();
        const uint64_t least = threads_of(launch) * 16;
        if (logits == 0) return core_->guess(Family::sampler, least);
        Duration duration =
            core_->by_bytes(Family::sampler, logits * logit_bytes * static_cast<uint64_t>(passes_));
        duration.confidence *= 0.7f;
        return duration;
    }

    // Not of memory, but of the product before.
    bool depends_on_memory() const override { return true; }

  private:
    Core* core_;
    int passes_;
};

}  // namespace

std::unique_ptr<KernelModel> make_sampler(const KernelName& name, Core* core, SharedState*) {
    for (const Entry& entry : entries) {
        if (name.has(entry.part)) return std::make_unique<LogitsModel>(core, entry.passes);
    }
    return nullptr;
}

}  // namespace revati::cost::kernels
