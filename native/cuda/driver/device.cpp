// Devices and what they answer about themselves.
#include <cstdio>
#include <cstring>

#include "cuda/common/attributes.h"
#include "cuda/driver/api.h"

namespace revati::driver {
namespace {

CUresult copy_text(const char* text, char* out, int bytes) {
    if (out == nullptr || bytes <= 0) return CUDA_ERROR_INVALID_VALUE;
    std::snprintf(out, static_cast<size_t>(bytes), "%s", text);
    return CUDA_SUCCESS;
}

int peer_value(CUdevice_P2PAttribute attribute) {
    const device::GpuSpec& spec = device::gpu();
    switch (attribute) {
        // Relative performance: 0 is the best link that the device has, and all pairs are alike.
        case CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK:
            return 0;
        case CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED:
            return spec.peer_access;
        // Native atomics travel over NVLink only.
        case CU_DEVICE_P2P_ATTRIBUTE_NATIVE_ATOMIC_SUPPORTED:
            return spec.peer_access != 0 && spec.nvlinks > 0;
        case CU_DEVICE_P2P_ATTRIBUTE_CUDA_ARRAY_ACCESS_SUPPORTED:
            return spec.peer_access;
        default:
            return -1;
    }
}

}  // namespace

REVATI_DRIVER cuDeviceGetCount(int* count) {
    if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *count = device::device_count();
    return *count > 0 ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
}

REVATI_DRIVER cuDeviceGet(CUdevice* device, int ordinal) {
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!valid_device(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuDeviceGetName(char* name, int bytes, CUdevice device) {
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    return copy_text(device::gpu().name.c_str(), name, bytes);
}

REVATI_DRIVER cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device) {
    if (uuid == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    uint8_t bytes[16];
    device::device_uuid(device::physical_index(device), bytes);
    std::memcpy(uuid->bytes, bytes, sizeof bytes);
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuDeviceGetUuid(CUuuid* uuid, CUdevice device) {
    return cuDeviceGetUuid_v2(uuid, device);
}

REVATI_DRIVER cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
    if (bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    *bytes = device::gpu().memory_bytes;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    auto status = cuda::device_attribute(attribute, device, value);
    if (status != device::Status::ok)
        device::log_once("cuDeviceGetAttribute: attribute %d is unknown", attribute);
    return result(status);
}

REVATI_DRIVER cuDeviceComputeCapability(int* major, int* minor, CUdevice device) {
    if (major == nullptr || minor == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    *major = device::gpu().compute_major;
    *minor = device::gpu().compute_minor;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuDeviceGetPCIBusId(char* text, int bytes, CUdevice device) {
    if (text == nullptr || bytes <= 0) return CUDA_ERROR_INVALID_VALUE;
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    char long_form[32];
    device::device_pci_bus_id(device::physical_index(device), long_form, sizeof long_form);
    // CUDA writes the domain with four digits where NVML writes eight.
    return copy_text(long_form + 4, text, bytes);
}

REVATI_DRIVER cuDeviceGetByPCIBusId(CUdevice* device, const char* text) {
    unsigned wanted[3] = {}, found[3] = {};
    if (device == nullptr || text == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (std::sscanf(text, "%x:%x:%x", &wanted[0], &wanted[1], &wanted[2]) < 3) {
        wanted[0] = 0;
        if (std::sscanf(text, "%x:%x", &wanted[1], &wanted[2]) < 2) return CUDA_ERROR_INVALID_VALUE;
    }
    for (int candidate = 0; candidate < device::device_count(); ++candidate) {
        char id[32];
        device::device_pci_bus_id(device::physical_index(candidate), id, sizeof id);
        std::sscanf(id, "%x:%x:%x", &found[0], &found[1], &found[2]);
        if (std::memcmp(wanted, found, sizeof found) != 0) continue;
        *device = candidate;
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_DEVICE;
}

REVATI_DRIVER cuDeviceCanAccessPeer(int* can_access, CUdevice device, CUdevice peer) {
    if (can_access == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!valid_device(device) || !valid_device(peer)) return CUDA_ERROR_INVALID_DEVICE;
    *can_access = device != peer && device::gpu().peer_access != 0;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuDeviceGetP2PAttribute(int* value, CUdevice_P2PAttribute attribute, CUdevice source,
                                      CUdevice destination) {
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!valid_device(source) || !valid_device(destination) || source == destination)
        return CUDA_ERROR_INVALID_DEVICE;
    int answer = peer_value(attribute);
    if (answer < 0) return CUDA_ERROR_INVALID_VALUE;
    *value = answer;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuDeviceGetExecAffinitySupport(int* supported, CUexecAffinityType type, CUdevice device) {
    if (supported == nullptr || type != CU_EXEC_AFFINITY_TYPE_SM_COUNT) return CUDA_ERROR_INVALID_VALUE;
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    *supported = 0;  // only under MPS
    return CUDA_SUCCESS;
}

}  // namespace revati::driver
