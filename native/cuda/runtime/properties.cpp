// cudaDeviceProp (its layout differs between CUDA 12 and 13) and device attributes.
#include <cstring>

#include "cuda/common/attributes.h"
#include "cuda/runtime/runtime.h"
#include "device/log.h"

using namespace revati;
using namespace revati::cuda;
using namespace revati::cuda::runtime;

namespace {

int attribute(cudaDeviceAttr which, int device) {
    int value = 0;
    device_attribute(which, device, &value);
    return value;
}

template <size_t count>
void fill_attributes(int (&out)[count], cudaDeviceAttr first, int device) {
    for (size_t index = 0; index < count; ++index)
        out[index] = attribute(static_cast<cudaDeviceAttr>(first + static_cast<int>(index)), device);
}

void fill_identity(cudaDeviceProp* p, int device) {
    strncpy(p->name, device::gpu().name.c_str(), sizeof p->name - 1);
    device::device_uuid(device::physical_index(device), reinterpret_cast<uint8_t*>(p->uuid.bytes));
    p->major = device::gpu().compute_major;
    p->minor = device::gpu().compute_minor;
    p->pciBusID = attribute(cudaDevAttrPciBusId, device);
    p->pciDeviceID = attribute(cudaDevAttrPciDeviceId, device);
    p->pciDomainID = attribute(cudaDevAttrPciDomainId, device);
    p->ECCEnabled = attribute(cudaDevAttrEccEnabled, device);
    p->tccDriver = attribute(cudaDevAttrTccDriver, device);
    p->integrated = attribute(cudaDevAttrIntegrated, device);
    p->isMultiGpuBoard = attribute(cudaDevAttrIsMultiGpuBoard, device);
    p->multiGpuBoardGroupID = attribute(cudaDevAttrMultiGpuBoardGroupID, device);
}

void fill_execution(cudaDeviceProp* p, int device) {
    const device::GpuSpec& spec = device::gpu();
    p->regsPerBlock = spec.registers_per_block;
    p->regsPerMultiprocessor = spec.registers_per_sm;
    p->warpSize = spec.warp_size;
    p->maxThreadsPerBlock = spec.max_threads_per_block;
    fill_attributes(p->maxThreadsDim, cudaDevAttrMaxBlockDimX, device);
    fill_attributes(p->maxGridSize, cudaDevAttrMaxGridDimX, device);
    p->multiProcessorCount = spec.sm_count;
    p->maxThreadsPerMultiProcessor = spec.max_threads_per_sm;
    p->maxBlocksPerMultiProcessor = spec.max_blocks_per_sm;
    p->sharedMemPerBlock = static_cast<size_t>(spec.shared_per_block_bytes);
    p->sharedMemPerMultiprocessor = static_cast<size_t>(spec.shared_per_sm_bytes);
    p->sharedMemPerBlockOptin = static_cast<size_t>(spec.shared_per_block_optin_bytes);
    p->reservedSharedMemPerBlock = static_cast<size_t>(spec.shared_reserved_per_block_bytes);
    p->asyncEngineCount = spec.async_engines;
    p->concurrentKernels = attribute(cudaDevAttrConcurrentKernels, device);
    p->streamPrioritiesSupported = attribute(cudaDevAttrStreamPrioritiesSupported, device);
    p->computePreemptionSupported = attribute(cudaDevAttrComputePreemptionSupported, device);
    p->cooperativeLaunch = attribute(cudaDevAttrCooperativeLaunch, device);
    p->clusterLaunch = attribute(cudaDevAttrClusterLaunch, device);
    p->unifiedFunctionPointers = 1;
}

void fill_memory(cudaDeviceProp* p, int device) {
    const device::GpuSpec& spec = device::gpu();
    p->totalGlobalMem = spec.memory_bytes;
    p->totalConstMem = total_constant_bytes;
    p->memPitch = static_cast<size_t>(attribute(cudaDevAttrMaxPitch, device));
    p->memoryBusWidth = spec.memory_bus_bits;
    p->l2CacheSize = static_cast<int>(spec.l2_bytes);
    p->persistingL2CacheMaxSize = static_cast<int>(spec.persisting_l2_max_bytes);
    p->accessPolicyMaxWindowSize = static_cast<int>(spec.access_policy_window_max_bytes);
    p->globalL1CacheSupported = attribute(cudaDevAttrGlobalL1CacheSupported, device);
    p->localL1CacheSupported = attribute(cudaDevAttrLocalL1CacheSupported, device);
    p->canMapHostMemory = attribute(cudaDevAttrCanMapHostMemory, device);
    p->unifiedAddressing = attribute(cudaDevAttrUnifiedAddressing, device);
    p->managedMemory = attribute(cudaDevAttrManagedMemory, device);
    p->concurrentManagedAccess = attribute(cudaDevAttrConcurrentManagedAccess, device);
    p->hostNativeAtomicSupported = attribute(cudaDevAttrHostNativeAtomicSupported, device);
    p->pageableMemoryAccess = attribute(cudaDevAttrPageableMemoryAccess, device);
    p->canUseHostPointerForRegisteredMem = attribute(cudaDevAttrCanUseHostPointerForRegisteredMem, device);
    p->hostRegisterSupported = attribute(cudaDevAttrHostRegisterSupported, device);
    p->hostRegisterReadOnlySupported = attribute(cudaDevAttrHostRegisterReadOnlySupported, device);
    p->sparseCudaArraySupported = attribute(cudaDevAttrSparseCudaArraySupported, device);
    p->memoryPoolsSupported = attribute(cudaDevAttrMemoryPoolsSupported, device);
    p->memoryPoolSupportedHandleTypes =
        static_cast<unsigned>(attribute(cudaDevAttrMemoryPoolSupportedHandleTypes, device));
    p->gpuDirectRDMASupported = attribute(cudaDevAttrGPUDirectRDMASupported, device);
    p->ipcEventSupported = attribute(cudaDevAttrIpcEventSupport, device);
}

void fill_textures(cudaDeviceProp* p, int device) {
    p->textureAlignment = static_cast<size_t>(attribute(cudaDevAttrTextureAlignment, device));
    p->texturePitchAlignment = static_cast<size_t>(attribute(cudaDevAttrTexturePitchAlignment, device));
    p->surfaceAlignment = static_cast<size_t>(attribute(cudaDevAttrSurfaceAlignment, device));
    p->maxTexture1D = attribute(cudaDevAttrMaxTexture1DWidth, device);
    p->maxTexture1DMipmap = attribute(cudaDevAttrMaxTexture1DMipmappedWidth, device);
    fill_attributes(p->maxTexture2D, cudaDevAttrMaxTexture2DWidth, device);
    fill_attributes(p->maxTexture2DMipmap, cudaDevAttrMaxTexture2DMipmappedWidth, device);
    fill_attributes(p->maxTexture2DLinear, cudaDevAttrMaxTexture2DLinearWidth, device);
    fill_attributes(p->maxTexture2DGather, cudaDevAttrMaxTexture2DGatherWidth, device);
    fill_attributes(p->maxTexture3D, cudaDevAttrMaxTexture3DWidth, device);
    fill_attributes(p->maxTexture3DAlt, cudaDevAttrMaxTexture3DWidthAlt, device);
    p->maxTextureCubemap = attribute(cudaDevAttrMaxTextureCubemapWidth, device);
    fill_attributes(p->maxTexture1DLayered, cudaDevAttrMaxTexture1DLayeredWidth, device);
    fill_attributes(p->maxTexture2DLayered, cudaDevAttrMaxTexture2DLayeredWidth, device);
    fill_attributes(p->maxTextureCubemapLayered, cudaDevAttrMaxTextureCubemapLayeredWidth, device);
    p->maxSurface1D = attribute(cudaDevAttrMaxSurface1DWidth, device);
    fill_attributes(p->maxSurface2D, cudaDevAttrMaxSurface2DWidth, device);
    fill_attributes(p->maxSurface3D, cudaDevAttrMaxSurface3DWidth, device);
    fill_attributes(p->maxSurface1DLayered, cudaDevAttrMaxSurface1DLayeredWidth, device);
    fill_attributes(p->maxSurface2DLayered, cudaDevAttrMaxSurface2DLayeredWidth, device);
    p->maxSurfaceCubemap = attribute(cudaDevAttrMaxSurfaceCubemapWidth, device);
    fill_attributes(p->maxSurfaceCubemapLayered, cudaDevAttrMaxSurfaceCubemapLayeredWidth, device);
}

// Members that only one of the two layouts has.
void fill_version_specific([[maybe_unused]] cudaDeviceProp* p, [[maybe_unused]] int device) {
#if CUDART_VERSION < 13000
    p->clockRate = attribute(cudaDevAttrClockRate, device);
    p->memoryClockRate = attribute(cudaDevAttrMemoryClockRate, device);
    p->deviceOverlap = attribute(cudaDevAttrGpuOverlap, device);
    p->kernelExecTimeoutEnabled = attribute(cudaDevAttrKernelExecTimeout, device);
    p->computeMode = attribute(cudaDevAttrComputeMode, device);
    p->singleToDoublePrecisionPerfRatio = attribute(cudaDevAttrSingleToDoublePrecisionPerfRatio, device);
    p->maxTexture1DLinear = 268435456;
#else
    p->deviceNumaConfig = attribute(cudaDevAttrNumaConfig, device);
    p->deviceNumaId = attribute(cudaDevAttrNumaId, device);
    p->mpsEnabled = attribute(cudaDevAttrMpsEnabled, device);
    p->hostNumaId = attribute(cudaDevAttrHostNumaId, device);
#endif
}

cudaError_t properties_of(cudaDeviceProp* properties, int device) {
    if (properties == nullptr) return finish(cudaErrorInvalidValue);
    const Status status = check_device(device);
    if (status != Status::ok) return finish(status);
    memset(properties, 0, sizeof *properties);
    fill_identity(properties, device);
    fill_execution(properties, device);
    fill_memory(properties, device);
    fill_textures(properties, device);
    fill_version_specific(properties, device);
    return cudaSuccess;
}

}  // namespace

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
    if (value == nullptr) return finish(cudaErrorInvalidValue);
    const Status status = check_device(device);
    return finish(status == Status::ok ? device_attribute(attribute, device, value) : status);
}

#if CUDART_VERSION < 13000
cudaError_t cudaGetDeviceProperties_v2(cudaDeviceProp* properties, int device) {
    return properties_of(properties, device);
}

// Under this name CUDA 12 still keeps the smaller structure of CUDA 11, for programs that were compiled with
// that.
cudaError_t cudaGetDeviceProperties(cudaDeviceProp*, int) {
    return finish(static_cast<cudaError_t>(
        revati_unsupported("runtime", "cudaGetDeviceProperties of CUDA 11", cudaErrorNotSupported)));
}
#else
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
    return properties_of(properties, device);
}
#endif
