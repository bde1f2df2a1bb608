// Attention from the lengths of every sequence in the batch: prefill, decode and mixtures of both.
#include <algorithm>
#include <cmath>

#include "cost/roofline.h"

namespace revati::cost {
namespace {

constexpr double attention_flops_fraction = 0.62;  // of the dense peak, FlashAttention-3 forward, causal
constexpr double kv_fraction = 0.85;               // of the memory bandwidth while reading the KV cache
constexpr double attention_fixed_seconds = 3.2e-6;
constexpr double combine_seconds =
    1.6e-6;                     // a second pass when the keys of few sequences are split over the SMs
constexpr int tile_rows = 128;  // query rows (tokens x query heads of one KV head) of one block

int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

// Keys that a sequence's queries see on average, and the keys that must be read at all.
struct Span {
    double mean, read;
};

Span keys_seen(int64_t queries, int64_t keys, int64_t window) {
    const double q = static_cast<double>(queries), kv = static_cast<double>(std::max(keys, queries));
    if (window <= 0 || window >= keys) return {kv - (q - 1) / 2, kv};
    const double w = static_cast<double>(window);
    return {std::min(kv - (q - 1) / 2, w), std::min(kv, w + q)};
}

}  // namespace

bool Roofline::attention(const AttentionFeatures& f, Duration* out) const {
    const size_t batch = std::min(f.q_lengths.size(), f.kv_lengths.size());
    const double heads = std::max(f.q_heads, 1), kv_heads = std::max(f.kv_heads, 1);
    const double dim = std::max(f.head_dim, 1), v_dim = f.v_head_dim > 0 ? f.v_head_dim : dim;
    const double peak = flops_of(f.q_dtype, f.q_dtype) * attention_flops_fraction;
    const double bandwidth = gpu_.memory_bandwidth * kv_fraction;
    const int64_t group = std::max<int64_t>(1, f.q_heads / std::max(f.kv_heads, 1));
    double seconds = 0, longest = 0;
    int64_t blocks = 0;
    for (size_t i = 0; i < batch; ++i) {
        const int64_t queries = f.q_lengths[i], keys = f.kv_lengths[i];
        if (queries <= 0) continue;
        const Span span = keys_seen(queries, keys, f.window);
        const double q = static_cast<double>(queries);
        // Blocks work on whole tiles of rows: a decode step computes on padding.
        const int64_t tiles = ceil_div(queries * group, tile_rows);
        const double rows = std::max(q * static_cast<double>(group),
                                     static_cast<double>(std::min<int64_t>(tiles * 64, tiles * tile_rows)));
        const double compute = 2.0 * rows * kv_heads * span.mean * (dim + v_dim) / peak;
        const double kv_bytes = span.read * kv_heads * (dim + v_dim) * bits_of(f.kv_dtype) / 8;
        const double q_bytes = q * heads * (dim + v_dim) * bits_of(f.q_dtype) / 8;
        const double work = std::max(compute, (kv_bytes + q_bytes) / bandwidth);
        seconds += work;
        blocks += tiles * static_cast<int64_t>(kv_heads);
        // The last tile of a long prefill sees all keys, and one SM computes it.
        const double tile_work = 2.0 * tile_rows * span.read * (dim + v_dim) / (peak / gpu_.sm_count);
        if (queries * group >= tile_rows) longest = std::max(longest, tile_work);
    }
    // Fewer blocks than SMs: the keys are split, which costs a second pass and does not spread perfectly.
    const bool split = blocks > 0 && blocks < gpu_.sm_count;
    const double spread = split ? 1.15
                                : 1.0 + 0.25 * static_cast<double>(gpu_.sm_count) /
                                            (static_cast<double>(blocks) + gpu_.sm_count);
    const double per_sequence = 2.0e-9 * static_cast<double>(batch);
    double total =
        attention_fixed_seconds + per_sequence + std::max(seconds * spread, std::min(longest, 4 * seconds));
    if (split) total += combine_seconds;
    out->ns = std::max<int64_t>(1, static_cast<int64_t>(std::llround(total * 1e9)));
    out->source = Source::roofline;
    out->family = Family::attention;
    out->confidence = 0.70f;
    return true;
}

}  // namespace revati::cost
