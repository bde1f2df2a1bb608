// Where durations come from: providers that are asked in turn, best first. The roofline is the last one and
// always answers.
#pragma once

#include <cstdint>

#include "cost/features.h"

namespace revati::cost {

// One grouped GEMM of a mixture of experts: `rows` (token, expert) pairs, spread over `experts` weight
// matrices [n,k].
struct MoeFeatures {
    int64_t rows = 0, n = 0, k = 0;
    int64_t experts = 1;      // on this rank
    int64_t rows_padded = 0;  // rows after padding to the kernel's blocks; 0: not known
    DType activation = DType::bf16, weight = DType::bf16;
};

class DurationSource {
  public:
    virtual ~DurationSource() = default;
    // Each returns false if this source knows nothing about such work, or not in this range.
    virtual bool gemm(const GemmFeatures&, Duration*) const { return false; }
    virtual bool attention(const AttentionFeatures&, Duration*) const { return false; }
    virtual bool moe(const MoeFeatures&, Duration*) const { return false; }
    virtual bool copy(const CopyFeatures&, Duration*) const { return false; }
    virtual bool fill(uint64_t, Duration*) const { return false; }
    virtual bool collective(const CollectiveFeatures&, Duration*) const { return false; }
    virtual bool by_bytes(Family, uint64_t, Duration*) const { return false; }
};

}  // namespace revati::cost
