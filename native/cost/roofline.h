// The source that always answers: what the GPU's ceilings allow, with the efficiencies that well-tuned
// kernels reach.
//
// docs/durations.md states every rule and where its constants come from.
#pragma once

#include "cost/model.h"
#include "cost/source.h"

namespace revati::cost {

class Roofline : public DurationSource {
  public:
    explicit Roofline(const Ceilings& ceilings) : gpu_(ceilings) {}

    bool gemm(const GemmFeatures& features, Duration* out) const override;
    bool attention(const AttentionFeatures& features, Duration* out) const override;
    bool moe(const MoeFeatures& features, Duration* out) const override;
    bool copy(const CopyFeatures& features, Duration* out) const override;
    bool fill(uint64_t bytes, Duration* out) const override;
    bool collective(const CollectiveFeatures& features, Duration* out) const override;
    bool by_bytes(Family family, uint64_t bytes, Duration* out) const override;

    // Dense peak for operands of this type; types without tensor cores run as the next wider one that has
    // them.
    double flops_of(DType a, DType b) const;

  private:
    double stream_seconds(double bytes) const;
    bool collective_across_nodes(const CollectiveFeatures& features, Duration* out) const;

    Ceilings gpu_;
};

}  // namespace revati::cost
