// Attention from the lengths of every sequence in the batch: prefill, decode and mixtures of both.
#include <algorithm>
#include <cmath>

#include "cost/roofline.h"

namespace revati::cost {
namespace {

// A block of the kernel works on one tile of query rows (tokens x query heads of one KV head) and walks over
// its keys.
constexpr int tile_rows = 128, small_tile_rows = 64, key_block = 128;
constexpr double attention_flops_fraction = 0.71;  // of the dense peak, inside of a long tile
constexpr double kv_fraction = 0.93;               // of the memory bandwidth, when there are blocks enough
constexpr double split_kv_fraction = 0.80;         // the keys of few sequences, split over the SMs
constexpr double attention_fixed_seconds = 3.0e-6;
constexpr double largest_ordinary_head = 256;
constexpr double tile_seconds = 3.3e-6;  // fetching its work, prologue, epilogue

int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

// Keys that a tile of queries walks over on average, in whole blocks, and the keys that must be read at all.
struct Span {
    double walked, read;
};

Span keys_seen(int64_t queries, int64_t keys, int64_t window) {
    const double q = static_cast<double>(queries), kv = static_cast<double>(std::max(keys, queries));
    double mean = kv - (q - 1) / 2, read = kv;
    if (window > 0 && window < keys) {
        mean = std::min(mean, static_cast<double>(window));
        read = std::min(read, static_cast<double>(window) + q);
    }
    // The diagonal cuts through a block that is computed whole.
    return {mean + std::min(q, static_cast<double>(key_block)) / 2, read};
}

struct Work {
    double seconds = 0;  // of the whole GPU, spread evenly
    double longest_tile = 0;
};

}  // namespace

bool Roofline::attention(const AttentionFeatures& f, Duration* out) const {
    const size_t batch = std::min(f.q_lengths.size(), f.kv_lengths.size());
    const double heads = std::max(f.q_heads, 1), kv_heads = std::max(f.kv_heads, 1);
    const double dim = std::max(f.head_dim, 1), v_dim = f.v_head_dim > 0 ? f.v_head_dim : dim;
    // Latent attention's values are the first part of its keys.
    const double cached = dim > largest_ordinary_head && v_dim < dim ? dim : dim + v_dim;
    const double sms = std::max(gpu_.sm_count, 1);
    const double sm_flops = flops_of(f.q_dtype, f.q_dtype) * attention_flops_fraction / sms;
    const int64_t group = std::max<int64_t>(1, f.q_heads / std::max(f.kv_heads, 1));
    double tiles_of_all = 0;
    for (size_t i = 0; i < batch; ++i) {
        tiles_of_all +=
            static_cast<double>(ceil_div(std::max<int64_t>(f.q_lengths[i], 0) * group, tile_rows)) * kv_heads;
    }
    const double bandwidth =
        gpu_.memory_bandwidth * (tiles_of_all < 2 * sms ? split_kv_fraction : kv_fraction);
    Work work;
    for (size_t i = 0; i < batch; ++i) {
        const int64_t queries = f.q_lengths[i];
        if (queries <= 0) continue;
        const Span span = keys_seen(queries, f.kv_lengths[i], f.window);
        const int64_t row_tiles = ceil_div(queries * group, tile_rows);
        const double tiles = static_cast<double>(row_tiles) * kv_heads;
        const double rows = queries * group <= small_tile_rows ? small_tile_rows : tile_rows;
        const double tile = 2 * rows * span.walked * (dim + v_dim) / sm_flops;
        const double compute = tiles * tile / sms;
        const double read = span.read * kv_heads * cached * bits_of(f.kv_dtype) / 8 / bandwidth;
        const double rows_in_and_out =
            static_cast<double>(queries) * heads * (dim + v_dim) * bits_of(DType::bf16) / 8;
        work.seconds += std::max(compute, read) + rows_in_and_out / bandwidth;
        // Splitting the keys shortens the tiles of a decode step, but not the tiles of a prefill, of which
        // there are enough.
        if (row_tiles > 1)
            work.longest_tile = std::max(work.longest_tile, 2 * rows * span.read * (dim + v_dim) / sm_flops);
    }
    const double waves = tiles_of_all <= 4 * sms ? std::ceil(tiles_of_all / sms) : tiles_of_all / sms + 0.5;
    const double unevenness = tiles_of_all > sms ? 0.5 * work.seconds * sms / tiles_of_all : 0.0;
    const double total = attention_fixed_seconds + waves * tile_seconds +
                         std::max(work.seconds + unevenness, work.longest_tile);
    out->ns = std::max<int64_t>(1, static_cast<int64_t>(std::llround(total * 1e9)));
    out->source = Source::roofline;
    out->family = Family::attention;
    out->confidence = 0.75f;
    return true;
}

}  // namespace revati::cost
