#include "effects/functors.h"

#include <cmath>
#include <limits>

#include "effects/effects.h"

namespace revati::effects {
namespace {

// How the operand types follow from the name.
enum class Shape : uint8_t {
    of_class,       // Name<T>: all operands and the result are T
    class_to_bool,  // Name<T>: (T, T) -> bool
    of_lambda,      // lambda(T, ...): its parameters, result T of the last one
    lambda_to_bool,
    lambda_to_bf16,
    lambda_to_f16,
};

struct Row {
    const char* name;
    Operation operation;
    int inputs;
    Shape shape;
    int scalars;  // captured values of the operand's type (in float32 for half types), behind an int32 mode
                  // if there is one
    bool has_mode;
};

// Class templates, and functions whose lambda is the functor. Source: aten/src/ATen/native/cuda/*.cu,
// torch 2.11.
constexpr Row rows[] = {
    {"FillFunctor", Operation::fill, 0, Shape::of_class, 1, false},
    {"direct_copy_kernel_cuda", Operation::copy, 1, Shape::of_lambda, 0, false},
    {"bfloat16_copy_kernel_cuda", Operation::copy, 1, Shape::lambda_to_bf16, 0, false},
    {"float16_copy_kernel_cuda", Operation::copy, 1, Shape::lambda_to_f16, 0, false},
    {"CUDAFunctor_add", Operation::add_scaled, 2, Shape::of_class, 1, false},
    {"CUDAFunctorOnSelf_add", Operation::add_other, 1, Shape::of_class, 2, false},
    {"CUDAFunctorOnOther_add", Operation::add_self, 1, Shape::of_class, 2, false},
    {"CompareEqFunctor", Operation::compare_equal, 2, Shape::class_to_bool, 0, true},
    {"CompareFunctor", Operation::compare_order, 2, Shape::class_to_bool, 0, true},
    {"compare_scalar_kernel", Operation::compare_order, 1, Shape::lambda_to_bool, 1, true},
    {"BitwiseAndFunctor", Operation::bit_and, 2, Shape::of_class, 0, false},
    {"BitwiseOrFunctor", Operation::bit_or, 2, Shape::of_class, 0, false},
    {"BitwiseXorFunctor", Operation::bit_xor, 2, Shape::of_class, 0, false},
    {"bitwise_not_kernel_cuda", Operation::bit_not, 1, Shape::of_lambda, 0, false},
    {"lshift_kernel_cuda", Operation::shift_left, 2, Shape::of_lambda, 0, false},
    {"rshift_kernel_cuda", Operation::shift_right, 2, Shape::of_lambda, 0, false},
    {"logical_and_kernel_cuda", Operation::logical_and, 2, Shape::lambda_to_bool, 0, false},
    {"logical_or_kernel_cuda", Operation::logical_or, 2, Shape::lambda_to_bool, 0, false},
    {"logical_xor_kernel_cuda", Operation::logical_xor, 2, Shape::lambda_to_bool, 0, false},
    {"logical_not_kernel_cuda", Operation::logical_not, 1, Shape::lambda_to_bool, 0, false},
    {"MulFunctor", Operation::multiply, 2, Shape::of_class, 0, false},
    {"DivFunctor", Operation::divide, 2, Shape::of_class, 0, false},
    {"div_floor_kernel_cuda", Operation::divide_floor, 2, Shape::of_lambda, 0, false},
    {"div_trunc_kernel_cuda", Operation::divide_trunc, 2, Shape::of_lambda, 0, false},
    {"remainder_kernel_cuda", Operation::remainder, 2, Shape::of_lambda, 0, false},
    {"minimum_kernel_cuda", Operation::minimum, 2, Shape::of_lambda, 0, false},
    {"maximum_kernel_cuda", Operation::maximum, 2, Shape::of_lambda, 0, false},
    {"neg_kernel_cuda", Operation::negate, 1, Shape::of_lambda, 0, false},
    {"AbsFunctor", Operation::absolute, 1, Shape::of_class, 0, false},
    {"where_kernel_impl", Operation::select, 3, Shape::of_lambda, 0, false},
    {"masked_fill_kernel", Operation::masked_fill, 2, Shape::of_lambda, 1, false},
    {"launch_clamp_scalar", Operation::clamp_scalar, 1, Shape::of_lambda, 2, true},
    {"clamp_kernel_impl", Operation::clamp_tensor, 3, Shape::of_lambda, 0, false},
};

// Half types keep their captured scalars in float32.
DType captured_type(DType dtype) {
    return dtype == DType::f16 || dtype == DType::bf16 ? DType::f32 : dtype;
}

DType value_type(const Functor& functor) {
    // masked_fill(value, mask) and where(mask, a, b) have a boolean operand beside those that give the type.
    return functor.operation == Operation::select ? functor.input[1] : functor.input[0];
}

bool complete(const Functor& functor) {
    for (int k = 0; k < functor.inputs; ++k) {
        if (functor.input[k] == DType::other) return false;
    }
    return functor.result != DType::other;
}

DType result_type(Shape shape, DType operand) {
    switch (shape) {
        case Shape::class_to_bool:
        case Shape::lambda_to_bool:
            return DType::boolean;
        case Shape::lambda_to_bf16:
            return DType::bf16;
        case Shape::lambda_to_f16:
            return DType::f16;
        default:
            return operand;
    }
}

Functor from_row(const Row& row, const FunctorName& name) {
    Functor functor;
    const bool lambda = row.shape >= Shape::of_lambda;
    if (lambda != name.lambda) return functor;
    const std::vector<std::string>& types = lambda ? name.lambda_parameters : name.arguments;
    if (types.empty() || (lambda && static_cast<int>(types.size()) != row.inputs)) return functor;
    functor.inputs = row.inputs;
    for (int k = 0; k < row.inputs; ++k) functor.input[k] = dtype_of_type(types[lambda ? k : 0]);
    DType type = dtype_of_type(types[0]);
    if (row.operation == Operation::select) type = functor.input[1];
    functor.result = result_type(row.shape, type);
    const DType scalar = row.operation == Operation::fill || row.operation == Operation::masked_fill
                             ? type
                             : captured_type(type);
    const size_t scalar_bytes = bytes_of(scalar);
    if (row.has_mode) functor.alignment = 4;
    if (row.scalars > 0 && scalar_bytes > functor.alignment) functor.alignment = scalar_bytes;
    const size_t mode_bytes = row.has_mode ? align_up(4, row.scalars > 0 ? functor.alignment : 4) : 0;
    functor.bytes = align_up(mode_bytes + scalar_bytes * row.scalars, functor.alignment);
    if (functor.bytes == 0) functor.bytes = 1;
    functor.operation = complete(functor) ? row.operation : Operation::none;
    return functor;
}

Functor recognise_plain(const FunctorName& name) {
    for (const Row& row : rows) {
        if (name.base == row.name) return from_row(row, name);
    }
    return {};
}

// AUnaryFunctor<A, B, R, F>, BUnaryFunctor<A, B, R, F> and BinaryFunctor<A, B, R, F> around a functor F
// (ATen/native/cuda/Loops.cuh).
Functor recognise_wrapper(const FunctorName& name) {
    if (name.arguments.size() != 4) return {};
    Functor functor = recognise_plain(parse_functor(name.arguments[3]));
    if (functor.operation == Operation::none || functor.inputs != 2) return {};
    const DType scalar = captured_type(functor.input[0]);
    functor.input[0] = dtype_of_type(name.arguments[0]);
    functor.input[1] = dtype_of_type(name.arguments[1]);
    functor.result = dtype_of_type(name.arguments[2]);
    if (name.base != "BinaryFunctor") {
        const size_t bytes = bytes_of(scalar);
        functor.captured_operand = name.base == "AUnaryFunctor" ? 0 : 1;
        functor.captured_offset = align_up(functor.bytes, bytes);
        functor.input[functor.captured_operand] = scalar;
        if (bytes > functor.alignment) functor.alignment = bytes;
        functor.bytes = align_up(functor.captured_offset + bytes, functor.alignment);
    }
    if (!complete(functor)) functor.operation = Operation::none;
    return functor;
}

template <typename Body>
void each_integer(const Block& a, const Block& b, int count, Block* out, Body body) {
    out->floating = false;
    for (int k = 0; k < count; ++k) out->integers[k] = body(a.integers[k], b.integers[k]);
}

template <typename Body>
void each_real(const Block& a, const Block& b, int count, Block* out, Body body) {
    out->floating = true;
    for (int k = 0; k < count; ++k) out->reals[k] = body(a.reals[k], b.reals[k]);
}

// One definition for integers and reals; `body` must accept both.
template <typename Body>
void each(const Block& a, const Block& b, int count, Block* out, Body body) {
    if (a.floating) {
        each_real(a, b, count, out, body);
    } else {
        each_integer(a, b, count, out, body);
    }
}

template <typename Body>
void each_test(const Block& a, const Block& b, int count, Block* out, Body body) {
    out->floating = false;
    if (a.floating) {
        for (int k = 0; k < count; ++k) out->integers[k] = body(a.reals[k], b.reals[k]);
    } else {
        for (int k = 0; k < count; ++k) out->integers[k] = body(a.integers[k], b.integers[k]);
    }
}

void compare(int mode, const Block& a, const Block& b, int count, Block* out) {
    switch (mode) {
        case 0:
            return each_test(a, b, count, out, [](auto x, auto y) { return x >= y; });
        case 1:
            return each_test(a, b, count, out, [](auto x, auto y) { return x > y; });
        case 2:
            return each_test(a, b, count, out, [](auto x, auto y) { return x <= y; });
        default:
            return each_test(a, b, count, out, [](auto x, auto y) { return x < y; });
    }
}

// Integer addition and multiplication wrap on the device.
int64_t wrap_add(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
int64_t wrap_multiply(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

void add_scaled(const Block& a, const Block& scale, const Block& b, int count, Block* out) {
    out->floating = a.floating;
    for (int k = 0; k < count; ++k) {
        if (a.floating) {
            out->reals[k] = a.reals[k] + scale.reals[k] * b.reals[k];
        } else {
            out->integers[k] = wrap_add(a.integers[k], wrap_multiply(scale.integers[k], b.integers[k]));
        }
    }
}

// A divisor of zero is undefined on the device; -1 is what it gives there.
int64_t divide_trunc(int64_t a, int64_t b) {
    if (b == 0) return -1;
    return b == -1 ? wrap_multiply(a, -1) : a / b;
}

int64_t divide_floor(int64_t a, int64_t b) {
    if (b == 0 || b == -1) return divide_trunc(a, b);
    const int64_t quotient = a / b;
    return quotient - (a % b != 0 && (a < 0) != (b < 0));
}

int64_t remainder(int64_t a, int64_t b) {
    if (b == 0 || b == -1) return 0;
    const int64_t rest = a % b;
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

double remainder(double a, double b) {
    const double rest = std::fmod(a, b);
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

void divide(Operation operation, const Block& a, const Block& b, int count, Block* out) {
    switch (operation) {
        case Operation::divide_floor:
            if (a.floating)
                return each_real(a, b, count, out, [](double x, double y) { return std::floor(x / y); });
            return each_integer(a, b, count, out, divide_floor);
        case Operation::divide_trunc:
            if (a.floating)
                return each_real(a, b, count, out, [](double x, double y) { return std::trunc(x / y); });
            return each_integer(a, b, count, out, divide_trunc);
        case Operation::remainder:
            if (a.floating)
                return each_real(a, b, count, out, [](double x, double y) { return remainder(x, y); });
            return each_integer(a, b, count, out, [](int64_t x, int64_t y) { return remainder(x, y); });
        default:
            if (a.floating) return each_real(a, b, count, out, [](double x, double y) { return x / y; });
            return each_integer(a, b, count, out, divide_trunc);
    }
}

void choose(const Block& condition, const Block& yes, const Block& no, int count, Block* out) {
    out->floating = yes.floating;
    for (int k = 0; k < count; ++k) {
        out->integers[k] = condition.integers[k] != 0 ? yes.integers[k] : no.integers[k];
        out->reals[k] = condition.integers[k] != 0 ? yes.reals[k] : no.reals[k];
    }
}

void clamp(const Block& values, const Block& low, const Block& high, int count, Block* out) {
    each(values, low, count, out, [](auto x, auto y) { return x < y ? y : x; });
    const Block raised = *out;
    each(raised, high, count, out, [](auto x, auto y) { return y < x ? y : x; });
}

int64_t shift(int64_t value, int64_t by, bool left) {
    if (by < 0 || by > 63) return left || value >= 0 ? 0 : -1;
    return left ? static_cast<int64_t>(static_cast<uint64_t>(value) << by) : value >> by;
}

// Captured scalars: where the first one lies behind the mode, and their type.
size_t first_scalar(const Functor& functor) {
    const bool has_mode =
        functor.operation == Operation::compare_order || functor.operation == Operation::clamp_scalar;
    return has_mode ? functor.alignment : 0;
}

void captured_scalar(const Functor& functor, const char* state, int index, int count, Block* out) {
    const DType value = value_type(functor);
    const DType type = functor.operation == Operation::fill          ? functor.result
                       : functor.operation == Operation::masked_fill ? value
                                                                     : captured_type(value);
    splat(type, state + first_scalar(functor) + static_cast<size_t>(index) * bytes_of(type), count, out);
}

void compute_captured(const Functor& functor, const char* state, Block* inputs, int count, Block* out) {
    static thread_local Block first, second;
    captured_scalar(functor, state, 0, count, &first);
    switch (functor.operation) {
        case Operation::fill:
            *out = first;
            return;
        case Operation::add_scaled:
            return add_scaled(inputs[0], first, inputs[1], count, out);
        case Operation::add_other:
            captured_scalar(functor, state, 1, count, &second);
            return add_scaled(inputs[0], second, first, count, out);
        case Operation::add_self:
            captured_scalar(functor, state, 1, count, &second);
            return add_scaled(first, second, inputs[0], count, out);
        case Operation::masked_fill:
            inputs[1].convert(false, count);
            return choose(inputs[1], first, inputs[0], count, out);
        case Operation::compare_order:
            return compare(read<int32_t>(state), inputs[0], first, count, out);
        default:
            break;
    }
    captured_scalar(functor, state, 1, count, &second);  // clamp_scalar
    switch (read<int32_t>(state)) {
        case 0:
            return each(inputs[0], first, count, out, [](auto x, auto y) { return x < y ? y : x; });
        case 1:
            return each(inputs[0], first, count, out, [](auto x, auto y) { return y < x ? y : x; });
        default:
            return clamp(inputs[0], first, second, count, out);
    }
}

bool uses_captured_scalars(const Functor& functor) {
    switch (functor.operation) {
        case Operation::fill:
        case Operation::add_scaled:
        case Operation::add_other:
        case Operation::add_self:
        case Operation::masked_fill:
        case Operation::clamp_scalar:
            return true;
        case Operation::compare_order:
            return functor.inputs == 1;
        default:
            return false;
    }
}

void compute_bits(Operation operation, const Block& a, const Block& b, int count, bool boolean, Block* out) {
    switch (operation) {
        case Operation::bit_and:
            return each_integer(a, b, count, out, [](int64_t x, int64_t y) { return x & y; });
        case Operation::bit_or:
            return each_integer(a, b, count, out, [](int64_t x, int64_t y) { return x | y; });
        case Operation::bit_xor:
            return each_integer(a, b, count, out, [](int64_t x, int64_t y) { return x ^ y; });
        case Operation::shift_left:
            return each_integer(a, b, count, out, [](int64_t x, int64_t y) { return shift(x, y, true); });
        case Operation::shift_right:
            return each_integer(a, b, count, out, [](int64_t x, int64_t y) { return shift(x, y, false); });
        default:
            return each_integer(a, a, count, out,
                                [boolean](int64_t x, int64_t) { return boolean ? int64_t{x == 0} : ~x; });
    }
}

void compute_arithmetic(Operation operation, const Block& a, const Block& b, int count, Block* out) {
    switch (operation) {
        case Operation::logical_and:
            return each_test(a, b, count, out, [](auto x, auto y) { return x != 0 && y != 0; });
        case Operation::logical_or:
            return each_test(a, b, count, out, [](auto x, auto y) { return x != 0 || y != 0; });
        case Operation::logical_xor:
            return each_test(a, b, count, out, [](auto x, auto y) { return (x != 0) != (y != 0); });
        case Operation::logical_not:
            return each_test(a, a, count, out, [](auto x, auto) { return x == 0; });
        case Operation::minimum:
            return each(a, b, count, out, [](auto x, auto y) { return y < x ? y : x; });
        case Operation::maximum:
            return each(a, b, count, out, [](auto x, auto y) { return x < y ? y : x; });
        case Operation::multiply:
            if (a.floating) return each_real(a, b, count, out, [](double x, double y) { return x * y; });
            return each_integer(a, b, count, out, wrap_multiply);
        case Operation::negate:
            if (a.floating) return each_real(a, a, count, out, [](double x, double) { return -x; });
            return each_integer(a, a, count, out, [](int64_t x, int64_t) { return wrap_multiply(x, -1); });
        case Operation::absolute:
            if (a.floating) return each_real(a, a, count, out, [](double x, double) { return std::fabs(x); });
            return each_integer(a, a, count, out,
                                [](int64_t x, int64_t) { return x < 0 ? wrap_multiply(x, -1) : x; });
        default:
            return divide(operation, a, b, count, out);
    }
}

}  // namespace

bool Functor::any_float() const {
    for (int k = 0; k < inputs; ++k) {
        if (is_float(input[k])) return true;
    }
    return is_float(result);
}

Functor recognise_functor(const std::string& text) {
    const FunctorName name = parse_functor(text);
    if (name.base == "AUnaryFunctor" || name.base == "BUnaryFunctor" || name.base == "BinaryFunctor")
        return recognise_wrapper(name);
    return recognise_plain(name);
}

void compute(const Functor& functor, const char* state, Block* inputs, int count, Block* out) {
    if (uses_captured_scalars(functor)) return compute_captured(functor, state, inputs, count, out);
    // Operands of one operation share a class, or one of them was converted by the caller.
    if (functor.operation != Operation::select && functor.inputs >= 2) {
        const bool floating = inputs[0].floating || inputs[1].floating;
        for (int k = 0; k < functor.inputs; ++k) inputs[k].convert(floating, count);
    }
    switch (functor.operation) {
        case Operation::copy:
            *out = inputs[0];
            return;
        case Operation::compare_equal: {
            const bool negated = read<int32_t>(state) != 0;
            return each_test(inputs[0], inputs[1], count, out,
                             [negated](auto x, auto y) { return (x == y) != negated; });
        }
        case Operation::compare_order:
            return compare(read<int32_t>(state), inputs[0], inputs[1], count, out);
        case Operation::select:
            inputs[0].convert(false, count);
            return choose(inputs[0], inputs[1], inputs[2], count, out);
        case Operation::clamp_tensor:
            return clamp(inputs[0], inputs[1], inputs[2], count, out);
        case Operation::bit_and:
        case Operation::bit_or:
        case Operation::bit_xor:
        case Operation::bit_not:
        case Operation::shift_left:
        case Operation::shift_right:
            return compute_bits(functor.operation, inputs[0], inputs[1], count,
                                functor.input[0] == DType::boolean, out);
        default:
            return compute_arithmetic(functor.operation, inputs[0], inputs[1], count, out);
    }
}

std::vector<std::string> known_functors() {
    std::vector<std::string> names;
    for (const Row& row : rows) names.emplace_back(row.name);
    return names;
}

}  // namespace revati::effects
