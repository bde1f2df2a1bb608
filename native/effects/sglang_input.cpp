// SGLang's input preparation: positions and lengths of a step. srt/model_executor/triton_ops/position.py,
// srt/layers/attention/triton_ops/metadata.py, jit_kernel/csrc/elementwise/*.cuh (release 0.5.14).
//
// Cache slots are left alone: write_req_to_token_pool_triton, and the page tables that the metadata kernels
// copy, hold nothing but numbers of slots, which only attention reads.
#include "effects/dtype.h"
#include "effects/mangled_name.h"
#include "effects/token_ids.h"
#include "effects/triton_kernel.h"

namespace revati::effects {
namespace {

using P = TritonParam;

// Longest sequence that is taken for real; far above any model's.
constexpr int64_t longest_sequence = int64_t{1} << 30;

// (positions, start of each sequence, prefix lengths, lengths of what is new). That there are prefixes is a
// constexpr: as the engine passes one per sequence, always.
void compute_position(const TritonArgs& args) {
    auto* const positions = args.pointer<int64_t>(0);
    std::vector<int64_t> last_positions;
    int64_t start = 0;
    for (uint32_t row = 0; row < args.grid(0); ++row) {
        const int64_t prefix = args.pointer<const int32_t>(2)[row];
        const int64_t length = args.pointer<const int32_t>(3)[row];
        check_index(args.kernel(), "prefix length", prefix, longest_sequence);
        check_index(args.kernel(), "sequence length", length, longest_sequence);
        for (int64_t k = 0; k < length; ++k) positions[start + k] = prefix + k;
        args.pointer<int32_t>(1)[row] = static_cast<int32_t>(start);
        last_positions.push_back(length > 0 ? prefix + length - 1 : 0);
        start += length;
    }
    begin_step(args.device(), std::move(last_positions));
}

// int32 lengths and their running sum from int64 lengths. The difference that is added (speculative decoding)
// is a constexpr that the launch does not show: taken for 0.
void write_lengths(const TritonArgs& args, int64_t rows, int32_t* lengths, int32_t* ends) {
    const auto* const sequence = args.pointer<const int64_t>(0);
    int64_t end = 0;
    for (int64_t row = 0; row < rows; ++row) {
        check_index(args.kernel(), "sequence length", sequence[row], longest_sequence);
        lengths[row] = static_cast<int32_t>(sequence[row]);
        ends[row] = static_cast<int32_t>(end);
        end += sequence[row];
    }
    ends[rows] = static_cast<int32_t>(end);
}

// (lengths, token table, its stride, requests, int32 lengths, their sums, page table, its stride, [rows],
// [pages]). Of all strides within a row, each 1, none is left; and neither are a single row or page.
void fused_metadata(const TritonArgs& args) {
    write_lengths(args, args.integer(8), args.pointer<int32_t>(4), args.pointer<int32_t>(5));
}

// Either a single row or a single page: the grid has the rows then.
void fused_metadata_of_grid(const TritonArgs& args) {
    write_lengths(args, args.grid(0), args.pointer<int32_t>(4), args.pointer<int32_t>(5));
}

const std::vector<P> metadata_base = {P::pointer, P::pointer, P::integer, P::pointer,
                                      P::pointer, P::pointer, P::pointer, P::integer};

std::vector<P> with_integers(std::vector<P> params, int count) {
    params.insert(params.end(), static_cast<size_t>(count), P::integer);
    return params;
}

// The shortest first: a pointer of Triton's own could be taken for one integer more.
void (*const fused_metadata_variants[])(const TritonArgs&) = {fused_metadata_of_grid, fused_metadata_of_grid,
                                                              fused_metadata};

const std::vector<TritonKernel> kernels = {
    {"compute_position_kernel", compute_position, {std::vector<P>(4, P::pointer)}},
    {"_fused_metadata_kernel_ps1_no_swa",
     nullptr,
     {metadata_base, with_integers(metadata_base, 1), with_integers(metadata_base, 2)},
     fused_metadata_variants},
};

const TritonRegistration triton(kernels);

// Kernels that SGLang compiles on the spot: templates over the integer type of their tensors.
struct JitKernel {
    const char* name;
    void (*run)(const LaunchView& launch, DType type);
    std::vector<uint32_t> arg_bytes;
};

// (positions, sequence lengths, rows): where each sequence's next token goes.
void clamp_position(const LaunchView& launch, DType type) {
    const auto rows = launch.arg<uint64_t>(2);
    if (rows > control_elements)
        refuse(*launch.kernel, "it has %llu rows", static_cast<unsigned long long>(rows));
    std::vector<int64_t> last_positions;
    for (uint64_t row = 0; row < rows; ++row) {
        const int64_t length = load_integer(type, launch.arg<const char*>(1) + row * bytes_of(type));
        check_index(*launch.kernel, "sequence length", length, longest_sequence);
        last_positions.push_back(length > 0 ? length - 1 : 0);
        store_integer(type, launch.arg<char*>(0) + row * bytes_of(type), last_positions.back());
    }
    begin_step(launch.device, std::move(last_positions));
}

// (token ids, ids of the step before, tokens): a negative id stands for one that the step before sampled.
void resolve_future_token_ids(const LaunchView& launch, DType type) {
    const auto tokens = launch.arg<uint64_t>(2);
    if (tokens > control_elements) return;
    for (uint64_t k = 0; k < tokens; ++k) {
        char* const id = launch.arg<char*>(0) + k * bytes_of(type);
        const int64_t value = load_integer(type, id);
        if (value >= 0) continue;
        const int64_t sampled = load_integer(type, launch.arg<const char*>(1) - value * bytes_of(type));
        check_index(*launch.kernel, "sampled token id", sampled, INT32_MAX);
        store_integer(type, id, sampled);
    }
}

const std::vector<JitKernel> jit_kernels = {
    {"clamp_position_kernel", clamp_position, {8, 8, 8}},
    {"resolve_future_token_ids_kernel", resolve_future_token_ids, {8, 8, 8}},
};

struct Bound {
    Effect effect;
    const JitKernel* known = nullptr;
    DType type = DType::i64;
};

void run_bound(const LaunchView& launch, const void* user) {
    const Bound& bound = *static_cast<const Bound*>(user);
    bound.known->run(launch, bound.type);
}

const Effect* match_jit(const Kernel& kernel) {
    for (const JitKernel& known : jit_kernels) {
        if (kernel.name.find(known.name) == std::string::npos) continue;
        const TemplateName name = parse_template(demangle(kernel.name));
        if (!name.is(known.name)) continue;
        const DType type = name.arguments.size() == 1 ? dtype_of_type(name.arguments[0]) : DType::f32;
        if (!is_integer(type)) refuse(kernel, "its element type is not an integer that is known");
        auto* const bound = new Bound;
        bound->known = &known;
        bound->type = type;
        bound->effect.function = run_bound;
        bound->effect.user = bound;
        bound->effect.arg_bytes = known.arg_bytes;
        return &bound->effect;
    }
    return nullptr;
}

const Registration jit(match_jit);

}  // namespace
}  // namespace revati::effects
