// torch's indexing kernels: gather, scatter, index, index_put, index_fill, index_copy, index_select,
// embedding.
//
// Indices are control-plane data and are always checked, also where the rows that they select are too large
// to be moved.
#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "effects/functors.h"
#include "effects/layouts.h"
#include "effects/token_ids.h"

namespace revati::effects {
namespace {

// Element size of "at::native::OpaqueType<8>", or of a plain type; 0 if unknown.
int element_bytes(const std::string& type) {
    const TemplateName name = parse_template(type);
    if (name.is("OpaqueType") && name.arguments.size() == 1) return atoi(name.arguments[0].c_str());
    return bytes_of(dtype_of_type(type));
}

uint32_t u32(size_t value) {
    return static_cast<uint32_t>(value);
}

// ---- _scatter_gather_elementwise_kernel(int n, lambda), aten/src/ATen/native/cuda/ScatterGatherKernel.cu
// ----

struct ScatterGather {
    Effect effect;
    int element = 0;
    bool scatter = false, fills = false, adds = false;
    int index_bytes = 8;
    int operands() const { return fills ? 2 : 3; }
};

// The lambda's captures behind the offset calculator: index pointer, extent and (empty) functor, destination,
// stride of the indexed dimension in elements, number of elements of the destination, source (or the value to
// fill in).
struct ScatterGatherState {
    const char* index;
    int64_t extent;
    int64_t functor;
    char* self;
    int64_t stride;
    int64_t self_elements;
    const char* source;
};
static_assert(sizeof(ScatterGatherState) == 56, "captures are packed by eight");

int64_t read_index(const char* pointer, int bytes) {
    return bytes == 4 ? read<int32_t>(pointer) : read<int64_t>(pointer);
}

void add_element(int element, char* destination, const char* source) {
    if (element == 8) {
        write(destination, read<int64_t>(destination) + read<int64_t>(source));
    } else if (element == 4) {
        write(destination, read<int32_t>(destination) + read<int32_t>(source));
    }
}

void run_scatter_gather(const LaunchView& launch, const void* user) {
    const ScatterGather& kind = *static_cast<const ScatterGather*>(user);
    const int64_t count = launch.arg<int32_t>(0);
    // Elements of up to 4 bytes may be logits, whose indices come from a sort that was not executed.
    if (count > (kind.element > 4 ? control_elements : control_float_elements)) return;
    const char* const lambda = static_cast<const char*>(launch.args[1]);
    const OffsetCalculator calculator(lambda, kind.operands());
    if (!calculator.plausible())
        refuse(*launch.kernel, "its offset calculator has %d dimensions", calculator.dims());
    const char* const captures = lambda + align_up(OffsetCalculator::bytes(kind.operands()), 8);
    const auto state = read<ScatterGatherState>(captures);
    const char* const value = captures + offsetof(ScatterGatherState, source);
    float uniform = 0;
    const bool log_probabilities =
        !kind.scatter && kind.element == 4 && is_log_probability(launch.device, state.source, &uniform);
    for (int64_t k = 0; k < count; ++k) {
        const char* const place = state.index + calculator.offset(k, kind.fills ? 1 : 2);
        const int64_t index = read_index(place, kind.index_bytes);
        check_index(*launch.kernel, "index", index, state.extent);
        const int64_t shift = index * state.stride * kind.element;
        char* const self = state.self + calculator.offset(k, 0) + (kind.scatter ? shift : 0);
        const char* const source = log_probabilities ? reinterpret_cast<const char*>(&uniform)
                                   : kind.fills
                                       ? value
                                       : state.source + calculator.offset(k, 1) + (kind.scatter ? 0 : shift);
        if (kind.adds) {
            add_element(kind.element, self, source);
        } else {
            memcpy(self, source, kind.element);
        }
    }
}

const Effect* match_scatter_gather(const Kernel& kernel) {
    if (kernel.name.find("_scatter_gather_elementwise_kernel") == std::string::npos) return nullptr;
    const TemplateName outer = parse_template(demangle(kernel.name));
    if (outer.arguments.size() != 3) return nullptr;
    // "at::native::_cuda_scatter_gather_internal_kernel<false, at::native::OpaqueType<8>,
    // long>::operator()<at::native::TensorAssign>(...)"
    const TemplateName maker = parse_template(outer.arguments[2]);
    auto* const kind = new ScatterGather;
    std::string element, index = "long";
    if (maker.is("_cuda_scatter_gather_internal_kernel") && maker.arguments.size() >= 2) {
        kind->scatter = maker.arguments[0] == "true";
        element = maker.arguments[1];
        if (maker.arguments.size() > 2) index = maker.arguments[2];
    } else if (maker.is("_cuda_scatter_fill_internal_kernel") && !maker.arguments.empty()) {
        kind->scatter = kind->fills = true;
        element = maker.arguments[0];
        if (maker.arguments.size() > 1) index = maker.arguments[1];
    }
    kind->element = element_bytes(element);
    kind->index_bytes = bytes_of(dtype_of_type(index));
    kind->adds = maker.rest.find("ReduceAdd") != std::string::npos;
    const bool assigns = maker.rest.find("TensorAssign") != std::string::npos;
    const bool integer = parse_template(element).is("OpaqueType") || is_integer(dtype_of_type(element));
    if (kind->element == 0 || kind->index_bytes == 0 || !integer || (!assigns && !kind->adds)) {
        delete kind;
        return nullptr;
    }
    kind->effect.function = run_scatter_gather;
    kind->effect.user = kind;
    const size_t captures = align_up(OffsetCalculator::bytes(kind->operands()), 8);
    const size_t tail = kind->fills ? align_up(offsetof(ScatterGatherState, source) + kind->element, 8)
                                    : sizeof(ScatterGatherState);
    kind->effect.arg_bytes = {4, u32(captures + tail)};
    return &kind->effect;
}

// ---- index_elementwise_kernel(int64_t n, lambda), aten/src/ATen/native/cuda/IndexKernel.cu ----

enum class IndexKind : uint8_t { get, put, fill, copy };

struct IndexProgram {
    Effect effect;
    IndexKind kind = IndexKind::get;
    int element = 0;
};

// Captures of gpu_index_kernel's lambda behind an OffsetCalculator<3>.
struct IndexState {
    char* out;
    const char* in;
    int64_t indices;
    const char* index[max_dims];
    int64_t sizes[max_dims];
    int64_t strides[max_dims];  // bytes
};

void run_index(const LaunchView& launch, const void* user) {
    const IndexProgram& program = *static_cast<const IndexProgram*>(user);
    const int64_t count = launch.arg<int64_t>(0);
    if (count > control_elements) return;
    const char* const lambda = static_cast<const char*>(launch.args[1]);
    const OffsetCalculator calculator(lambda, 3);
    const char* const captures = lambda + align_up(OffsetCalculator::bytes(3), 8);
    const char* const sizes = captures + offsetof(IndexState, sizes);
    const char* const strides = captures + offsetof(IndexState, strides);
    const int64_t indices = read<int32_t>(captures + offsetof(IndexState, indices));
    if (!calculator.plausible() || indices < 1 || indices > max_dims)
        refuse(*launch.kernel, "it has %d indices", static_cast<int>(indices));
    const bool moves = count * program.element <= control_bytes;
    for (int64_t k = 0; k < count; ++k) {
        int64_t shift = 0;
        for (int64_t d = 0; d < indices; ++d) {
            const auto* const place =
                read<const char*>(captures + offsetof(IndexState, index) + 8 * d) + calculator.offset(k, 2);
            const int64_t extent = read<int64_t>(sizes + 8 * d);
            int64_t index = read<int64_t>(place);
            if (index < 0) index += extent;
            check_index(*launch.kernel, "index", index, extent);
            shift += index * read<int64_t>(strides + 8 * d);
        }
        if (!moves) continue;
        char* const out = read<char*>(captures) + calculator.offset(k, 0);
        const char* const in = read<const char*>(captures + 8) + calculator.offset(k, 1);
        if (program.kind == IndexKind::get) {
            memcpy(out, in + shift, program.element);
        } else {
            memcpy(out + shift, in, program.element);
        }
    }
}

// index_fill: OffsetCalculator<2>, then self, indices, extent, stride (elements), value. index_copy:
// OffsetCalculator<3>, then self, indices, source, extent, stride.
void run_index_fill_copy(const LaunchView& launch, const void* user) {
    const IndexProgram& program = *static_cast<const IndexProgram*>(user);
    const int64_t count = launch.arg<int64_t>(0);
    if (count * program.element > control_bytes) return;
    const bool fills = program.kind == IndexKind::fill;
    const char* const lambda = static_cast<const char*>(launch.args[1]);
    const OffsetCalculator calculator(lambda, fills ? 2 : 3);
    if (!calculator.plausible())
        refuse(*launch.kernel, "its offset calculator has %d dimensions", calculator.dims());
    const char* const captures = lambda + align_up(OffsetCalculator::bytes(fills ? 2 : 3), 8);
    const size_t sizes_at = fills ? 16 : 24;
    const int64_t extent = read<int64_t>(captures + sizes_at);
    const int64_t stride = read<int64_t>(captures + sizes_at + 8);
    for (int64_t k = 0; k < count; ++k) {
        int64_t index = read<int64_t>(read<const char*>(captures + 8) + calculator.offset(k, 1));
        if (index < 0 && fills) index += extent;
        check_index(*launch.kernel, "index", index, extent);
        char* const self = read<char*>(captures) + calculator.offset(k, 0) + index * stride * program.element;
        const char* const source =
            fills ? captures + sizes_at + 16 : read<const char*>(captures + 16) + calculator.offset(k, 2);
        memcpy(self, source, program.element);
    }
}

bool set_index_kind(const TemplateName& maker, IndexProgram* program) {
    if (maker.arguments.empty()) return false;
    std::string element = maker.arguments[0];
    if (maker.is("gpu_index_kernel")) {
        const TemplateName inner = parse_template(element);
        if (inner.arguments.empty()) return false;
        if (inner.is("index_put_kernel_impl")) {
            program->kind = IndexKind::put;
        } else if (!inner.is("index_kernel_impl")) {
            return false;
        }
        element = inner.arguments[0];
    } else if (maker.is("index_fill_kernel_impl")) {
        program->kind = IndexKind::fill;
    } else if (maker.is("index_copy_kernel_impl")) {
        program->kind = IndexKind::copy;
    } else {
        return false;
    }
    program->element = element_bytes(element);
    return program->element != 0;
}

const Effect* match_index(const Kernel& kernel) {
    if (kernel.name.find("index_elementwise_kernel") == std::string::npos) return nullptr;
    const TemplateName outer = parse_template(demangle(kernel.name));
    if (outer.arguments.size() != 3) return nullptr;
    auto* const program = new IndexProgram;
    if (!set_index_kind(parse_template(outer.arguments[2]), program)) {
        delete program;
        return nullptr;
    }
    const bool general = program->kind == IndexKind::get || program->kind == IndexKind::put;
    const bool fills = program->kind == IndexKind::fill;
    const size_t captures = align_up(OffsetCalculator::bytes(fills ? 2 : 3), 8);
    const size_t tail = general ? sizeof(IndexState) + 8 : fills ? align_up(32 + program->element, 8) : 40;
    program->effect.function = general ? run_index : run_index_fill_copy;
    program->effect.user = program;
    program->effect.arg_bytes = {8, u32(captures + tail)};
    return &program->effect;
}

// ---- indexSelectSmallIndex / LargeIndex(dst, src, indices, dst dim, src dim, ...),
// aten/src/ATen/native/cuda/Indexing.cu ----

struct IndexSelect {
    Effect effect;
    int element = 0, index_bytes = 8;
    bool real = false, large = false;
};

void run_index_select(const LaunchView& launch, const void* user) {
    const IndexSelect& kind = *static_cast<const IndexSelect*>(user);
    const auto destination = launch.arg<TensorInfo>(0), source = launch.arg<TensorInfo>(1),
               indices = launch.arg<TensorInfo>(2);
    const int to_dim = launch.arg<int32_t>(3), from_dim = launch.arg<int32_t>(4);
    // Small: (inner size, extent). Large: (total size, inner size, extent).
    const int64_t inner = launch.arg<uint32_t>(kind.large ? 6 : 5);
    const int64_t extent = launch.arg<int64_t>(kind.large ? 7 : 6);
    const int64_t count =
        kind.large ? launch.arg<uint32_t>(5) / std::max<int64_t>(inner, 1) : indices.sizes[0];
    if (count > control_elements) return;
    const int64_t elements = count * inner;
    const bool moves = elements <= (kind.real ? control_float_elements : control_elements);
    for (int64_t k = 0; k < count; ++k) {
        const int64_t index =
            read_index(indices.data + indices.offset(k) * kind.index_bytes, kind.index_bytes);
        check_index(*launch.kernel, "index (a token id, in an embedding)", index, extent);
        for (int64_t j = 0; moves && j < inner; ++j) {
            const uint64_t to = destination.offset(j) + uint64_t(k) * destination.strides[to_dim];
            const uint64_t from = source.offset(j) + uint64_t(index) * source.strides[from_dim];
            memcpy(destination.data + to * kind.element, source.data + from * kind.element, kind.element);
        }
    }
}

const Effect* match_index_select(const Kernel& kernel) {
    const bool large = kernel.name.find("indexSelectLargeIndex") != std::string::npos;
    if (!large && kernel.name.find("indexSelectSmallIndex") == std::string::npos) return nullptr;
    const TemplateName name = parse_template(demangle(kernel.name));
    if (name.arguments.size() < 3 || name.arguments[2] != "unsigned int") return nullptr;
    auto* const kind = new IndexSelect;
    kind->element = element_bytes(name.arguments[0]);
    kind->index_bytes = bytes_of(dtype_of_type(name.arguments[1]));
    kind->real =
        !is_integer(dtype_of_type(name.arguments[0])) && !parse_template(name.arguments[0]).is("OpaqueType");
    kind->large = large;
    if (kind->element == 0 || kind->index_bytes == 0) {
        delete kind;
        return nullptr;
    }
    kind->effect.function = run_index_select;
    kind->effect.user = kind;
    kind->effect.arg_bytes = {sizeof(TensorInfo), sizeof(TensorInfo), sizeof(TensorInfo), 4, 4, 4, 8};
    if (large)
        kind->effect.arg_bytes = {sizeof(TensorInfo), sizeof(TensorInfo), sizeof(TensorInfo), 4, 4, 4, 4, 8};
    return &kind->effect;
}

// ---- vectorized_gather_kernel: rows by index, aten/src/ATen/native/cuda/IndexKernelUtils.cu ----

struct RowGather {
    Effect effect;
    int index_bytes = 8;
};

void run_row_gather(const LaunchView& launch, const void* user) {
    const int index_bytes = static_cast<const RowGather*>(user)->index_bytes;
    char* const out = launch.arg<char*>(0);
    const char* const in = launch.arg<const char*>(1);
    const char* const indices = launch.arg<const char*>(2);
    const int64_t count = launch.arg<int32_t>(3);
    const int64_t row_bytes = launch.arg<int64_t>(4), extent = launch.arg<int64_t>(5);
    const int64_t in_stride = launch.arg<int64_t>(6), out_stride = launch.arg<int64_t>(7);
    const bool wraps = launch.arg<bool>(8);
    const bool moves = row_bytes <= control_row_bytes && count * row_bytes <= control_bytes;
    for (int64_t k = 0; k < count; ++k) {
        int64_t index = read_index(indices + k * index_bytes, index_bytes);
        if (wraps && index < 0) index += extent;
        check_index(*launch.kernel, "index (a token id, in an embedding)", index, extent);
        if (moves) memcpy(out + k * out_stride, in + index * in_stride, row_bytes);
    }
}

const Effect* match_row_gather(const Kernel& kernel) {
    if (kernel.name.find("24vectorized_gather_kernel") == std::string::npos) return nullptr;
    const TemplateName name = parse_template(demangle(kernel.name));
    if (!name.is("vectorized_gather_kernel") || name.arguments.size() != 2) return nullptr;
    auto* const kind = new RowGather;
    kind->index_bytes = bytes_of(dtype_of_type(name.arguments[1]));
    if (kind->index_bytes == 0) {
        delete kind;
        return nullptr;
    }
    kind->effect.function = run_row_gather;
    kind->effect.user = kind;
    kind->effect.arg_bytes = {8, 8, 8, 4, 8, 8, 8, 8, 1};
    return &kind->effect;
}

const Registration scatter_gather(match_scatter_gather);
const Registration index(match_index);
const Registration index_select(match_index_select);
const Registration row_gather(match_row_gather);

}  // namespace
}  // namespace revati::effects
