// Counters that outlive the process: `$REVATI_SESSION/stats.<pid>`, a shared file mapping that Python reads
// (revati/launcher/session.py).
//
// The file is an array of pages, one for each thread that uses the device, so that counting takes no locked
// instruction on the launch path. Its readers add the pages up; pages that no thread has claimed yet are
// zero.
#pragma once

#include <cstdint>

#include "cost/features.h"
#include "device/export.h"

namespace revati::device {

constexpr uint32_t stats_magic = 0x31545652;  // "RVT1"
constexpr int stats_families = 32;            // room for cost::Family
constexpr int stats_sources = 8;              // room for cost::Source
constexpr int stats_lanes = 64;  // pages in the file; with more threads, some share one and may lose a count

// Little-endian, fixed layout: all members 8-byte aligned.
struct StatsPage {
    uint32_t magic;
    uint32_t version;  // 3
    uint64_t pid;
    uint64_t launches;  // kernels launched one by one
    uint64_t graph_launches;
    uint64_t graph_nodes;  // nodes replayed
    uint64_t library_calls;
    uint64_t copies, copied_bytes;
    uint64_t elided_copies;  // large copies whose bytes were not moved
    uint64_t effects;        // control-plane kernels computed on the host
    uint64_t waits;          // host waits for the device
    uint64_t reserved[9];
    struct Cell {
        uint64_t count, ns;
    } cells[stats_families][stats_sources];
};

// The calling thread's page.
REVATI_API StatsPage& stats();
inline void bump(uint64_t& counter, uint64_t by = 1) {
    __atomic_store_n(&counter, __atomic_load_n(&counter, __ATOMIC_RELAXED) + by, __ATOMIC_RELAXED);
}
REVATI_API void count_duration(const cost::Duration& duration);

}  // namespace revati::device
