// What kernel models share with the estimator: the chain of sources behind one memo.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "cost/memo.h"
#include "cost/model.h"
#include "cost/source.h"

namespace revati::cost {

class Core {
  public:
    explicit Core(const Ceilings& ceilings);

    // Asks this source before all others. Not while other threads ask.
    void prepend(std::unique_ptr<DurationSource> source);

    Duration gemm(const GemmFeatures& features);
    Duration attention(const AttentionFeatures& features);
    // The same with the lengths, and a hash of them, apart: a step asks once for each layer. `shape` has
    // empty length vectors.
    Duration attention(const AttentionFeatures& shape, const std::vector<int32_t>& q_lengths,
                       const std::vector<int32_t>& kv_lengths, uint64_t lengths_hash);
    Duration moe(const MoeFeatures& features);
    Duration copy(const CopyFeatures& features);
    Duration fill(uint64_t bytes);
    Duration collective(const CollectiveFeatures& features);
    Duration by_bytes(Family family, uint64_t bytes);

    // The same, marked as a guess: nothing is known about the kernel but its geometry.
    Duration guess(Family family, uint64_t bytes);

    // m x n of the latest product asked for; 0 before the first.
    uint64_t elements_of_last_product() const { return last_product_.load(std::memory_order_relaxed); }

    const Ceilings& ceilings() const { return ceilings_; }

  private:
    template <typename Ask>
    Duration ask(const MemoKey& key, Ask&& question);

    Ceilings ceilings_;
    std::vector<std::unique_ptr<DurationSource>> sources_;  // best first; the last one always answers
    std::unique_ptr<Memo> memo_;
    std::atomic<uint64_t> last_product_{0};
};

uint64_t hash_lengths(const std::vector<int32_t>& q_lengths, const std::vector<int32_t>& kv_lengths);

}  // namespace revati::cost
