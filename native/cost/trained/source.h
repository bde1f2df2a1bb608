// Model files as a source of durations.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "cost/source.h"
#include "cost/trained/evaluate.h"

namespace revati::cost::trained {

class TrainedSource : public DurationSource {
  public:
    // `engine`: "vllm", "sglang", or empty if not known; records timed with it come first.
    TrainedSource(std::vector<Record> records, const std::string& engine);

    bool gemm(const GemmFeatures& features, Duration* out) const override;
    bool attention(const AttentionFeatures& features, Duration* out) const override;
    bool moe(const MoeFeatures& features, Duration* out) const override;
    bool copy(const CopyFeatures& features, Duration* out) const override;
    bool collective(const CollectiveFeatures& features, Duration* out) const override;
    bool by_bytes(Family family, uint64_t bytes, Duration* out) const override;

  private:
    bool first_answer(Kind kind, const double* inputs, Answer* out, bool* measured) const;
    bool answer(Kind kind, const double* inputs, Family family, Duration* out) const;

    std::vector<Record> records_;
    std::array<std::vector<const Record*>, static_cast<size_t>(Kind::end_)>
        by_kind_;  // in the order in which they are asked
};

}  // namespace revati::cost::trained
