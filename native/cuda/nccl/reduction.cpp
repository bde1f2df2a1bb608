#include "cuda/nccl/reduction.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

namespace revati::nccl {
namespace {

struct Half {
    uint16_t bits;
};
struct BFloat16 {
    uint16_t bits;
};

float bits_to_float(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

uint32_t float_to_bits(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

float widen(BFloat16 value) {
    return bits_to_float(uint32_t{value.bits} << 16);
}

float widen(Half value) {
    int exponent = (value.bits >> 10) & 0x1f;
    float magnitude = static_cast<float>(value.bits & 0x3ff);
    float sign = (value.bits & 0x8000) != 0 ? -1.0F : 1.0F;
    if (exponent == 0x1f) return magnitude == 0 ? sign * INFINITY : NAN;
    if (exponent == 0) return sign * std::ldexp(magnitude, -24);
    return sign * std::ldexp(magnitude + 1024.0F, exponent - 25);
}

template <typename T>
T narrow(float value);

template <>
BFloat16 narrow(float value) {
    uint32_t bits = float_to_bits(value);
    if (std::isnan(value)) return {static_cast<uint16_t>((bits >> 16) | 0x40)};
    // To the nearest, ties to even.
    return {static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

template <>
Half narrow(float value) {
    auto sign = static_cast<uint16_t>(std::signbit(value) ? 0x8000 : 0);
    float magnitude = std::fabs(value);
    if (std::isnan(value)) return {static_cast<uint16_t>(sign | 0x7e00)};
    if (magnitude >= 65520.0F) return {static_cast<uint16_t>(sign | 0x7c00)};
    if (magnitude < std::ldexp(1.0F, -14)) {
        return {
            static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(std::ldexp(magnitude, 24))))};
    }
    int exponent = std::ilogb(magnitude);
    auto mantissa = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 10 - exponent)));
    // A mantissa that rounds up to 2048 carries into the exponent by itself.
    return {static_cast<uint16_t>(sign | (((exponent + 15) << 10) + (mantissa - 1024)))};
}

template <typename T>
T load(T value) {
    return value;
}
float load(Half value) {
    return widen(value);
}
float load(BFloat16 value) {
    return widen(value);
}

template <typename T, typename Wide>
T store(Wide value) {
    if constexpr (std::is_arithmetic_v<T>) {
        return static_cast<T>(value);
    } else {
        return narrow<T>(value);
    }
}

template <typename Wide>
Wide combine(RedOp op, Wide left, Wide right) {
    switch (op) {
        case op_prod:
            return static_cast<Wide>(left * right);
        case op_max:
            return std::max(left, right);
        case op_min:
            return std::min(left, right);
        default:
            return static_cast<Wide>(left + right);
    }
}

template <typename T>
void reduce_as(const Reduction& reduction, const void* const* sources, int ranks, size_t count,
               void* destination) {
    using Wide = decltype(load(T{}));
    auto* out = static_cast<T*>(destination);
    for (size_t index = 0; index < count; ++index) {
        Wide total{};
        for (int rank = 0; rank < ranks; ++rank) {
            T element;
            std::memcpy(&element, static_cast<const uint8_t*>(sources[rank]) + index * sizeof(T),
                        sizeof element);
            Wide value = load(element);
            if (reduction.scaled) value = static_cast<Wide>(value * static_cast<Wide>(reduction.scalar));
            total = rank == 0 ? value : combine(reduction.op, total, value);
        }
        if (reduction.op == op_avg) total = static_cast<Wide>(total / static_cast<Wide>(ranks));
        T result = store<T>(total);
        std::memcpy(out + index, &result, sizeof result);
    }
}

template <typename T>
double scalar_as(const void* value) {
    T element;
    std::memcpy(&element, value, sizeof element);
    return static_cast<double>(load(element));
}

}  // namespace

bool can_reduce(DataType type) {
    return type != float8_e4m3 && type != float8_e5m2;
}

double read_scalar(const void* value, DataType type) {
    switch (type) {
        case int8:
            return scalar_as<int8_t>(value);
        case uint8:
            return scalar_as<uint8_t>(value);
        case int32:
            return scalar_as<int32_t>(value);
        case uint32:
            return scalar_as<uint32_t>(value);
        case int64:
            return scalar_as<int64_t>(value);
        case uint64:
            return scalar_as<uint64_t>(value);
        case float16:
            return scalar_as<Half>(value);
        case float32:
            return scalar_as<float>(value);
        case float64:
            return scalar_as<double>(value);
        case bfloat16:
            return scalar_as<BFloat16>(value);
        default:
            return 1;
    }
}

void reduce(const Reduction& reduction, DataType type, const void* const* sources, int ranks, size_t count,
            void* destination) {
    switch (type) {
        case int8:
            return reduce_as<int8_t>(reduction, sources, ranks, count, destination);
        case uint8:
            return reduce_as<uint8_t>(reduction, sources, ranks, count, destination);
        case int32:
            return reduce_as<int32_t>(reduction, sources, ranks, count, destination);
        case uint32:
            return reduce_as<uint32_t>(reduction, sources, ranks, count, destination);
        case int64:
            return reduce_as<int64_t>(reduction, sources, ranks, count, destination);
        case uint64:
            return reduce_as<uint64_t>(reduction, sources, ranks, count, destination);
        case float16:
            return reduce_as<Half>(reduction, sources, ranks, count, destination);
        case float32:
            return reduce_as<float>(reduction, sources, ranks, count, destination);
        case float64:
            return reduce_as<double>(reduction, sources, ranks, count, destination);
        case bfloat16:
            return reduce_as<BFloat16>(reduction, sources, ranks, count, destination);
        default:
            return;
    }
}

}  // namespace revati::nccl
