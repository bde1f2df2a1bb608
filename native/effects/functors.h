// Element functors: which operation a functor's name stands for, how its captured state is laid out, and
// computing it on blocks.
#pragma once

#include <string>

#include "effects/dtype.h"
#include "effects/mangled_name.h"

namespace revati::effects {

enum class Operation : uint8_t {
    none,
    fill,
    copy,
    add_scaled,     // a + alpha * b
    add_other,      // x + alpha * other
    add_self,       // self + alpha * x
    compare_equal,  // state: 0 ==, 1 !=
    compare_order,  // state: 0 >=, 1 >, 2 <=, 3 <
    bit_and,
    bit_or,
    bit_xor,
    bit_not,
    shift_left,
    shift_right,
    logical_and,
    logical_or,
    logical_xor,
    logical_not,
    multiply,
    divide,
    divide_floor,
    divide_trunc,
    remainder,
    minimum,
    maximum,
    negate,
    absolute,
    select,  // where(condition, a, b)
    masked_fill,
    clamp_scalar,  // state: 0 min, 1 max, 2 both
    clamp_tensor,
};

constexpr int max_inputs = 3;

struct Functor {
    Operation operation = Operation::none;
    int inputs = 0;
    DType input[max_inputs] = {DType::other, DType::other, DType::other};
    DType result = DType::other;
    size_t bytes = 1;  // captured state; an empty functor takes one byte
    size_t alignment = 1;
    // A scalar operand that is captured instead of read: AUnaryFunctor has the first one, BUnaryFunctor the
    // second.
    int captured_operand = -1;
    size_t captured_offset = 0;

    bool any_float() const;
};

// `none` in `operation` if the functor or one of its types is unknown.
Functor recognise_functor(const std::string& text);

// Computes `count` elements. `state` is the captured state inside the kernel's arguments; `inputs` are
// converted in place.
void compute(const Functor& functor, const char* state, Block* inputs, int count, Block* out);

// For docs/effects.md: every functor name that `recognise_functor` knows.
std::vector<std::string> known_functors();

}  // namespace revati::effects
