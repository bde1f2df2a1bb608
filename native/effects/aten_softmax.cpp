// log_softmax over a vocabulary (aten/src/ATen/native/cuda/SoftMax.cu, PersistentSoftmax.cuh): nothing is
// computed; the tensor is remembered as one of uniform log-probabilities, for the kernels that pick values
// from it.
#include "effects/effects.h"
#include "effects/mangled_name.h"
#include "effects/token_ids.h"

namespace revati::effects {
namespace {

// cunn_SoftMaxForward*(float* out, const float* in, int or long classes), one block per row.
template <typename Count>
void run_block_log_softmax(const LaunchView& launch, const void*) {
    const int64_t classes = launch.arg<Count>(2);
    note_log_probabilities(launch.device, launch.arg<void*>(0), 4 * classes * launch.grid.x, classes);
}

// softmax_warp_forward(float* out, const float* in, int rows, int stride, int classes, ...): up to 1024
// classes.
void run_warp_log_softmax(const LaunchView& launch, const void*) {
    const int64_t rows = launch.arg<int32_t>(2), classes = launch.arg<int32_t>(4);
    note_log_probabilities(launch.device, launch.arg<void*>(0), 4 * classes * rows, classes);
}

const Effect block_log_softmax{run_block_log_softmax<int32_t>, nullptr, {8, 8, 4}};
const Effect wide_block_log_softmax{run_block_log_softmax<int64_t>, nullptr, {8, 8, 8}};
const Effect warp_log_softmax{run_warp_log_softmax, nullptr, {8, 8, 4, 4, 4, 8, 4, 1}};

const Effect* match_log_softmax(const Kernel& kernel) {
    if (kernel.name.find("cunn_SoftMaxForward") != std::string::npos) {
        const TemplateName name = parse_template(demangle(kernel.name));
        if (kernel.name.find("LogSoftMaxForwardEpilogue") == std::string::npos) return nullptr;
        if (name.rest == "(float*, float const*, int)") return &block_log_softmax;
        return name.rest == "(float*, float const*, long)" ? &wide_block_log_softmax : nullptr;
    }
    if (kernel.name.find("softmax_warp_forward") == std::string::npos) return nullptr;
    const TemplateName name = parse_template(demangle(kernel.name));
    // <input, output, accumulator, log2 of the classes, logarithm, masked>
    const bool known =
        name.arguments.size() == 6 && name.arguments[1] == "float" && name.arguments[4] == "true";
    return known ? &warp_log_softmax : nullptr;
}

const Registration log_softmax(match_log_softmax);

}  // namespace
}  // namespace revati::effects
