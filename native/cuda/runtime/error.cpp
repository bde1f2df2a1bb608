// The thread's last error, and names and texts of errors.
#include "cuda/runtime/runtime.h"
#include "device/log.h"

namespace revati::cuda::runtime {

thread_local cudaError_t last_error = cudaSuccess;

}  // namespace revati::cuda::runtime

using namespace revati::cuda;
using namespace revati::cuda::runtime;

// Behind every generated stub (symbols.toml, `refuse`).
extern "C" __attribute__((visibility("hidden"))) int revati_runtime_refuse(const char* name, int code) {
    return finish(static_cast<cudaError_t>(revati_unsupported("runtime", name, code)));
}

cudaError_t cudaGetLastError() {
    const cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError() {
    return last_error;
}

const char* cudaGetErrorName(cudaError_t error) {
    const char* const name = runtime_error_name(error);
    return name != nullptr ? name : "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
    const char* const text = error_text(error);
    return text != nullptr ? text : "unrecognized error code";
}
