// The part of an attention model's inputs that depends on lengths; the same as predictors/attention.py, which
// explains it.
#pragma once

#include <cstdint>

#include "cost/features.h"

namespace revati::cost::trained {

constexpr int64_t decode_tokens = 8;
constexpr float mixed_confidence = 0.85f, prefix_confidence = 0.9f;
constexpr double prefix_share = 0.1;

struct AttentionSums {
    int64_t batch = 0, tokens = 0, pairs = 0, keys = 0, max_keys = 0, max_pairs = 0, max_tokens = 0;

    void add(int64_t queries, int64_t context, int64_t window);
};

// Sums over the decode and over the prefill sequences of a batch.
void split_attention(const AttentionFeatures& features, AttentionSums* decode, AttentionSums* prefill);

}  // namespace revati::cost::trained
