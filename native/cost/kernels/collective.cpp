// vLLM's custom all-reduce: `cross_device_reduce_{1,2}stage<T, ranks>(RankData*, RankSignals, Signal*, T*
// result, int rank, int size)`; the size counts packs of 16 bytes.
#include <cstdlib>

#include "cost/kernels/arguments.h"
#include "cost/kernels/factories.h"

namespace revati::cost::kernels {
namespace {

constexpr int64_t pack_bytes = 16;

class AllReduceModel : public KernelModel {
  public:
    AllReduceModel(Core* core, const KernelName& name, int ranks)
        : core_(core), ranks_(ranks), arg_bytes_(name.param_bytes) {}

    Duration estimate(const KernelLaunch& launch) const override {
        const Arguments args(launch);
        const int64_t packs = args.count() == 6 ? args.integer_or(5, 1, int64_t{1} << 32, 0) : 0;
        if (packs == 0) return core_->guess(Family::collective, threads_of(launch) * pack_bytes);
        CollectiveFeatures features;
        features.kind = CollectiveKind::all_reduce;
        features.ranks = ranks_;
        features.bytes = static_cast<uint64_t>(packs * pack_bytes);
        features.custom = true;
        return core_->collective(features);
    }

    const std::vector<uint32_t>& expected_arg_bytes() const override { return arg_bytes_; }

  private:
    Core* core_;
    int ranks_;
    std::vector<uint32_t> arg_bytes_;
};

}  // namespace

std::unique_ptr<KernelModel> make_collective(const KernelName& name, Core* core, SharedState*) {
    if (name.base != "vllm::cross_device_reduce_1stage" && name.base != "vllm::cross_device_reduce_2stage")
        return nullptr;
    const std::vector<std::string> parts = split_top_level(name.templates);
    const int ranks = parts.size() > 1 ? static_cast<int>(std::strtol(parts[1].c_str(), nullptr, 10)) : 0;
    if (ranks < 2 || ranks > 16) return nullptr;
    return std::make_unique<AllReduceModel>(core, name, ranks);
}

}  // namespace revati::cost::kernels
