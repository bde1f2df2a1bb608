// torch's reductions (ATen/native/cuda/Reduce.cuh) over integers and booleans, and argmax: over a few values
// computed, over logits drawn.
#include <algorithm>
#include <limits>

#include "effects/functors.h"
#include "effects/layouts.h"
#include "effects/token_ids.h"

namespace revati::effects {
namespace {

enum class Reduction : uint8_t { sum, maximum, minimum, any, all, argmax, argmin };

struct Program {
    Effect effect;
    Reduction reduction = Reduction::sum;
    DType input = DType::other, output = DType::other;
    size_t config_at = 0, input_calculator_at = 0, output_calculator_at = 0, source_at = 0, bytes = 0;
};

// From this many candidates on, an argmax is taken for a sampler that looks at logits.
constexpr int64_t sampler_candidates = 4096;

struct View {
    ReduceConfig config;
    OffsetCalculator inputs, outputs;
    const char* source;
    char* destination;
};

View view_of(const Program& program, const char* base) {
    return {read<ReduceConfig>(base + program.config_at),
            OffsetCalculator(base + program.input_calculator_at, 1),
            OffsetCalculator(base + program.output_calculator_at, 2),
            read<const char*>(base + program.source_at), read<char*>(base + program.source_at + 8)};
}

int64_t reduce_integers(const Program& program, const View& view, const char* source) {
    int64_t result = program.reduction == Reduction::maximum   ? std::numeric_limits<int64_t>::min()
                     : program.reduction == Reduction::minimum ? std::numeric_limits<int64_t>::max()
                                                               : program.reduction == Reduction::all;
    for (int64_t k = 0; k < view.config.inputs; ++k) {
        const int64_t value = load_integer(program.input, source + view.inputs.offset(k, 0));
        switch (program.reduction) {
            case Reduction::sum:
                result += value;
                break;
            case Reduction::maximum:
                result = std::max(result, value);
                break;
            case Reduction::minimum:
                result = std::min(result, value);
                break;
            case Reduction::any:
                result = result != 0 || value != 0;
                break;
            default:
                result = result != 0 && value != 0;
                break;
        }
    }
    return result;
}

// The first of the largest (smallest) values, as torch breaks ties.
int64_t find_extreme(const Program& program, const View& view, const char* source) {
    static thread_local Block block;
    uint32_t offset;
    int64_t best = 0;
    double best_value = 0;
    for (int64_t k = 0; k < view.config.inputs; ++k) {
        offset = view.inputs.offset(k, 0);
        load_block(program.input, source, &offset, 1, &block);
        block.convert(true, 1);
        const double value = program.reduction == Reduction::argmax ? block.reals[0] : -block.reals[0];
        if (k == 0 || value > best_value) {
            best = k;
            best_value = value;
        }
    }
    return best;
}

void run_reduce(const LaunchView& launch, const void* user) {
    const Program& program = *static_cast<const Program*>(user);
    const View view = view_of(program, static_cast<const char*>(launch.args[0]));
    const int64_t elements = int64_t{view.config.inputs} * view.config.outputs;
    if (!view.inputs.plausible() || !view.outputs.plausible() || view.config.inputs < 0 ||
        view.config.outputs < 0) {
        refuse(*launch.kernel, "it reduces %d values to %d", view.config.inputs, view.config.outputs);
    }
    const bool extreme = program.reduction == Reduction::argmax || program.reduction == Reduction::argmin;
    const bool sampler = extreme && is_float(program.input) && view.config.inputs >= sampler_candidates;
    if (!sampler && elements > control_elements) return;
    for (int64_t k = 0; k < view.config.outputs; ++k) {
        const char* const source = view.source + view.outputs.offset(k, 1);
        const int64_t value =
            sampler   ? draw_token_for_row(launch.device, k, view.config.outputs, view.config.inputs)
            : extreme ? find_extreme(program, view, source)
                      : reduce_integers(program, view, source);
        store_integer(program.output, view.destination + view.outputs.offset(k, 0), value);
    }
}

// ReduceOp { ops; arg_t identity; ReduceConfig; OffsetCalculator<1>; OffsetCalculator<2>; const void* source;
// char* destination[2]; ... }
void lay_out(size_t identity_bytes, size_t identity_alignment, Program* program) {
    const size_t identity_at = align_up(1, identity_alignment);
    program->config_at = align_up(identity_at + identity_bytes, 4);
    program->input_calculator_at = program->config_at + sizeof(ReduceConfig);
    program->output_calculator_at = program->input_calculator_at + OffsetCalculator::bytes(1);
    program->source_at = align_up(program->output_calculator_at + OffsetCalculator::bytes(2), 8);
    // source, two destinations, two buffers, semaphores, base index, two flags and the number of outputs
    program->bytes = program->source_at + 7 * 8 + 8;
}

bool set_reduction(const std::string& text, Program* program) {
    const TemplateName ops = parse_template(text);
    if (ops.is("ArgMaxOps") || ops.is("ArgMinOps")) {
        program->reduction = ops.is("ArgMaxOps") ? Reduction::argmax : Reduction::argmin;
        lay_out(16, 8, program);  // std::pair<value, int64_t>
        return program->output == DType::i64;
    }
    if (!ops.is("func_wrapper_t") || ops.arguments.size() != 2) return false;
    const TemplateName function = parse_template(ops.arguments[1]);
    if (function.is("sum_functor")) {
        program->reduction = Reduction::sum;
    } else if (function.is("MaxNanFunctor")) {
        program->reduction = Reduction::maximum;
    } else if (function.is("MinNanFunctor")) {
        program->reduction = Reduction::minimum;
    } else if (function.is("or_kernel_cuda")) {
        program->reduction = Reduction::any;
    } else if (function.is("and_kernel_cuda")) {
        program->reduction = Reduction::all;
    } else {
        return false;
    }
    if (!is_integer(program->input) || !is_integer(program->output)) return false;
    // or / and work in the operand's type: they promote it to bool only at the end, and their identity is a
    // bool or an integer.
    const bool logical = program->reduction == Reduction::any || program->reduction == Reduction::all;
    const size_t bytes = bytes_of(logical ? dtype_of_type("bool") : program->output);
    size_t identity = bytes;
    if (logical && program->input != DType::boolean) identity = bytes_of(program->input);
    lay_out(identity, identity, program);
    return true;
}

// reduce_kernel<threads, vector, ReduceOp<scalar, ops, index, out, ...>>(ReduceOp)
const Effect* match_reduce(const Kernel& kernel) {
    if (kernel.name.find("13reduce_kernel") == std::string::npos) return nullptr;
    const TemplateName name = parse_template(demangle(kernel.name));
    if (!name.is("reduce_kernel") || name.arguments.size() != 3) return nullptr;
    const TemplateName op = parse_template(name.arguments[2]);
    if (!op.is("ReduceOp") || op.arguments.size() < 4 || op.arguments[2] != "unsigned int") return nullptr;
    auto* const program = new Program;
    program->input = dtype_of_type(op.arguments[0]);
    program->output = dtype_of_type(op.arguments[3]);
    if (program->input == DType::other || program->output == DType::other ||
        !set_reduction(op.arguments[1], program)) {
        delete program;
        return nullptr;
    }
    program->effect.function = run_reduce;
    program->effect.user = program;
    program->effect.arg_bytes = {static_cast<uint32_t>(program->bytes)};
    return &program->effect;
}

const Registration reduce(match_reduce);

}  // namespace
}  // namespace revati::effects
