// What one virtual GPU is: read once from `$REVATI_SESSION/device.conf`, which the launcher writes from the
// hardware catalogue.
//
// Keys are the member names below (prefix `gpu.`), plus `gpus` for the number of devices. Every key is
// required: a missing one is a fatal, named error. Units stand in the names. With `nodes` above 1 the
// `network.` keys are required, too.
#pragma once

#include <cstdint>
#include <string>

#include "device/export.h"

namespace revati::device {

struct GpuSpec {
    std::string name;            // as cudaDeviceProp.name, e.g. "NVIDIA H200"
    std::string catalogue_name;  // e.g. "h200-sxm"
    int compute_major = 0;
    int compute_minor = 0;

    // Memory.
    uint64_t memory_bytes = 0;      // total as cudaMemGetInfo and properties report it
    uint64_t context_bytes = 0;     // what one process's CUDA context takes
    uint64_t graph_node_bytes = 0;  // device memory that one node of an instantiated graph takes
    int memory_bus_bits = 0;
    int64_t memory_clock_khz = 0;
    int64_t l2_bytes = 0;
    int64_t persisting_l2_max_bytes = 0;
    int64_t access_policy_window_max_bytes = 0;

    // Execution resources.
    int sm_count = 0;
    int64_t clock_khz = 0;
    int warp_size = 32;
    int max_threads_per_block = 1024;
    int max_threads_per_sm = 2048;
    int max_blocks_per_sm = 32;
    int64_t shared_per_block_bytes = 49152;
    int64_t shared_per_block_optin_bytes = 0;
    int64_t shared_per_sm_bytes = 0;
    int64_t shared_reserved_per_block_bytes = 1024;
    int registers_per_sm = 65536;
    int registers_per_block = 65536;
    int async_engines = 3;
    int max_cluster_blocks = 0;  // 0: no thread-block clusters on this architecture

    // Links.
    int pci_gen = 0;
    int pci_lanes = 16;
    int nvlinks = 0;      // active NVLink links per GPU, 0 where there is none
    int peer_access = 1;  // 1: any two GPUs of a node reach each other directly
    int multicast = 0;    // NVLink SHARP multicast objects supported

    // Ceilings for durations (dense, without sparsity).
    double bf16_flops = 0;
    double fp8_flops = 0;  // 0: no such tensor cores
    double fp4_flops = 0;
    double int8_flops = 0;
    double tf32_flops = 0;
    double fp32_flops = 0;
    double fp64_flops = 0;
    double memory_bandwidth = 0;    // bytes/s
    double pcie_bandwidth = 0;      // bytes/s one way, achievable
    double nvlink_bandwidth = 0;    // bytes/s one way per GPU
    int64_t launch_latency_ns = 0;  // host call to first instruction on an idle stream
    int64_t kernel_gap_ns = 0;      // between dependent kernels of one stream
    int64_t graph_launch_latency_ns = 0;
    int64_t graph_kernel_gap_ns = 0;  // between dependent kernel nodes of one graph
    int64_t event_record_ns = 0;
    int64_t copy_latency_ns = 0;  // fixed part of an async copy

    std::string driver_version;   // e.g. "580.95.05"
    int cuda_driver_version = 0;  // e.g. 13000
};

// Between the nodes of a session that has more than one (revati/catalogue/networks).
struct NetworkSpec {
    int nics = 0;          // that GPUs of one node send through
    double bandwidth = 0;  // bytes/s one way through one of them
    int64_t hop_ns = 0;    // from one node's GPU to another's, in a collective's low-latency protocol
};

struct SessionSpec {
    int gpus = 0;  // of one node
    int nodes = 1;
    int separate_hosts = 0;  // 1: the other nodes are other machines, with tables of their own
    GpuSpec gpu;
    NetworkSpec network;
};

// Parses a device.conf. Returns false and sets *error (one sentence that names the key or the line) if it is
// malformed.
REVATI_API bool parse_session_spec(const std::string& text, SessionSpec* out, std::string* error);

}  // namespace revati::device
