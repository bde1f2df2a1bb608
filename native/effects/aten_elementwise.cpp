// torch's elementwise kernels (ATen/native/cuda/CUDALoops.cuh) with a functor that functors.h knows, and
// arange.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>

#include "device/memory.h"
#include "effects/functors.h"
#include "effects/layouts.h"
#include "effects/token_ids.h"

namespace revati::effects {
namespace {

constexpr int max_operands = max_inputs + 1;

// Where an elementwise kernel keeps its things. Three shapes exist:
//   vectorized_elementwise_kernel(int n, functor, std::array<char*, operands>) contiguous; from torch 2.14 on
//   with a fourth template argument, which says how much a thread does
//   unrolled_elementwise_kernel(int n, functor, std::array<char*, operands>, in, out, loader, storer)
//   contiguous, may cast elementwise_kernel(int n, lambda), the lambda holding { OffsetCalculator, pointers,
//   functor [, ScalarType[]] }  strided, may cast
struct Program {
    Effect effect;
    Functor functor;
    int operands = 0;  // the result is operand 0
    bool strided = false, casts = false;
    size_t pointers_at = 0, functor_at = 0, types_at = 0;  // in the lambda
};

struct Operands {
    int64_t count = 0;
    const char* state = nullptr;
    const char* calculator = nullptr;
    std::array<char*, max_operands> data{};
    std::array<DType, max_operands> dtype{};
};

void read_strided(const Program& program, const LaunchView& launch, Operands* out) {
    const char* const lambda = static_cast<const char*>(launch.args[1]);
    out->calculator = lambda;
    out->state = lambda + program.functor_at;
    for (int k = 0; k < program.operands; ++k) {
        out->data[k] = read<char*>(lambda + program.pointers_at + 8 * size_t(k));
        if (program.casts) out->dtype[k] = dtype_of_scalar_type(read<int8_t>(lambda + program.types_at + k));
    }
}

void read_contiguous(const Program& program, const LaunchView& launch, Operands* out) {
    out->state = static_cast<const char*>(launch.args[1]);
    for (int k = 0; k < program.operands; ++k) {
        out->data[k] = read<char*>(static_cast<const char*>(launch.args[2]) + 8 * size_t(k));
    }
    if (!program.casts) return;
    const CastTypes loads(static_cast<const char*>(launch.args[5]), program.functor.inputs);
    const CastTypes stores(static_cast<const char*>(launch.args[6]), 1);
    out->dtype[0] = stores.dtype(0);
    for (int k = 0; k < program.functor.inputs; ++k) out->dtype[k + 1] = loads.dtype(k);
}

// The functor's inputs that are read from memory: all but a captured one.
int input_of_operand(const Functor& functor, int operand) {
    const int input = operand - 1;
    return functor.captured_operand == 0 ? input + 1 : input;
}

Operands read_operands(const Program& program, const LaunchView& launch) {
    Operands out;
    out.count = launch.arg<int32_t>(0);
    out.dtype[0] = program.functor.result;
    for (int k = 1; k < program.operands; ++k)
        out.dtype[k] = program.functor.input[input_of_operand(program.functor, k)];
    if (program.strided) {
        read_strided(program, launch, &out);
    } else {
        read_contiguous(program, launch, &out);
    }
    return out;
}

bool is_control(const Program& program, const Operands& operands) {
    bool real = program.functor.any_float();
    for (int k = 0; k < program.operands; ++k) {
        if (operands.dtype[k] == DType::other) return false;  // complex, 8-bit floating point ...: data plane
        real = real || is_float(operands.dtype[k]);
    }
    return operands.count <= (real ? control_float_elements : control_elements);
}

void run_block(const Program& program, const Operands& operands, int64_t first, int count) {
    static thread_local std::array<Block, max_inputs> inputs;
    static thread_local Block result;
    uint32_t offsets[block_elements];
    const Functor& functor = program.functor;
    const auto place = [&](int operand) -> const uint32_t* {
        if (!program.strided) return nullptr;
        OffsetCalculator(operands.calculator, program.operands).offsets(first, count, operand, offsets);
        return offsets;
    };
    const auto base = [&](int operand) {
        return operands.data[operand] + (program.strided ? 0 : first * bytes_of(operands.dtype[operand]));
    };
    for (int k = 1; k < program.operands; ++k) {
        Block& input = inputs[input_of_operand(functor, k)];
        load_block(operands.dtype[k], base(k), place(k), count, &input);
        input.convert_to(functor.input[input_of_operand(functor, k)], count);
    }
    if (functor.captured_operand >= 0) {
        const int k = functor.captured_operand;
        splat(functor.input[k], operands.state + functor.captured_offset, count, &inputs[k]);
    }
    compute(functor, operands.state, inputs.data(), count, &result);
    store_block(operands.dtype[0], base(0), place(0), count, result);
}

// logits.masked_fill_(mask, -inf) restricts what the sampler may draw (vLLM's V1 runner does it for
// allowed_token_ids).
void note_token_mask(const Program& program, const LaunchView& launch, const Operands& operands) {
    const bool logits = program.functor.input[0] == DType::f32 && !program.strided && !program.casts;
    if (!logits || read<float>(operands.state) != -std::numeric_limits<float>::infinity()) return;
    mask_out_tokens(launch.device, reinterpret_cast<const uint8_t*>(operands.data[2]), operands.count);
}

void run_elementwise(const LaunchView& launch, const void* user) {
    const Program& program = *static_cast<const Program*>(user);
    const Operands operands = read_operands(program, launch);
    if (!is_control(program, operands)) {
        if (program.functor.operation == Operation::masked_fill) note_token_mask(program, launch, operands);
        return;
    }
    if (program.strided && !OffsetCalculator(operands.calculator, program.operands).plausible()) {
        refuse(*launch.kernel, "its offset calculator has %d dimensions",
               OffsetCalculator(operands.calculator, 1).dims());
    }
    for (int64_t first = 0; first < operands.count; first += block_elements) {
        const int count = static_cast<int>(std::min<int64_t>(block_elements, operands.count - first));
        run_block(program, operands, first, count);
    }
}

// Zeros cost nothing at any size (the pages go back to the host); other values are written for control-plane
// sizes only.
void run_fill(const LaunchView& launch, const void* user) {
    const Program& program = *static_cast<const Program*>(user);
    const Operands operands = read_operands(program, launch);
    const size_t bytes = bytes_of(program.functor.result);
    if (program.strided) return run_elementwise(launch, user);
    uint64_t value = 0;
    __builtin_memcpy(&value, operands.state, bytes);
    if (value == 0) return device::fill_bytes(operands.data[0], 0, 1, bytes * operands.count);
    run_elementwise(launch, user);
}

// "std::array<char*, 3ul>" -> 3.
int array_length(const std::string& type) {
    const TemplateName name = parse_template(type);
    if (!name.is("array") || name.arguments.size() != 2) return 0;
    return atoi(name.arguments[1].c_str());
}

bool set_functor(const std::string& text, Program* program) {
    program->functor = recognise_functor(text);
    if (program->functor.operation == Operation::none) return false;
    program->operands = 1 + program->functor.inputs - (program->functor.captured_operand >= 0 ? 1 : 0);
    return true;
}

uint32_t u32(size_t value) {
    return static_cast<uint32_t>(value);
}

bool match_vectorized(const TemplateName& name, Program* program) {
    const size_t arguments = name.arguments.size();
    if (arguments < 3 || arguments > 4 || !set_functor(name.arguments[1], program)) return false;
    if (array_length(name.arguments[2]) != program->operands) return false;
    program->effect.arg_bytes = {4, u32(program->functor.bytes), u32(8 * program->operands)};
    return true;
}

bool match_unrolled(const TemplateName& name, Program* program) {
    if (name.arguments.size() != 7 || !set_functor(name.arguments[0], program)) return false;
    if (array_length(name.arguments[1]) != program->operands) return false;
    const bool trivial = parse_template(name.arguments[3]).is("TrivialOffsetCalculator") &&
                         parse_template(name.arguments[4]).is("TrivialOffsetCalculator");
    if (!trivial) return false;
    program->casts = parse_template(name.arguments[5]).is("LoadWithCast");
    const int loads = program->operands - 1;
    // A captured operand shifts the loader's types; no kernel of this kind has one.
    if (program->casts && program->functor.captured_operand >= 0) return false;
    program->effect.arg_bytes = {4,
                                 u32(program->functor.bytes),
                                 u32(8 * program->operands),
                                 1,
                                 1,
                                 program->casts ? u32(CastTypes::bytes(std::max(loads, 1))) : 1,
                                 program->casts ? u32(CastTypes::bytes(1)) : 1};
    return true;
}

bool match_strided(const TemplateName& name, Program* program) {
    if (name.arguments.size() != 3) return false;
    const TemplateName maker = parse_template(name.arguments[2]);
    program->casts = maker.is("gpu_kernel_impl");
    if (!program->casts && !maker.is("gpu_kernel_impl_nocast")) return false;
    if (maker.arguments.size() != 1 || !set_functor(maker.arguments[0], program)) return false;
    program->strided = true;
    program->pointers_at = align_up(OffsetCalculator::bytes(program->operands), 8);
    program->functor_at = align_up(program->pointers_at + 8 * program->operands, program->functor.alignment);
    program->types_at = program->functor_at + program->functor.bytes;
    const size_t end = program->types_at + (program->casts ? program->operands : 0);
    program->effect.arg_bytes = {4, u32(align_up(end, 8))};
    return true;
}

const Effect* match_elementwise(const Kernel& kernel) {
    if (kernel.name.find("elementwise_kernel") == std::string::npos) return nullptr;
    const TemplateName name = parse_template(demangle(kernel.name));
    auto* const program = new Program;
    const bool found = (name.is("vectorized_elementwise_kernel") && match_vectorized(name, program)) ||
                       (name.is("unrolled_elementwise_kernel") && match_unrolled(name, program)) ||
                       (name.is("elementwise_kernel") && match_strided(name, program));
    if (!found) {
        delete program;
        return nullptr;
    }
    program->effect.function = program->functor.operation == Operation::fill ? run_fill : run_elementwise;
    program->effect.user = program;
    return &program->effect;
}

// elementwise_kernel_with_index<int, lambda>(int n, lambda, T* out) of arange: the lambda holds { start, step
// } in the accumulation type.
struct Arange {
    Effect effect;
    DType result = DType::other;
    bool real = false;
};

void run_arange(const LaunchView& launch, const void* user) {
    const Arange& arange = *static_cast<const Arange*>(user);
    const int64_t count = launch.arg<int32_t>(0);
    if (count > control_elements) return;
    const char* const lambda = static_cast<const char*>(launch.args[1]);
    char* const out = launch.arg<char*>(2);
    static thread_local Block block;
    block.floating = arange.real;
    for (int64_t first = 0; first < count; first += block_elements) {
        const int length = static_cast<int>(std::min<int64_t>(block_elements, count - first));
        for (int k = 0; k < length; ++k) {
            block.integers[k] = read<int64_t>(lambda) + read<int64_t>(lambda + 8) * (first + k);
            block.reals[k] = read<float>(lambda) + read<float>(lambda + 4) * static_cast<float>(first + k);
        }
        store_block(arange.result, out + first * bytes_of(arange.result), nullptr, length, block);
    }
}

// arange dispatches on u8, i8, i32, i64, i16, f64, f32, ... in this order: the number of its inner lambda
// tells the type.
const Effect* match_arange(const Kernel& kernel) {
    if (kernel.name.find("elementwise_kernel_with_index") == std::string::npos) return nullptr;
    const std::string text = demangle(kernel.name);
    if (text.find("arange_cuda_out") == std::string::npos) return nullptr;
    static constexpr DType order[] = {DType::other, DType::u8,  DType::i8,  DType::i32,
                                      DType::i64,   DType::i16, DType::f64, DType::f32};
    const std::string marker = "const::{lambda()#";
    const size_t at = text.find(marker);
    if (at == std::string::npos) return nullptr;
    const int number = atoi(text.c_str() + at + marker.size());
    if (number < 1 || number > 7 || order[number] == DType::f64) return nullptr;
    auto* const arange = new Arange;
    arange->result = order[number];
    arange->real = is_float(arange->result);
    arange->effect.function = run_arange;
    arange->effect.user = arange;
    arange->effect.arg_bytes = {4, u32(arange->real ? 8 : 16), 8};
    return &arange->effect;
}

const Registration elementwise(match_elementwise);
const Registration arange(match_arange);

}  // namespace
}  // namespace revati::effects
