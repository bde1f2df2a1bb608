// torch.topk: the indices that it returns (log-probability tables, routing) are valid, distinct and in order;
// the values are zero.
#include <cstring>

#include "effects/functors.h"
#include "effects/layouts.h"
#include "effects/token_ids.h"

namespace revati::effects {
namespace {

struct TopK {
    Effect effect;
    int element = 0;
    bool multi_block = false;
};

// From this slice length on, indices are token ids; they start where drawn ids start.
constexpr int64_t vocabulary_slice = 4096;
constexpr int64_t first_token = 256;

// sbtopk::gatherTopK(input, slice, k, largest, slices, input stride, values, values stride, indices, indices
// stride, kth values) mbtopk::gatherTopK(input, slice, k, largest, slices, input stride, values, values
// stride, indices, indices stride, ...)
void run_topk(const LaunchView& launch, const void* user) {
    const TopK& kind = *static_cast<const TopK*>(user);
    const int64_t slice = launch.arg<uint32_t>(1), k = launch.arg<uint32_t>(2),
                  slices = launch.arg<uint32_t>(4);
    if (k > slice)
        refuse(*launch.kernel, "it takes %lld of %lld values", static_cast<long long>(k),
               static_cast<long long>(slice));
    if (slices * k > control_elements / 4) return;
    const auto values = launch.arg<TensorInfo>(6), indices = launch.arg<TensorInfo>(8);
    const uint64_t value_stride = launch.arg<uint32_t>(7), index_stride = launch.arg<uint32_t>(9);
    const int64_t first = slice >= vocabulary_slice && first_token + k <= slice ? first_token : 0;
    float value = 0;
    if (kind.element == 4) is_log_probability(launch.device, launch.arg<TensorInfo>(0).data, &value);
    for (int64_t row = 0; row < slices; ++row) {
        for (int64_t j = 0; j < k; ++j) {
            char* const place = values.data + (values.offset(row) + j * value_stride) * kind.element;
            if (kind.element == 4)
                write(place, value);
            else
                memset(place, 0, kind.element);
            write<int64_t>(indices.data + (indices.offset(row) + j * index_stride) * 8, first + j);
        }
    }
}

const Effect* match_topk(const Kernel& kernel) {
    if (kernel.name.find("10gatherTopK") == std::string::npos) return nullptr;
    const std::string text = demangle(kernel.name);
    const TemplateName name = parse_template(text);
    if (!name.is("gatherTopK") || name.arguments.size() < 3 || name.arguments[1] != "unsigned int")
        return nullptr;
    auto* const kind = new TopK;
    kind->multi_block = text.find("mbtopk::") != std::string::npos;
    kind->element = bytes_of(dtype_of_type(name.arguments[0]));
    if (kind->element == 0) {
        delete kind;
        return nullptr;
    }
    kind->effect.function = run_topk;
    kind->effect.user = kind;
    kind->effect.arg_bytes = {sizeof(TensorInfo), 4, 4, 1, 4, 4, sizeof(TensorInfo), 4,
                              sizeof(TensorInfo), 4};
    if (kind->multi_block) {
        kind->effect.arg_bytes.insert(kind->effect.arg_bytes.end(), {4, 4, 8, 8, 8, 4});
    } else {
        kind->effect.arg_bytes.push_back(8);
    }
    return &kind->effect;
}

const Registration topk(match_topk);

}  // namespace
}  // namespace revati::effects
