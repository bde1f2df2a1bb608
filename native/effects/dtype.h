// Element types as kernels know them, and moving blocks of elements to and from the two types in which
// effects compute.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace revati::effects {

enum class DType : uint8_t { other, boolean, u8, i8, i16, u16, i32, u32, i64, u64, f16, bf16, f32, f64 };

int bytes_of(DType dtype);     // 0 for `other`
bool is_integer(DType dtype);  // booleans too
bool is_float(DType dtype);

// From a demangled C++ type ("long", "c10::BFloat16"); `other` if unknown.
DType dtype_of_type(std::string_view type);
// From torch's c10::ScalarType.
DType dtype_of_scalar_type(int8_t code);

// A block of elements while an effect computes: integers exactly, floating point in double precision (sums
// and products of two float32 are then rounded once, as on the device).
constexpr int block_elements = 256;
struct Block {
    bool floating = false;
    int64_t integers[block_elements];
    double reals[block_elements];

    void convert(bool to_floating, int count);
    void convert_to(DType dtype, int count);  // as a C++ cast does: to bool it tests against zero
};

// Element k of `count` lies at base + offsets[k]; with `offsets` null, the elements are contiguous.
void load_block(DType dtype, const char* base, const uint32_t* offsets, int count, Block* out);
void store_block(DType dtype, char* base, const uint32_t* offsets, int count, const Block& values);
// One value, as a block of `count` equal ones.
void splat(DType dtype, const char* source, int count, Block* out);

int64_t load_integer(DType dtype, const char* source);
void store_integer(DType dtype, char* destination, int64_t value);

}  // namespace revati::effects
