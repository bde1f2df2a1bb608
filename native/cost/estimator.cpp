#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>

#include "cost/core.h"
#include "cost/kernels/factories.h"
#include "cost/model.h"
#include "cost/trained/source.h"

namespace revati::cost {

const std::vector<uint32_t>& KernelModel::expected_arg_bytes() const {
    static const auto* const none = new std::vector<uint32_t>;
    return *none;
}

struct Estimator::Impl {
    explicit Impl(const Ceilings& ceilings) : core(ceilings) {}

    Core core;
    kernels::SharedState state;
    std::shared_mutex mutex;
    std::unordered_map<std::string, std::unique_ptr<KernelModel>> models;
};

Estimator::Estimator(const Ceilings& ceilings) : impl_(std::make_unique<Impl>(ceilings)) {}
Estimator::~Estimator() = default;

bool Estimator::load(const std::string& path, const std::string& engine, std::string* error) {
    std::vector<trained::Record> records;
    if (!trained::load(path, &records, error)) return false;
    impl_->core.prepend(std::make_unique<trained::TrainedSource>(std::move(records), engine));
    return true;
}

const KernelModel* Estimator::model_for(const char* kernel_name) {
    const std::string name = kernel_name == nullptr ? "" : kernel_name;
    {
        const std::shared_lock<std::shared_mutex> lock(impl_->mutex);
        const auto found = impl_->models.find(name);
        if (found != impl_->models.end()) return found->second.get();
    }
    const std::lock_guard<std::shared_mutex> lock(impl_->mutex);
    std::unique_ptr<KernelModel>& model = impl_->models[name];
    if (model == nullptr) model = kernels::make_model(name, &impl_->core, &impl_->state);
    return model.get();
}

Duration Estimator::gemm(const GemmFeatures& features) {
    return impl_->core.gemm(features);
}
Duration Estimator::attention(const AttentionFeatures& features) {
    return impl_->core.attention(features);
}
Duration Estimator::copy(const CopyFeatures& features) {
    return impl_->core.copy(features);
}
Duration Estimator::fill(uint64_t bytes) {
    return impl_->core.fill(bytes);
}
Duration Estimator::collective(const CollectiveFeatures& features) {
    return impl_->core.collective(features);
}
Duration Estimator::by_bytes(Family family, uint64_t bytes) {
    return impl_->core.by_bytes(family, bytes);
}

}  // namespace revati::cost
