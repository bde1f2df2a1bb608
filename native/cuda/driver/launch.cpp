// Kernel launches.
#include <vector>

#include "cuda/common/attributes.h"
#include "cuda/driver/api.h"

namespace revati::driver {
namespace {

// Splits the one buffer of the `extra` form into the pointers of the usual form.
class UnpackedArguments {
  public:
    CUresult read(const device::Kernel& kernel, void** extra) {
        const uint8_t* buffer = nullptr;
        size_t bytes = 0;
        for (size_t index = 0; extra[index] != CU_LAUNCH_PARAM_END; index += 2) {
            if (extra[index] == CU_LAUNCH_PARAM_BUFFER_POINTER) {
                buffer = static_cast<const uint8_t*>(extra[index + 1]);
            } else if (extra[index] == CU_LAUNCH_PARAM_BUFFER_SIZE) {
                bytes = *static_cast<const size_t*>(extra[index + 1]);
            } else {
                return CUDA_ERROR_INVALID_VALUE;
            }
        }
        const device::ParamLayout& params = kernel.params;
        if (!params.known || params.offsets.size() != params.bytes.size()) return CUDA_ERROR_NOT_SUPPORTED;
        pointers_.reserve(params.bytes.size());
        for (size_t index = 0; index < params.bytes.size(); ++index) {
            if (buffer == nullptr || params.offsets[index] + params.bytes[index] > bytes)
                return CUDA_ERROR_INVALID_VALUE;
            pointers_.push_back(const_cast<uint8_t*>(buffer + params.offsets[index]));
        }
        return CUDA_SUCCESS;
    }
    void** pointers() { return pointers_.data(); }

  private:
    std::vector<void*> pointers_;
};

CUresult submit(CUfunction function, const device::LaunchConfig& config, CUstream handle, void** arguments,
                void** extra) {
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (arguments != nullptr && extra != nullptr) return CUDA_ERROR_INVALID_VALUE;
    device::Stream* stream = to_stream(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    device::Kernel* kernel = to_kernel(function);
    bool too_large = false;
    auto geometry =
        cuda::check_geometry(kernel->attributes, config.grid, config.block, config.shared_bytes, &too_large);
    if (geometry != device::Status::ok) return result(geometry);
    if (extra == nullptr) return result(device::launch(stream, kernel, config, arguments));
    UnpackedArguments unpacked;
    CUresult error = unpacked.read(*kernel, extra);
    return error != CUDA_SUCCESS ? error
                                 : result(device::launch(stream, kernel, config, unpacked.pointers()));
}

CUresult apply_attributes(const CUlaunchConfig& given, device::LaunchConfig* config) {
    for (unsigned index = 0; index < given.numAttrs; ++index) {
        const CUlaunchAttribute& attribute = given.attrs[index];
        switch (attribute.id) {
            case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
                config->cluster = {attribute.value.clusterDim.x, attribute.value.clusterDim.y,
                                   attribute.value.clusterDim.z};
                break;
            case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
                config->cooperative = attribute.value.cooperative != 0;
                break;
            // Hints that change when work runs, within what the model of a stream's time can express.
            case CU_LAUNCH_ATTRIBUTE_IGNORE:
            case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
            case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
            case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
            case CU_LAUNCH_ATTRIBUTE_PRIORITY:
            case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
            case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
            case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
            case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
                break;
            default:
                device::log_once("a kernel launch has attribute %d, which is not supported", attribute.id);
                return CUDA_ERROR_NOT_SUPPORTED;
        }
    }
    return CUDA_SUCCESS;
}

}  // namespace

REVATI_DRIVER cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y,
                             unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                             unsigned int block_z, unsigned int shared_bytes, CUstream stream,
                             void** arguments, void** extra) {
    device::LaunchConfig config;
    config.grid = {grid_x, grid_y, grid_z};
    config.block = {block_x, block_y, block_z};
    config.shared_bytes = shared_bytes;
    return submit(function, config, stream, arguments, extra);
}

REVATI_DRIVER cuLaunchCooperativeKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y,
                                        unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                                        unsigned int block_z, unsigned int shared_bytes, CUstream stream,
                                        void** arguments) {
    device::LaunchConfig config;
    config.grid = {grid_x, grid_y, grid_z};
    config.block = {block_x, block_y, block_z};
    config.shared_bytes = shared_bytes;
    config.cooperative = true;
    return submit(function, config, stream, arguments, nullptr);
}

REVATI_DRIVER cuLaunchKernelEx(const CUlaunchConfig* given, CUfunction function, void** arguments,
                               void** extra) {
    if (given == nullptr || (given->numAttrs != 0 && given->attrs == nullptr))
        return CUDA_ERROR_INVALID_VALUE;
    device::LaunchConfig config;
    config.grid = {given->gridDimX, given->gridDimY, given->gridDimZ};
    config.block = {given->blockDimX, given->blockDimY, given->blockDimZ};
    config.shared_bytes = given->sharedMemBytes;
    CUresult error = apply_attributes(*given, &config);
    return error != CUDA_SUCCESS ? error : submit(function, config, given->hStream, arguments, extra);
}

REVATI_DRIVER cuLaunchHostFunc(CUstream handle, CUhostFn function, void* user) {
    if (function == nullptr) return CUDA_ERROR_INVALID_VALUE;
    device::Stream* stream = to_stream(handle);
    return stream == nullptr ? CUDA_ERROR_INVALID_HANDLE : result(device::call_host(stream, function, user));
}

}  // namespace revati::driver
