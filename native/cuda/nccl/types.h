// The public types of NCCL that we need; no small package brings its header. Names without their prefix;
// values and layouts as in nccl.h of NCCL 2.28.9. tests/conformance/nccl checks them against the installed
// header where there is one.
#pragma once

#include <climits>
#include <cstddef>
#include <cstdint>

namespace revati::nccl {

enum Result : int {
    success = 0,
    unhandled_cuda_error = 1,
    system_error = 2,
    internal_error = 3,
    invalid_argument = 4,
    invalid_usage = 5,
    remote_error = 6,
    in_progress = 7,
};

enum RedOp : int { op_sum = 0, op_prod = 1, op_max = 2, op_min = 3, op_avg = 4, built_in_ops = 5 };

enum DataType : int {
    int8 = 0,
    uint8 = 1,
    int32 = 2,
    uint32 = 3,
    int64 = 4,
    uint64 = 5,
    float16 = 6,
    float32 = 7,
    float64 = 8,
    bfloat16 = 9,
    float8_e4m3 = 10,
    float8_e5m2 = 11,
    data_types = 12,
};

enum ScalarResidence : int { scalar_device = 0, scalar_host_immediate = 1 };

struct UniqueId {
    char internal[128];
};

// The members that all versions begin with; what follows are hints for the real library's transports.
struct Config {
    size_t size;
    unsigned magic;
    unsigned version;
    int blocking;
};
constexpr unsigned config_magic = 0xcafebeef;

struct SimInfo {
    size_t size;
    unsigned magic;
    unsigned version;
    float estimated_time;
};

constexpr int split_no_color = -1;
constexpr int version_code = 22809;

inline size_t bytes_of(DataType type) {
    constexpr size_t bytes[data_types] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1};
    return bytes[type];
}

}  // namespace revati::nccl
