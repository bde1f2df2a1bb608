#include "cost/trained/attention_sums.h"

#include <algorithm>

namespace revati::cost::trained {

void AttentionSums::add(int64_t queries, int64_t context, int64_t window) {
    const int64_t first = context - queries + 1;  // keys that the first query sees
    int64_t seen = queries * (first + context) / 2, read = context;
    if (window > 0 && context > window) {
        const int64_t rising =
            std::max<int64_t>(0, window - first);  // queries that see less than a whole window
        seen = rising * (first + first + rising - 1) / 2 + (queries - rising) * window;
        read = std::min(context, queries + window - 1);
    }
    batch += 1;
    tokens += queries;
    pairs += seen;
    keys += read;
    max_keys = std::max(max_keys, read);
    max_pairs = std::max(max_pairs, seen);
    max_tokens = std::max(max_tokens, queries);
}

void split_attention(const AttentionFeatures& f, AttentionSums* decode, AttentionSums* prefill) {
    const size_t batch = std::min(f.q_lengths.size(), f.kv_lengths.size());
    for (size_t i = 0; i < batch; ++i) {
        const int64_t queries = f.q_lengths[i];
        if (queries <= 0) continue;
        const int64_t context = std::max<int64_t>(f.kv_lengths[i], queries);
        (queries <= decode_tokens && context > queries ? decode : prefill)->add(queries, context, f.window);
    }
}

}  // namespace revati::cost::trained
