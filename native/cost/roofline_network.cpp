// Collectives whose ranks are on several nodes. docs/ranks.md states the formula and its sources.
#include <algorithm>
#include <cmath>

#include "cost/roofline.h"

namespace revati::cost {
namespace {

constexpr double network_fraction = 0.80;  // of a link's rate, that large messages reach
constexpr double fixed_seconds = 6.0e-6;   // a kernel of NCCL with its protocol's first and last step
constexpr double small_bytes = 4e6;        // up to here the low-latency protocols reach half the rate
constexpr double longest_seconds = 1e6;

// Hops on the longest way, inside of nodes and between them, and the bytes that pass through the slowest
// place.
struct Way {
    double inside = 0, between = 0, bytes = 0;
};

Way way_of(const CollectiveFeatures& f, double per_node) {
    const double ranks = f.ranks, nodes = f.nodes, bytes = static_cast<double>(f.bytes);
    const double levels = std::ceil(std::log2(nodes));
    switch (f.kind) {
        case CollectiveKind::all_reduce:
            return {2 * (per_node - 1), 2 * levels, 2 * bytes * (ranks - 1) / ranks};
        case CollectiveKind::all_gather:
            return {ranks - nodes, nodes - 1, bytes * (ranks - 1)};
        case CollectiveKind::reduce_scatter:
            return {ranks - nodes, nodes - 1, bytes * (ranks - 1) / ranks};
        case CollectiveKind::broadcast:
        case CollectiveKind::reduce:
            return {per_node - 1, levels, bytes};
        case CollectiveKind::all_to_all:
            return {ranks - nodes, 1, bytes};
        default:
            return {0, 1, bytes};
    }
}

}  // namespace

bool Roofline::collective_across_nodes(const CollectiveFeatures& f, Duration* out) const {
    const double per_node = std::ceil(static_cast<double>(f.ranks) / f.nodes);
    const bool nvlink = gpu_.nvlink_bandwidth > 0;
    const double inside = (nvlink ? gpu_.nvlink_bandwidth : gpu_.pcie_bandwidth) * network_fraction;
    // As many as the node's ranks can use; a message between two GPUs has one.
    const double nics = std::min(per_node, static_cast<double>(gpu_.network_nics));
    const double node = nics * gpu_.network_bandwidth * network_fraction;
    const Way way = way_of(f, per_node);
    double wire = way.bytes / std::min(inside, node);
    double rate = std::min(inside, node);
    if (f.kind == CollectiveKind::all_to_all) {
        // What leaves the node shares its links; the rest goes the short way meanwhile.
        const double bytes = static_cast<double>(f.bytes);
        const double away = bytes * (f.ranks - per_node) / f.ranks * per_node / node;
        wire = std::max(away, bytes * (per_node - 1) / f.ranks / inside);
    } else if (f.kind == CollectiveKind::send || f.kind == CollectiveKind::recv) {
        rate = gpu_.network_bandwidth * network_fraction;
        wire = way.bytes / rate;
    }
    const double slow = std::min(way.bytes, small_bytes) / rate;
    const double hops = way.inside * (nvlink ? 0.7e-6 : 2.5e-6) +
                        way.between * static_cast<double>(gpu_.network_hop_ns) * 1e-9;
    const double seconds = std::min(fixed_seconds + hops + wire + slow, longest_seconds);
    out->ns = std::llround(seconds * 1e9);
    out->source = Source::roofline;
    out->family = Family::collective;
    out->confidence = 0.5f;
    return true;
}

}  // namespace revati::cost
