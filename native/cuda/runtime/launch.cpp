// The launch paths: compiled <<<>>> calls of CUDA 12 (cudaLaunchKernel) and CUDA 13 (__cudaLaunchKernel), and
// the extended ones.
#include "cuda/common/attributes.h"
#include "cuda/runtime/registration.h"

using namespace revati;
using namespace revati::cuda;
using namespace revati::cuda::runtime;

namespace {

// What a compiled `kernel<<<grid, block, shared, stream>>>(...)` puts down before its arguments are
// evaluated. Arguments may launch, too.
struct PendingConfiguration {
    dim3 grid, block;
    size_t shared_bytes;
    cudaStream_t stream;
};
constexpr int max_pending = 16;
thread_local PendingConfiguration pending[max_pending];
thread_local int pending_count = 0;

device::Dim3 to_device(const dim3& d) {
    return {d.x, d.y, d.z};
}

cudaError_t geometry_error(bool too_large, const device::Kernel* kernel, const device::LaunchConfig& config) {
    if (!too_large) return cudaErrorInvalidConfiguration;
    const bool shared =
        config.shared_bytes > static_cast<uint32_t>(kernel->attributes.max_dynamic_shared_bytes);
    return shared ? cudaErrorInvalidValue : cudaErrorLaunchOutOfResources;
}

// Everything but the search for the kernel. `config` is complete.
inline cudaError_t submit(device::Kernel* kernel, const device::LaunchConfig& config, size_t shared_bytes,
                          cudaStream_t handle, void** args) {
    Stream* stream = nullptr;
    Status status = resolve_stream(handle, &stream);
    if (__builtin_expect(status != Status::ok, 0)) return finish(status);
    if (__builtin_expect(kernel == nullptr, 0)) return finish(cudaErrorInvalidDeviceFunction);
    bool too_large = false;
    status = check_geometry(kernel->attributes, config.grid, config.block, shared_bytes, &too_large);
    if (__builtin_expect(status != Status::ok, 0)) return finish(geometry_error(too_large, kernel, config));
    // A default stream is the current device's; another one may belong to another device.
    const bool foreign = handle > cudaStreamPerThread && stream->device() != device::current_device();
    if (__builtin_expect(foreign, 0)) return finish(cudaErrorInvalidResourceHandle);
    return finish(device::launch(stream, kernel, config, args));
}

inline cudaError_t launch_plain(device::Kernel* kernel, const dim3& grid, const dim3& block, void** args,
                                size_t shared_bytes, cudaStream_t handle, bool cooperative) {
    device::LaunchConfig config;
    config.grid = to_device(grid);
    config.block = to_device(block);
    config.shared_bytes = static_cast<uint32_t>(shared_bytes);
    config.cooperative = cooperative;
    return submit(kernel, config, shared_bytes, handle, args);
}

// Blocks of a cooperative launch wait for each other: all of them must fit at once.
bool fits_at_once(const device::Kernel* kernel, const device::LaunchConfig& config) {
    const auto threads = static_cast<int>(config.block.x * config.block.y * config.block.z);
    const uint64_t blocks = static_cast<uint64_t>(config.grid.x) * config.grid.y * config.grid.z;
    return blocks <=
           static_cast<uint64_t>(resident_blocks(kernel->attributes, threads, config.shared_bytes)) *
               device::gpu().sm_count;
}

cudaError_t launch_cooperative(const void* function, const dim3& grid, const dim3& block, void** args,
                               size_t shared_bytes, cudaStream_t stream) {
    device::Kernel* const kernel = find_kernel(function);
    device::LaunchConfig config;
    config.grid = to_device(grid);
    config.block = to_device(block);
    config.shared_bytes = static_cast<uint32_t>(shared_bytes);
    config.cooperative = true;
    if (kernel != nullptr && !fits_at_once(kernel, config)) return finish(cudaErrorCooperativeLaunchTooLarge);
    return submit(kernel, config, shared_bytes, stream, args);
}

struct LaunchAttributes {
    device::LaunchConfig config;
    cudaEvent_t completion_event = nullptr;
};

cudaError_t read_attributes(const cudaLaunchConfig_t* launch, LaunchAttributes* out) {
    out->config.grid = to_device(launch->gridDim);
    out->config.block = to_device(launch->blockDim);
    out->config.shared_bytes = static_cast<uint32_t>(launch->dynamicSmemBytes);
    for (unsigned index = 0; index < launch->numAttrs; ++index) {
        const cudaLaunchAttribute& attribute = launch->attrs[index];
        switch (attribute.id) {
            case cudaLaunchAttributeClusterDimension:
                out->config.cluster = {attribute.val.clusterDim.x, attribute.val.clusterDim.y,
                                       attribute.val.clusterDim.z};
                break;
            case cudaLaunchAttributeCooperative:
                out->config.cooperative = attribute.val.cooperative != 0;
                break;
            case cudaLaunchAttributeProgrammaticEvent:
                out->completion_event = attribute.val.programmaticEvent.event;
                break;
            case cudaLaunchAttributeLaunchCompletionEvent:
                out->completion_event = attribute.val.launchCompletionEvent.event;
                break;
            default:
                break;  // hints for the hardware: access policy, priority, programmatic serialisation, ...
        }
    }
    return cudaSuccess;
}

bool valid_cluster(const device::LaunchConfig& config) {
    const device::Dim3 &cluster = config.cluster, &grid = config.grid;
    if (cluster.x == 0) return true;
    const uint64_t blocks = static_cast<uint64_t>(cluster.x) * cluster.y * cluster.z;
    if (blocks == 0 || blocks > static_cast<uint64_t>(device::gpu().max_cluster_blocks)) return false;
    return grid.x % cluster.x == 0 && grid.y % cluster.y == 0 && grid.z % cluster.z == 0;
}

cudaError_t launch_extended(const cudaLaunchConfig_t* launch, const void* function, void** args,
                            cudaStream_t handle) {
    if (launch == nullptr || (launch->attrs == nullptr && launch->numAttrs > 0))
        return finish(cudaErrorInvalidValue);
    LaunchAttributes attributes;
    const cudaError_t read = read_attributes(launch, &attributes);
    if (read != cudaSuccess) return finish(read);
    device::Kernel* const kernel = find_kernel(function);
    if (kernel != nullptr && !valid_cluster(attributes.config)) return finish(cudaErrorInvalidClusterSize);
    if (kernel != nullptr && attributes.config.cooperative && !fits_at_once(kernel, attributes.config))
        return finish(cudaErrorCooperativeLaunchTooLarge);
    const cudaError_t launched = submit(kernel, attributes.config, launch->dynamicSmemBytes, handle, args);
    if (launched != cudaSuccess || attributes.completion_event == nullptr) return launched;
    return cudaEventRecord(attributes.completion_event, handle);
}

}  // namespace

extern "C" {

REVATI_API unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared_bytes,
                                                cudaStream_t stream) {
    if (pending_count == max_pending) return 1;
    pending[pending_count++] = {grid, block, shared_bytes, stream};
    return 0;
}

REVATI_API cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared_bytes,
                                                  void* stream) {
    if (pending_count == 0) return finish(cudaErrorMissingConfiguration);
    const PendingConfiguration& top = pending[--pending_count];
    *grid = top.grid;
    *block = top.block;
    *shared_bytes = top.shared_bytes;
    *static_cast<cudaStream_t*>(stream) = top.stream;
    return cudaSuccess;
}

REVATI_API cudaError_t __cudaGetKernel(cudaKernel_t* out, const void* function) {
    if (out == nullptr) return finish(cudaErrorInvalidValue);
    *out = reinterpret_cast<cudaKernel_t>(find_kernel(function));
    if (*out != nullptr) return cudaSuccess;
    return finish(device::device_count() == 0 ? cudaErrorNoDevice : cudaErrorInvalidDeviceFunction);
}

REVATI_API cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** args,
                                          size_t shared_bytes, cudaStream_t stream) {
    return launch_plain(reinterpret_cast<device::Kernel*>(kernel), grid, block, args, shared_bytes, stream,
                        false);
}

REVATI_API cudaError_t __cudaLaunchKernel_ptsz(cudaKernel_t kernel, dim3 grid, dim3 block, void** args,
                                               size_t shared_bytes, cudaStream_t stream) {
    return launch_plain(reinterpret_cast<device::Kernel*>(kernel), grid, block, args, shared_bytes,
                        per_thread(stream), false);
}

REVATI_API cudaError_t cudaLaunchKernel_ptsz(const void* function, dim3 grid, dim3 block, void** args,
                                             size_t shared_bytes, cudaStream_t stream) {
    return launch_plain(find_kernel(function), grid, block, args, shared_bytes, per_thread(stream), false);
}

REVATI_API cudaError_t cudaLaunchKernelExC_ptsz(const cudaLaunchConfig_t* launch, const void* function,
                                                void** args) {
    return launch_extended(launch, function, args, launch != nullptr ? per_thread(launch->stream) : nullptr);
}

REVATI_API cudaError_t cudaLaunchCooperativeKernel_ptsz(const void* function, dim3 grid, dim3 block,
                                                        void** args, size_t shared_bytes,
                                                        cudaStream_t stream) {
    return launch_cooperative(function, grid, block, args, shared_bytes, per_thread(stream));
}

}  // extern "C"

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** args, size_t shared_bytes,
                             cudaStream_t stream) {
    return launch_plain(find_kernel(function), grid, block, args, shared_bytes, stream, false);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* launch, const void* function, void** args) {
    return launch_extended(launch, function, args, launch != nullptr ? launch->stream : nullptr);
}

cudaError_t cudaLaunchCooperativeKernel(const void* function, dim3 grid, dim3 block, void** args,
                                        size_t shared_bytes, cudaStream_t stream) {
    return launch_cooperative(function, grid, block, args, shared_bytes, stream);
}

cudaError_t cudaGetKernel(cudaKernel_t* out, const void* function) {
    return __cudaGetKernel(out, function);
}

cudaError_t cudaGetFuncBySymbol(cudaFunction_t* out, const void* function) {
    return __cudaGetKernel(reinterpret_cast<cudaKernel_t*>(out), function);
}
