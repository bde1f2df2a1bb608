// Links between GPUs, and the place of a GPU in the machine.
#include <sched.h>

#include <cstdio>
#include <cstring>

#include "cuda/nvml/api.h"

namespace revati::nvml {
namespace {

nvmlReturn_t check_pair(nvmlDevice_t first, nvmlDevice_t second) {
    if (nvmlReturn_t error = check_device(first)) return error;
    return check_device(second);
}

nvmlReturn_t check_link(nvmlDevice_t device, unsigned link) {
    if (nvmlReturn_t error = check_device(device)) return error;
    if (link >= NVML_NVLINK_MAX_LINKS) return NVML_ERROR_INVALID_ARGUMENT;
    return static_cast<int>(link) < device::gpu().nvlinks ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
}

// NVLink generations by architecture: 3 on Ampere, 4 on Hopper, 5 on Blackwell.
unsigned nvlink_version() {
    int major = device::gpu().compute_major;
    return major >= 10 ? 5 : major == 9 ? 4 : 3;
}

nvmlGpuP2PStatus_t peer_status(nvmlGpuP2PCapsIndex_t capability) {
    const device::GpuSpec& spec = device::gpu();
    bool linked = spec.nvlinks > 0;
    switch (capability) {
        case NVML_P2P_CAPS_INDEX_NVLINK:
        case NVML_P2P_CAPS_INDEX_ATOMICS:
            return linked && spec.peer_access != 0 ? NVML_P2P_STATUS_OK : NVML_P2P_STATUS_NOT_SUPPORTED;
        default:
            return spec.peer_access != 0 ? NVML_P2P_STATUS_OK : NVML_P2P_STATUS_NOT_SUPPORTED;
    }
}

}  // namespace

REVATI_NVML nvmlDeviceGetP2PStatus(nvmlDevice_t first, nvmlDevice_t second, nvmlGpuP2PCapsIndex_t capability,
                                   nvmlGpuP2PStatus_t* status) {
    if (nvmlReturn_t error = check_pair(first, second)) return error;
    if (status == nullptr || capability < NVML_P2P_CAPS_INDEX_READ ||
        capability >= NVML_P2P_CAPS_INDEX_UNKNOWN) {
        return NVML_ERROR_INVALID_ARGUMENT;
    }
    *status = peer_status(capability);
    return NVML_SUCCESS;
}

REVATI_NVML nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t first, nvmlDevice_t second,
                                                nvmlGpuTopologyLevel_t* level) {
    if (nvmlReturn_t error = check_pair(first, second)) return error;
    if (level == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    // All GPUs of the virtual machine hang off one socket, each behind its own host bridge.
    *level = first == second ? NVML_TOPOLOGY_INTERNAL : NVML_TOPOLOGY_NODE;
    return NVML_SUCCESS;
}

REVATI_NVML nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned int link, nvmlEnableState_t* active) {
    if (nvmlReturn_t error = check_link(device, link)) return error;
    if (active == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *active = NVML_FEATURE_ENABLED;
    return NVML_SUCCESS;
}

REVATI_NVML nvmlDeviceGetNvLinkVersion(nvmlDevice_t device, unsigned int link, unsigned int* version) {
    if (nvmlReturn_t error = check_link(device, link)) return error;
    if (version == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *version = nvlink_version();
    return NVML_SUCCESS;
}

REVATI_NVML nvmlDeviceGetNvLinkCapability(nvmlDevice_t device, unsigned int link,
                                          nvmlNvLinkCapability_t capability, unsigned int* supported) {
    if (nvmlReturn_t error = check_link(device, link)) return error;
    if (supported == nullptr || capability >= NVML_NVLINK_CAP_COUNT) return NVML_ERROR_INVALID_ARGUMENT;
    bool between_gpus =
        capability == NVML_NVLINK_CAP_P2P_SUPPORTED || capability == NVML_NVLINK_CAP_P2P_ATOMICS;
    *supported = between_gpus && device::gpu().peer_access != 0;
    return NVML_SUCCESS;
}

// Every NVLink GPU of the catalogue sits on a board whose links lead to NVSwitches.
REVATI_NVML nvmlDeviceGetNvLinkRemoteDeviceType(nvmlDevice_t device, unsigned int link,
                                                nvmlIntNvLinkDeviceType_t* type) {
    if (nvmlReturn_t error = check_link(device, link)) return error;
    if (type == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *type = NVML_NVLINK_DEVICE_TYPE_SWITCH;
    return NVML_SUCCESS;
}

REVATI_NVML nvmlDeviceGetNvLinkRemotePciInfo_v2(nvmlDevice_t device, unsigned int link, nvmlPciInfo_t* pci) {
    if (nvmlReturn_t error = check_link(device, link)) return error;
    if (pci == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    // Four switches on a bus of their own; the links are spread over them.
    constexpr unsigned switches = 4, switch_bus = 0x05;
    *pci = nvmlPciInfo_t{};
    pci->bus = switch_bus;
    pci->device = link % switches;
    std::snprintf(pci->busId, sizeof pci->busId, "%08X:%02X:%02X.0", 0U, pci->bus, pci->device);
    std::snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, "%04X:%02X:%02X.0", 0U, pci->bus, pci->device);
    return NVML_SUCCESS;
}

REVATI_NVML nvmlDeviceGetNvLinkRemotePciInfo(nvmlDevice_t device, unsigned int link, nvmlPciInfo_t* pci) {
    return nvmlDeviceGetNvLinkRemotePciInfo_v2(device, link, pci);
}

REVATI_NVML nvmlDeviceGetNumaNodeId(nvmlDevice_t device, unsigned int* node) {
    if (nvmlReturn_t error = check_device(device)) return error;
    return node == nullptr ? NVML_ERROR_INVALID_ARGUMENT
                           : NVML_ERROR_NOT_SUPPORTED;  // the virtual machine has one node
}

REVATI_NVML nvmlDeviceGetCpuAffinity(nvmlDevice_t device, unsigned int words, unsigned long* set) {
    if (nvmlReturn_t error = check_device(device)) return error;
    if (set == nullptr || words == 0) return NVML_ERROR_INVALID_ARGUMENT;
    // Every processor that this process may use is as near as any other.
    constexpr unsigned bits_per_word = 8 * sizeof(unsigned long);
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof allowed, &allowed);
    std::memset(set, 0, words * sizeof *set);
    for (unsigned cpu = 0; cpu < words * bits_per_word && cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(cpu, &allowed)) set[cpu / bits_per_word] |= 1UL << (cpu % bits_per_word);
    }
    return NVML_SUCCESS;
}

REVATI_NVML nvmlDeviceGetCpuAffinityWithinScope(nvmlDevice_t device, unsigned int words, unsigned long* set,
                                                nvmlAffinityScope_t) {
    return nvmlDeviceGetCpuAffinity(device, words, set);
}

REVATI_NVML nvmlDeviceGetMemoryAffinity(nvmlDevice_t device, unsigned int words, unsigned long* set,
                                        nvmlAffinityScope_t) {
    if (nvmlReturn_t error = check_device(device)) return error;
    if (set == nullptr || words == 0) return NVML_ERROR_INVALID_ARGUMENT;
    std::memset(set, 0, words * sizeof *set);
    set[0] = 1;
    return NVML_SUCCESS;
}

// The GPU belongs to no fabric of several nodes: the call succeeds and says so. (PyTorch takes an error for a
// failure.)
REVATI_NVML nvmlDeviceGetGpuFabricInfo(nvmlDevice_t device, nvmlGpuFabricInfo_t* info) {
    if (nvmlReturn_t error = check_device(device)) return error;
    if (info == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *info = nvmlGpuFabricInfo_t{};
    info->state = NVML_GPU_FABRIC_STATE_NOT_SUPPORTED;
    return NVML_SUCCESS;
}

REVATI_NVML nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t device, nvmlGpuFabricInfoV_t* info) {
    if (nvmlReturn_t error = check_device(device)) return error;
    if (info == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (info->version != nvmlGpuFabricInfo_v2) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    *info = nvmlGpuFabricInfoV_t{};
    info->version = nvmlGpuFabricInfo_v2;
    info->state = NVML_GPU_FABRIC_STATE_NOT_SUPPORTED;
    return NVML_SUCCESS;
}

}  // namespace revati::nvml
