#include "cost/roofline.h"

#include <algorithm>
#include <cmath>

namespace revati::cost {
namespace {

// Fractions of the data sheet's figures that good kernels reach, and the fixed part of a kernel (scheduling
// of its blocks, prologue, epilogue). From the shape of public operator tables as a whole, not from single
// rows; see docs/durations.md.
constexpr double gemm_flops_fraction = 0.87;
constexpr double stream_fraction = 0.90;       // reading weights once
constexpr double elementwise_fraction = 0.82;  // reading and writing
constexpr double cache_speedup = 1.8;          // bandwidth of the L2 cache over that of memory
constexpr double gemm_fixed_seconds = 1.2e-6;
constexpr double elementwise_fixed_seconds = 1.3e-6;
constexpr double reduction_fixed_seconds = 2.0e-6;
constexpr double sampler_fixed_seconds = 4.0e-6;
constexpr double moe_fixed_seconds = 4.0e-6;
constexpr double moe_flops_fraction = 0.52;
constexpr double longest_seconds = 1e6;  // so that absurd sizes stay representable

int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

struct Tile {
    int rows, columns;
    double efficiency;  // of the tensor cores while the tile is computed
};

// Output tiles that GEMM libraries choose from. The smaller side is the one that holds tokens when there are
// few of them.
constexpr Tile tiles[] = {
    {256, 128, 1.0}, {128, 256, 1.0}, {128, 128, 0.95}, {192, 128, 0.97}, {128, 192, 0.97},
    {128, 64, 0.80}, {64, 128, 0.80}, {64, 256, 0.85},  {256, 64, 0.85},  {64, 64, 0.62},
    {64, 32, 0.40},  {32, 64, 0.40},  {64, 16, 0.22},   {16, 64, 0.22},
};

// Long products run into the power limit, and the clock falls.
double throttled(double seconds) {
    return seconds * (1 + 0.13 * seconds / (seconds + 0.4e-3));
}

// Split along k, a block still works on this many at least.
constexpr int64_t shortest_split = 512;
// How much faster one SM can load than its fair share of the memory bandwidth, while others wait or hit the
// cache.
constexpr double burst = 3.0;

// Time in which the tiles of a GEMM are done by the GPU's SMs, wave after wave.
double tiles_seconds(const Tile& tile, const GemmFeatures& f, int split, double sm_flops, double sm_bandwidth,
                     int sms) {
    const int64_t blocks = ceil_div(f.m, tile.rows) * ceil_div(f.n, tile.columns) * f.batch * split;
    const double k = static_cast<double>(split == 1 ? f.k : std::max(shortest_split, ceil_div(f.k, split)));
    const double compute = 2.0 * tile.rows * tile.columns * k / (sm_flops * tile.efficiency);
    const double load =
        k * (tile.rows * bits_of(f.a) + tile.columns * bits_of(f.b)) / 8 / (burst * sm_bandwidth);
    // Libraries soften the last wave by splitting its tiles: it counts half of what is missing.
    const double exact = std::max(1.0, static_cast<double>(blocks) / sms);
    const double waves = 0.5 * (exact + static_cast<double>(ceil_div(blocks, sms)));
    return throttled(waves * std::max(compute, load));
}

void set(Duration* out, double seconds, Family family, float confidence) {
    out->ns =
        std::max<int64_t>(1, static_cast<int64_t>(std::llround(std::min(seconds, longest_seconds) * 1e9)));
    out->source = Source::roofline;
    out->family = family;
    out->confidence = confidence;
}

}  // namespace

double Roofline::flops_of(DType a, DType b) const {
    const int bits = std::max(bits_of(a), bits_of(b));
    const bool integers = (a == DType::i8 || a == DType::u8) && (b == DType::i8 || b == DType::u8);
    if (integers && gpu_.int8_flops > 0) return gpu_.int8_flops;
    if (a == DType::f64 || b == DType::f64) return gpu_.fp64_flops;
    if (a == DType::tf32 || b == DType::tf32) return gpu_.tf32_flops;
    if (bits >= 32) return gpu_.fp32_flops;
    if (bits <= 4 && gpu_.fp4_flops > 0) return gpu_.fp4_flops;
    if (bits <= 8 && gpu_.fp8_flops > 0) return gpu_.fp8_flops;
    return gpu_.bf16_flops;
}

double Roofline::stream_seconds(double bytes) const {
    const double bandwidth = gpu_.memory_bandwidth * elementwise_fraction;
    // What fits in the cache was usually written by the kernel before. The transition is smooth so that more
    // bytes never take less time.
    const double cached = std::min(bytes, 0.25 * static_cast<double>(gpu_.l2_bytes));
    return cached / (bandwidth * cache_speedup) + (bytes - cached) / bandwidth;
}

bool Roofline::gemm(const GemmFeatures& features, Duration* out) const {
    GemmFeatures f = features;
    f.m = std::max<int64_t>(f.m, 1);
    f.n = std::max<int64_t>(f.n, 1);
    f.k = std::max<int64_t>(f.k, 1);
    f.batch = std::max<int64_t>(f.batch, 1);
    const double peak = flops_of(f.a, f.b) * (f.block_scaled ? 0.85 : 1.0);
    const double m = static_cast<double>(f.m), n = static_cast<double>(f.n), k = static_cast<double>(f.k);
    const double bytes = static_cast<double>(f.batch) *
                         (m * k * bits_of(f.a) + n * k * bits_of(f.b) + m * n * bits_of(f.d)) / 8;
    const double memory = bytes / (gpu_.memory_bandwidth * stream_fraction);
    const double sm_flops = peak / gpu_.sm_count * gemm_flops_fraction,
                 sm_bandwidth = gpu_.memory_bandwidth / gpu_.sm_count;
    double best = 1e30;
    for (const Tile& tile : tiles) {
        for (const int split : {1, 2, 4, 8}) {
            const double busy = tiles_seconds(tile, f, split, sm_flops, sm_bandwidth, gpu_.sm_count);
            const double reduction =
                split > 1 ? 1.0e-6 + split * m * n * 4 / (gpu_.memory_bandwidth * cache_speedup) : 0;
            best = std::min(best, std::max(busy, memory) + reduction);
        }
    }
    set(out, gemm_fixed_seconds + best, Family::gemm, 0.80f);
    return true;
}

bool Roofline::moe(const MoeFeatures& f, Duration* out) const {
    const double rows = static_cast<double>(std::max<int64_t>(f.rows, 1));
    const double experts = static_cast<double>(std::max<int64_t>(f.experts, 1));
    // Experts that get at least one row when the router spreads rows evenly.
    const double touched = experts * (1.0 - std::pow(1.0 - 1.0 / experts, rows));
    const double n = static_cast<double>(f.n), k = static_cast<double>(f.k);
    const double weights = touched * n * k * bits_of(f.weight) / 8;
    const double activations = rows * (n + k) * bits_of(f.activation) / 8;
    // Each touched expert computes whole blocks of rows, of 16 at least.
    const double padded = std::max(rows, touched * 16.0);
    const double compute = 2.0 * padded * n * k / (flops_of(f.activation, f.weight) * moe_flops_fraction);
    const double memory =
        weights / (gpu_.memory_bandwidth * stream_fraction * 0.85) + stream_seconds(activations);
    set(out, moe_fixed_seconds + std::max(compute, memory), Family::moe, 0.65f);
    return true;
}

bool Roofline::copy(const CopyFeatures& f, Duration* out) const {
    const double bytes = static_cast<double>(f.bytes);
    const double fixed = static_cast<double>(gpu_.copy_latency_ns) * 1e-9;
    double seconds = 0;
    switch (f.kind) {
        case CopyKind::device_to_device:
            seconds = 0.8 * fixed + 2 * bytes / (gpu_.memory_bandwidth * elementwise_fraction);
            break;
        case CopyKind::peer: {
            const double link =
                gpu_.nvlink_bandwidth > 0 ? gpu_.nvlink_bandwidth * 0.8 : gpu_.pcie_bandwidth * 0.9;
            seconds = 1.5 * fixed + bytes / link;
            break;
        }
        case CopyKind::host_to_host:
            seconds = fixed + bytes / 10e9;  // one core copying
            break;
        default:
            // Pageable memory goes through a staging buffer that the CPU fills.
            seconds = f.pinned ? fixed + bytes / gpu_.pcie_bandwidth
                               : 3 * fixed + bytes / std::min(10e9, gpu_.pcie_bandwidth * 0.5);
    }
    set(out, seconds, Family::copy, 0.80f);
    return true;
}

bool Roofline::fill(uint64_t bytes, Duration* out) const {
    const double seconds = elementwise_fixed_seconds +
                           static_cast<double>(bytes) / (gpu_.memory_bandwidth * elementwise_fraction);
    set(out, seconds, Family::fill, 0.80f);
    return true;
}

bool Roofline::by_bytes(Family family, uint64_t bytes, Duration* out) const {
    double fixed = elementwise_fixed_seconds;
    if (family == Family::norm || family == Family::reduce) fixed = reduction_fixed_seconds;
    if (family == Family::sampler) fixed = sampler_fixed_seconds;
    set(out, fixed + stream_seconds(static_cast<double>(bytes)), family, 0.70f);
    return true;
}

bool Roofline::collective(const CollectiveFeatures& f, Duration* out) const {
    if (f.nodes > 1 && gpu_.network_bandwidth > 0) return collective_across_nodes(f, out);
    const int ranks = std::max(f.ranks, 1);
    const bool nvlink = gpu_.nvlink_bandwidth > 0;
    const double link = nvlink ? gpu_.nvlink_bandwidth : gpu_.pcie_bandwidth;
    const double bytes = static_cast<double>(f.bytes);
    if (ranks == 1) {
        set(out, elementwise_fixed_seconds + stream_seconds(2 * bytes), Family::collective, 0.7f);
        return true;
    }
    const double others = static_cast<double>(ranks - 1);
    double hops = 1, traffic = bytes;  // traffic: bytes that cross one GPU's link, one way
    switch (f.kind) {
        case CollectiveKind::all_reduce:
            hops = 2;
            traffic = 2 * bytes * others / ranks;
            break;
        case CollectiveKind::all_gather:
            traffic = bytes * others;
            break;
        case CollectiveKind::reduce_scatter:
        case CollectiveKind::all_to_all:
            traffic = bytes * others / ranks;
            break;
        default:
            break;
    }
    if (f.custom) {
        // One shot: every rank reads all the others. It wins while the payload is small.
        const double one_shot = 3.4e-6 + 0.1e-6 * others + bytes * others / (link * 0.45);
        const double two_shot = 5.0e-6 + 0.15e-6 * others + traffic / (link * 0.65);
        set(out, std::min(one_shot, two_shot), Family::collective, 0.75f);
        return true;
    }
    // NCCL: a latency per step and rank, and a protocol that reaches the link's bandwidth only for large
    // messages.
    const double latency = (nvlink ? 4.5e-6 : 9e-6) + hops * others * (nvlink ? 0.7e-6 : 2.5e-6);
    const double wire = traffic / (link * (nvlink ? 0.80 : 0.75));
    // The low-latency protocols of small messages reach half of that.
    const double slow = std::min(traffic, 4e6) / (link * 0.8);
    set(out, latency + wire + slow, Family::collective, 0.70f);
    return true;
}

}  // namespace revati::cost
