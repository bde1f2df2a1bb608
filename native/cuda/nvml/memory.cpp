// Memory and the processes that hold it.
#include <algorithm>
#include <vector>

#include "cuda/nvml/api.h"

namespace revati::nvml {
namespace {

struct Usage {
    unsigned long long total, used;
};

Usage usage_of(nvmlDevice_t device) {
    unsigned long long total = device::gpu().memory_bytes;
    return {total, std::min<unsigned long long>(device::memory_used(physical_of(device)), total)};
}

constexpr unsigned no_instance = 0xFFFFFFFF;  // not a MIG instance

void set_instance(nvmlProcessInfo_v1_t*) {}
template <typename Info>
void set_instance(Info* info) {
    info->gpuInstanceId = no_instance;
    info->computeInstanceId = no_instance;
}

// The protocol of all versions: too little room is an error that tells how much is needed.
template <typename Info>
nvmlReturn_t list_processes(nvmlDevice_t device, unsigned* count, Info* infos) {
    if (nvmlReturn_t error = check_device(device)) return error;
    if (count == nullptr || (infos == nullptr && *count > 0)) return NVML_ERROR_INVALID_ARGUMENT;
    constexpr int most = 4096;
    std::vector<int> pids(most);
    int physical = physical_of(device);
    auto found =
        static_cast<unsigned>(std::min(device::processes_with_memory(physical, pids.data(), most), most));
    unsigned room = *count;
    *count = found;
    if (room < found) return NVML_ERROR_INSUFFICIENT_SIZE;
    for (unsigned index = 0; index < found; ++index) {
        infos[index].pid = static_cast<unsigned>(pids[index]);
        infos[index].usedGpuMemory = device::memory_used_by(physical, pids[index]);
        set_instance(&infos[index]);
    }
    return NVML_SUCCESS;
}

nvmlReturn_t list_none(nvmlDevice_t device, unsigned* count) {
    if (nvmlReturn_t error = check_device(device)) return error;
    if (count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *count = 0;
    return NVML_SUCCESS;
}

}  // namespace

REVATI_NVML nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t* memory) {
    if (nvmlReturn_t error = check_device(device)) return error;
    if (memory == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    Usage usage = usage_of(device);
    memory->total = usage.total;
    memory->used = usage.used;
    memory->free = usage.total - usage.used;
    return NVML_SUCCESS;
}

REVATI_NVML nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t* memory) {
    if (nvmlReturn_t error = check_device(device)) return error;
    if (memory == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (memory->version != nvmlMemory_v2) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    Usage usage = usage_of(device);
    memory->total = usage.total;
    memory->used = usage.used;
    memory->free = usage.total - usage.used;
    memory->reserved = 0;
    return NVML_SUCCESS;
}

REVATI_NVML nvmlDeviceGetComputeRunningProcesses(nvmlDevice_t device, unsigned int* count,
                                                 nvmlProcessInfo_v1_t* infos) {
    return list_processes(device, count, infos);
}
REVATI_NVML nvmlDeviceGetComputeRunningProcesses_v2(nvmlDevice_t device, unsigned int* count,
                                                    nvmlProcessInfo_v2_t* infos) {
    return list_processes(device, count, infos);
}
REVATI_NVML nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int* count,
                                                    nvmlProcessInfo_t* infos) {
    return list_processes(device, count, infos);
}

REVATI_NVML nvmlDeviceGetGraphicsRunningProcesses(nvmlDevice_t device, unsigned int* count,
                                                  nvmlProcessInfo_v1_t*) {
    return list_none(device, count);
}
REVATI_NVML nvmlDeviceGetGraphicsRunningProcesses_v2(nvmlDevice_t device, unsigned int* count,
                                                     nvmlProcessInfo_v2_t*) {
    return list_none(device, count);
}
REVATI_NVML nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned int* count,
                                                     nvmlProcessInfo_t*) {
    return list_none(device, count);
}

}  // namespace revati::nvml
