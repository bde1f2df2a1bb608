#include "effects/dtype.h"

#include <cstring>
#include <type_traits>

namespace revati::effects {
namespace {

struct TypeRow {
    DType dtype;
    const char* cpp_name;
    int8_t scalar_type;  // c10/core/ScalarType.h
    int bytes;
};

constexpr TypeRow types[] = {
    {DType::boolean, "bool", 11, 1},
    {DType::u8, "unsigned char", 0, 1},
    {DType::i8, "signed char", 1, 1},
    {DType::i16, "short", 2, 2},
    {DType::i32, "int", 3, 4},
    {DType::i64, "long", 4, 8},
    {DType::u16, "unsigned short", 27, 2},
    {DType::u32, "unsigned int", 28, 4},
    {DType::u64, "unsigned long", 29, 8},
    {DType::f16, "c10::Half", 5, 2},
    {DType::f32, "float", 6, 4},
    {DType::f64, "double", 7, 8},
    {DType::bf16, "c10::BFloat16", 15, 2},
};

float from_bf16(uint16_t bits) {
    const uint32_t wide = uint32_t{bits} << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

uint16_t to_bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fc0;
    return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// Calls `body` with a value of the C++ type behind `dtype`.
template <typename Body>
void with_type(DType dtype, Body body) {
    switch (dtype) {
        case DType::boolean:
        case DType::u8:
            return body(uint8_t{});
        case DType::i8:
            return body(int8_t{});
        case DType::i16:
            return body(int16_t{});
        case DType::u16:
            return body(uint16_t{});
        case DType::i32:
            return body(int32_t{});
        case DType::u32:
            return body(uint32_t{});
        case DType::i64:
            return body(int64_t{});
        case DType::u64:
            return body(uint64_t{});
        case DType::f16:
            return body(_Float16{});
        case DType::f32:
            return body(float{});
        case DType::f64:
            return body(double{});
        case DType::bf16:
        case DType::other:
            return;
    }
}

template <typename T>
T fetch(const char* base, const uint32_t* offsets, int index) {
    T value;
    memcpy(&value, offsets != nullptr ? base + offsets[index] : base + index * sizeof(T), sizeof value);
    return value;
}

template <typename T>
void put(char* base, const uint32_t* offsets, int index, T value) {
    memcpy(offsets != nullptr ? base + offsets[index] : base + index * sizeof(T), &value, sizeof value);
}

}  // namespace

int bytes_of(DType dtype) {
    for (const TypeRow& row : types) {
        if (row.dtype == dtype) return row.bytes;
    }
    return 0;
}

bool is_float(DType dtype) {
    return dtype >= DType::f16;
}

bool is_integer(DType dtype) {
    return dtype != DType::other && !is_float(dtype);
}

DType dtype_of_type(std::string_view type) {
    for (const TypeRow& row : types) {
        if (type == row.cpp_name) return row.dtype;
    }
    return DType::other;
}

DType dtype_of_scalar_type(int8_t code) {
    for (const TypeRow& row : types) {
        if (code == row.scalar_type) return row.dtype;
    }
    return DType::other;
}

void Block::convert(bool to_floating, int count) {
    if (floating == to_floating) return;
    if (to_floating) {
        for (int k = 0; k < count; ++k) reals[k] = static_cast<double>(integers[k]);
    } else {
        for (int k = 0; k < count; ++k) integers[k] = static_cast<int64_t>(reals[k]);
    }
    floating = to_floating;
}

void Block::convert_to(DType dtype, int count) {
    if (dtype == DType::boolean && floating) {
        for (int k = 0; k < count; ++k) integers[k] = reals[k] != 0;
        floating = false;
    } else if (dtype == DType::boolean) {
        for (int k = 0; k < count; ++k) integers[k] = integers[k] != 0;
    }
    convert(is_float(dtype), count);
}

void load_block(DType dtype, const char* base, const uint32_t* offsets, int count, Block* out) {
    out->floating = is_float(dtype);
    if (dtype == DType::bf16) {
        for (int k = 0; k < count; ++k) out->reals[k] = from_bf16(fetch<uint16_t>(base, offsets, k));
        return;
    }
    with_type(dtype, [&](auto tag) {
        using T = decltype(tag);
        for (int k = 0; k < count; ++k) {
            const T value = fetch<T>(base, offsets, k);
            if constexpr (std::is_integral_v<T>) {
                out->integers[k] = static_cast<int64_t>(value);
            } else {
                out->reals[k] = static_cast<double>(value);
            }
        }
    });
}

void store_block(DType dtype, char* base, const uint32_t* offsets, int count, const Block& values) {
    const auto real = [&](int k) {
        return values.floating ? values.reals[k] : static_cast<double>(values.integers[k]);
    };
    if (dtype == DType::boolean) {
        for (int k = 0; k < count; ++k) {
            put<uint8_t>(base, offsets, k, values.floating ? values.reals[k] != 0 : values.integers[k] != 0);
        }
        return;
    }
    if (dtype == DType::bf16) {
        for (int k = 0; k < count; ++k) put<uint16_t>(base, offsets, k, to_bf16(static_cast<float>(real(k))));
        return;
    }
    with_type(dtype, [&](auto tag) {
        using T = decltype(tag);
        for (int k = 0; k < count; ++k) {
            if constexpr (std::is_integral_v<T>) {
                put<T>(base, offsets, k,
                       static_cast<T>(values.floating ? static_cast<int64_t>(values.reals[k])
                                                      : values.integers[k]));
            } else {
                put<T>(base, offsets, k, static_cast<T>(real(k)));
            }
        }
    });
}

void splat(DType dtype, const char* source, int count, Block* out) {
    load_block(dtype, source, nullptr, 1, out);
    for (int k = 1; k < count; ++k) {
        out->integers[k] = out->integers[0];
        out->reals[k] = out->reals[0];
    }
}

int64_t load_integer(DType dtype, const char* source) {
    int64_t result = 0;
    with_type(dtype,
              [&](auto tag) { result = static_cast<int64_t>(fetch<decltype(tag)>(source, nullptr, 0)); });
    return result;
}

void store_integer(DType dtype, char* destination, int64_t value) {
    if (dtype == DType::boolean) value = value != 0;
    with_type(dtype, [&](auto tag) { put(destination, nullptr, 0, static_cast<decltype(tag)>(value)); });
}

}  // namespace revati::effects
