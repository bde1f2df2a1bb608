// launch -> duration. One `Estimator` per process; thread-safe; memoised.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cost/features.h"
#include "device/export.h"

namespace revati::cost {

// The part of a GPU's description that durations need (units as in device/spec.h).
struct Ceilings {
    double bf16_flops, fp8_flops, fp4_flops, int8_flops, tf32_flops, fp32_flops, fp64_flops;
    double memory_bandwidth, pcie_bandwidth, nvlink_bandwidth;
    int64_t l2_bytes;
    int sm_count;
    int64_t copy_latency_ns;
    // Between nodes; zero where there is one only. As NetworkSpec in device/spec.h.
    int network_nics = 0;
    double network_bandwidth = 0;
    int64_t network_hop_ns = 0;
};

// How the duration of one particular kernel is found. Chosen once per kernel by its name, then asked at each
// launch.
class KernelModel {
  public:
    virtual ~KernelModel() = default;
    virtual Duration estimate(const KernelLaunch& launch) const = 0;
    // True if the answer depends on device memory or on state set by earlier launches (attention lengths), so
    // that a captured launch must be asked again at every replay. Otherwise the device may reuse the answer
    // for the same geometry and arguments.
    virtual bool depends_on_memory() const { return false; }
    // Argument sizes that the model needs when the binary does not tell them (kernels registered from fat
    // binaries); empty if none.
    virtual const std::vector<uint32_t>& expected_arg_bytes() const;
};

class REVATI_API Estimator {
  public:
    explicit Estimator(const Ceilings& ceilings);
    ~Estimator();

    // Takes trained models and measured points from a file (predictors/model_file.py) and asks them before
    // all sources so far. `engine`: whose kernels to prefer, "vllm", "sglang" or "". Before the first
    // question only. False, and one sentence in *error, if the file is not sound; the estimator is then
    // unchanged.
    bool load(const std::string& path, const std::string& engine, std::string* error);

    // Never null; the pointer lives as long as the estimator.
    const KernelModel* model_for(const char* kernel_name);

    Duration gemm(const GemmFeatures& features);
    Duration attention(const AttentionFeatures& features);
    Duration copy(const CopyFeatures& features);
    Duration fill(uint64_t bytes);
    Duration collective(const CollectiveFeatures& features);
    // Anything else, by the bytes it moves.
    Duration by_bytes(Family family, uint64_t bytes);

    Estimator(const Estimator&) = delete;
    Estimator& operator=(const Estimator&) = delete;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

REVATI_API const char* name_of(Family family);
REVATI_API const char* name_of(Source source);

}  // namespace revati::cost
