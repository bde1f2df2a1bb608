// What the cost model may know about one piece of GPU work, and what it answers.
//
// This layer knows no CUDA type and no device state: a launch arrives as a name, a geometry and its argument
// bytes; a library call arrives as the features themselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "device/export.h"

namespace revati::cost {

enum class Family : uint8_t {
    gemm,
    attention,
    moe,
    norm,
    elementwise,
    reduce,
    sampler,
    embedding,
    kv_cache,
    copy,
    fill,
    collective,
    graph_overhead,
    other,
    count_
};

// Where a duration comes from, best first.
enum class Source : uint8_t { measured, model, roofline, guess, count_ };

enum class DType : uint8_t {
    unknown,
    f64,
    f32,
    tf32,
    f16,
    bf16,
    f8e4m3,
    f8e5m2,
    f4,
    i64,
    i32,
    i16,
    i8,
    u8,
    b1,
    count_
};

// Size of one element in bits (4 for f4); 16 for `unknown`.
REVATI_API int bits_of(DType dtype);

struct Duration {
    int64_t ns = 0;
    Source source = Source::guess;
    Family family = Family::other;
    float confidence = 0;  // 0..1; the relative error one expects is about 1 - confidence
};

// D[m,n] = A[m,k] * B[k,n], `batch` times, all row-major: m counts tokens, n output features, B is the
// weight.
struct GemmFeatures {
    int64_t m = 0, n = 0, k = 0;
    int64_t batch = 1;
    DType a = DType::bf16, b = DType::bf16, d = DType::bf16;
    bool block_scaled = false;
};

// One attention call. Per-sequence lengths in tokens; `bits` of the KV cache elements.
struct AttentionFeatures {
    std::vector<int32_t> q_lengths;   // new tokens of each sequence
    std::vector<int32_t> kv_lengths;  // context each of them sees, including the new tokens
    int q_heads = 0, kv_heads = 0, head_dim = 0, v_head_dim = 0;
    DType q_dtype = DType::bf16, kv_dtype = DType::bf16;
    int window = 0;  // 0: full causal attention
};

enum class CopyKind : uint8_t { host_to_device, device_to_host, device_to_device, peer, host_to_host };

struct CopyFeatures {
    CopyKind kind = CopyKind::device_to_device;
    uint64_t bytes = 0;
    bool pinned = true;  // pageable host memory is slower
};

enum class CollectiveKind : uint8_t {
    all_reduce,
    all_gather,
    reduce_scatter,
    broadcast,
    reduce,
    all_to_all,
    send,
    recv
};

struct CollectiveFeatures {
    CollectiveKind kind = CollectiveKind::all_reduce;
    int ranks = 1;
    uint64_t bytes = 0;   // payload of one rank's input buffer
    bool custom = false;  // a one- or two-shot kernel of the framework rather than NCCL
    int nodes = 1;        // that the ranks are on, as evenly as can be
};

// A kernel launch, as the device saw it. `args[i]` points at the i-th argument's bytes; `arg_bytes[i]` is its
// size, and both are empty when the kernel's parameter layout is unknown. Pointers inside are valid host
// addresses (device memory is host memory).
struct KernelLaunch {
    const char* name = "";  // mangled or plain, as registered
    uint32_t grid[3] = {1, 1, 1};
    uint32_t block[3] = {1, 1, 1};
    uint32_t shared_bytes = 0;
    void* const* args = nullptr;
    const uint32_t* arg_bytes = nullptr;
    uint32_t arg_count = 0;
};

}  // namespace revati::cost
