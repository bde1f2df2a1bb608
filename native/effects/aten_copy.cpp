// torch.cat and torch.stack (aten/src/ATen/native/cuda/Shape.cu). Plain and casting copies are elementwise
// kernels.
#include <cstdlib>
#include <cstring>

#include "effects/functors.h"
#include "effects/layouts.h"

namespace revati::effects {
namespace {

struct Cat {
    Effect effect;
    int element = 0, dims = 1, batch = 0;
    bool contiguous_inputs = true;
    int vector_elements = 1;  // CatArrayBatchedCopy_vectorized moves several elements at once

    // CatArrInputTensorMetadata<T, unsigned, batch, shapes>: pointers, offsets, sizes along the dimension,
    // element counts, flags, shapes.
    size_t offsets_at() const { return size_t{8} * batch; }
    size_t sizes_at() const { return offsets_at() + size_t{4} * batch; }
    size_t counts_at() const { return sizes_at() + size_t{4} * batch; }
    size_t flags_at() const { return counts_at() + size_t{4} * batch; }
    size_t shapes_at() const { return align_up(flags_at() + batch, 4); }
    size_t bytes() const {
        return align_up(shapes_at() + sizeof(CatShape) * (contiguous_inputs ? 1 : batch), 8);
    }
};

struct CatInput {
    const char* data;
    uint32_t offset, size, elements;
    bool contiguous;
};

CatInput input_of(const Cat& cat, const char* metadata, uint32_t index) {
    return {read<const char*>(metadata + size_t{8} * index),
            read<uint32_t>(metadata + cat.offsets_at() + size_t{4} * index),
            read<uint32_t>(metadata + cat.sizes_at() + size_t{4} * index),
            read<uint32_t>(metadata + cat.counts_at() + size_t{4} * index),
            read<bool>(metadata + cat.flags_at() + index)};
}

// `step` is the output's stride along the dimension, or the size behind it for the vectorised kernel.
void copy_input(const Cat& cat, const CatInput& input, const CatShape& in_shape, const CatShape& shape,
                int dim, uint32_t step, char* out) {
    const uint32_t lanes = cat.vector_elements;
    const bool vectorised = lanes > 1;
    const size_t unit = size_t(cat.element) * lanes;
    const uint32_t start = vectorised ? input.offset * step / lanes : input.offset * step;
    const uint32_t size = vectorised ? input.size * step / lanes : input.size;
    for (uint32_t k = 0; k < input.elements / lanes; ++k) {
        const uint32_t from = input.contiguous || vectorised ? k : in_shape.offset(cat.dims, size, dim, k);
        memcpy(out + (size_t{start} + shape.offset(cat.dims, size, dim, k)) * unit, input.data + from * unit,
               unit);
    }
}

void run_cat(const LaunchView& launch, const void* user) {
    const Cat& cat = *static_cast<const Cat*>(user);
    const char* const metadata = static_cast<const char*>(launch.args[1]);
    const auto shape = launch.arg<CatShape>(2);
    const int dim = launch.arg<int32_t>(3);
    const uint32_t step = launch.arg<uint32_t>(4);
    const uint32_t inputs = launch.grid.y;
    if (inputs > static_cast<uint32_t>(cat.batch))
        refuse(*launch.kernel, "it concatenates %u tensors, at most %d fit", inputs, cat.batch);
    int64_t bytes = 0;
    for (uint32_t k = 0; k < inputs; ++k) bytes += int64_t{input_of(cat, metadata, k).elements} * cat.element;
    if (bytes > control_bytes) return;
    for (uint32_t k = 0; k < inputs; ++k) {
        const size_t at = cat.shapes_at() + (cat.contiguous_inputs ? 0 : sizeof(CatShape) * k);
        copy_input(cat, input_of(cat, metadata, k), read<CatShape>(metadata + at), shape, dim, step,
                   launch.arg<char*>(0));
    }
}

// CatArrayBatchedCopy[_contig | _alignedK_contig | _vectorized]<OpaqueType<bytes>, unsigned, dims, batch,
// shapes [, alignment [, lanes]]>
const Effect* match_cat(const Kernel& kernel) {
    if (kernel.name.find("CatArrayBatchedCopy") == std::string::npos) return nullptr;
    const TemplateName name = parse_template(demangle(kernel.name));
    if (name.arguments.size() < 5 || name.arguments[1] != "unsigned int") return nullptr;
    const TemplateName element = parse_template(name.arguments[0]);
    auto* const cat = new Cat;
    cat->element = element.is("OpaqueType") && !element.arguments.empty()
                       ? atoi(element.arguments[0].c_str())
                       : bytes_of(dtype_of_type(name.arguments[0]));
    cat->dims = atoi(name.arguments[2].c_str());
    cat->batch = atoi(name.arguments[3].c_str());
    cat->contiguous_inputs = atoi(name.arguments[4].c_str()) == 1;
    if (name.is("CatArrayBatchedCopy_vectorized") && name.arguments.size() == 7)
        cat->vector_elements = atoi(name.arguments[6].c_str());
    const bool known = cat->element > 0 && cat->dims >= 1 && cat->dims <= cat_max_dims && cat->batch > 0 &&
                       cat->vector_elements > 0;
    if (!known) {
        delete cat;
        return nullptr;
    }
    cat->effect.function = run_cat;
    cat->effect.user = cat;
    cat->effect.arg_bytes = {8, static_cast<uint32_t>(cat->bytes()), sizeof(CatShape), 4, 4};
    return &cat->effect;
}

const Registration cat(match_cat);

}  // namespace
}  // namespace revati::effects
