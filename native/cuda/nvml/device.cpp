// What a GPU is: handles, names, identifiers, architecture, clocks.
#include <cstdio>
#include <cstring>
#include <string>

#include "cuda/nvml/api.h"

namespace revati::nvml {
namespace {

std::string uuid_of(int physical) {
    uint8_t bytes[16];
    device::device_uuid(physical, bytes);
    std::string text = "GPU-";
    for (int index = 0; index < 16; ++index) {
        char digits[4];
        std::snprintf(digits, sizeof digits, "%02x", bytes[index]);
        if (index == 4 || index == 6 || index == 8 || index == 10) text += '-';
        text += digits;
    }
    return text;
}

struct PciPlace {
    unsigned domain = 0, bus = 0, slot = 0;
    char text[32] = {};
};

PciPlace place_of(int physical) {
    PciPlace place;
    device::device_pci_bus_id(physical, place.text, sizeof place.text);
    std::sscanf(place.text, "%x:%x:%x", &place.domain, &place.bus, &place.slot);
    return place;
}

nvmlReturn_t fill_pci(nvmlDevice_t device, nvmlPciInfo_t* pci) {
    if (nvmlReturn_t error = check_device(device)) return error;
    if (pci == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    PciPlace place = place_of(physical_of(device));
    *pci = nvmlPciInfo_t{};
    pci->domain = place.domain;
    pci->bus = place.bus;
    pci->device = place.slot;
    // PCI identifiers of a real board are not ours to claim: the vendor and device ids stay zero.
    std::snprintf(pci->busId, sizeof pci->busId, "%s", place.text);
    std::snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, "%.12s", place.text + 4);
    return NVML_SUCCESS;
}

// CUDA cores of an SM ("Arithmetic Instructions" of the CUDA C++ Programming Guide).
unsigned cores_per_sm(const device::GpuSpec& spec) {
    return spec.compute_major == 8 && spec.compute_minor == 0 ? 64 : 128;
}

nvmlDeviceArchitecture_t architecture_of(const device::GpuSpec& spec) {
    int capability = spec.compute_major * 10 + spec.compute_minor;
    if (capability >= 100) return NVML_DEVICE_ARCH_BLACKWELL;
    if (capability >= 90) return NVML_DEVICE_ARCH_HOPPER;
    if (capability == 89) return NVML_DEVICE_ARCH_ADA;
    if (capability >= 80) return NVML_DEVICE_ARCH_AMPERE;
    if (capability == 75) return NVML_DEVICE_ARCH_TURING;
    return capability == 70 ? NVML_DEVICE_ARCH_VOLTA : NVML_DEVICE_ARCH_UNKNOWN;
}

nvmlReturn_t clock_mhz(nvmlDevice_t device, nvmlClockType_t type, unsigned* mhz) {
    if (nvmlReturn_t error = check_device(device)) return error;
    if (mhz == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    const device::GpuSpec& spec = device::gpu();
    switch (type) {
        case NVML_CLOCK_GRAPHICS:
        case NVML_CLOCK_SM:
            *mhz = static_cast<unsigned>(spec.clock_khz / 1000);
            return NVML_SUCCESS;
        case NVML_CLOCK_MEM:
            *mhz = static_cast<unsigned>(spec.memory_clock_khz / 1000);
            return NVML_SUCCESS;
        default:
            return NVML_ERROR_NOT_SUPPORTED;
    }
}

template <typename T>
nvmlReturn_t answer(nvmlDevice_t device, T* out, T value) {
    if (nvmlReturn_t error = check_device(device)) return error;
    if (out == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *out = value;
    return NVML_SUCCESS;
}

int end_of_node() {
    return device::first_physical() + device::session_spec().gpus;
}

}  // namespace

nvmlReturn_t check_device(nvmlDevice_t device) {
    if (!initialised()) return NVML_ERROR_UNINITIALIZED;
    int physical = physical_of(device);
    return physical >= device::first_physical() && physical < end_of_node() ? NVML_SUCCESS
                                                                            : NVML_ERROR_INVALID_ARGUMENT;
}

REVATI_NVML nvmlDeviceGetCount_v2(unsigned int* count) {
    if (!initialised()) return NVML_ERROR_UNINITIALIZED;
    if (count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *count = static_cast<unsigned>(device::session_spec().gpus);
    return NVML_SUCCESS;
}

REVATI_NVML nvmlDeviceGetCount(unsigned int* count) {
    return nvmlDeviceGetCount_v2(count);
}

REVATI_NVML nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t* device) {
    if (!initialised()) return NVML_ERROR_UNINITIALIZED;
    bool valid = device != nullptr && index < static_cast<unsigned>(device::session_spec().gpus);
    if (!valid) return NVML_ERROR_INVALID_ARGUMENT;
    *device = handle_of(device::first_physical() + static_cast<int>(index));
    return NVML_SUCCESS;
}

REVATI_NVML nvmlDeviceGetHandleByIndex(unsigned int index, nvmlDevice_t* device) {
    return nvmlDeviceGetHandleByIndex_v2(index, device);
}

REVATI_NVML nvmlDeviceGetHandleByUUID(const char* uuid, nvmlDevice_t* device) {
    if (!initialised()) return NVML_ERROR_UNINITIALIZED;
    if (uuid == nullptr || device == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    for (int physical = device::first_physical(); physical < end_of_node(); ++physical) {
        if (uuid_of(physical) != uuid) continue;
        *device = handle_of(physical);
        return NVML_SUCCESS;
    }
    return NVML_ERROR_NOT_FOUND;
}

REVATI_NVML nvmlDeviceGetHandleByPciBusId_v2(const char* text, nvmlDevice_t* device) {
    if (!initialised()) return NVML_ERROR_UNINITIALIZED;
    unsigned domain = 0, bus = 0, slot = 0;
    if (text == nullptr || device == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (std::sscanf(text, "%x:%x:%x", &domain, &bus, &slot) != 3) {
        domain = 0;
        if (std::sscanf(text, "%x:%x", &bus, &slot) != 2) return NVML_ERROR_INVALID_ARGUMENT;
    }
    for (int physical = device::first_physical(); physical < end_of_node(); ++physical) {
        PciPlace place = place_of(physical);
        if (place.domain != domain || place.bus != bus || place.slot != slot) continue;
        *device = handle_of(physical);
        return NVML_SUCCESS;
    }
    return NVML_ERROR_NOT_FOUND;
}

REVATI_NVML nvmlDeviceGetHandleByPciBusId(const char* text, nvmlDevice_t* device) {
    return nvmlDeviceGetHandleByPciBusId_v2(text, device);
}

REVATI_NVML nvmlDeviceGetIndex(nvmlDevice_t device, unsigned int* index) {
    return answer(device, index, static_cast<unsigned>(physical_of(device) - device::first_physical()));
}

REVATI_NVML nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned int* minor) {
    return answer(device, minor, static_cast<unsigned>(physical_of(device) - device::first_physical()));
}

REVATI_NVML nvmlDeviceGetName(nvmlDevice_t device, char* name, unsigned int bytes) {
    if (nvmlReturn_t error = check_device(device)) return error;
    return copy_text(device::gpu().name.c_str(), name, bytes);
}

REVATI_NVML nvmlDeviceGetUUID(nvmlDevice_t device, char* uuid, unsigned int bytes) {
    if (nvmlReturn_t error = check_device(device)) return error;
    return copy_text(uuid_of(physical_of(device)).c_str(), uuid, bytes);
}

REVATI_NVML nvmlDeviceGetBrand(nvmlDevice_t device, nvmlBrandType_t* brand) {
    return answer(device, brand, NVML_BRAND_NVIDIA);
}

REVATI_NVML nvmlDeviceGetArchitecture(nvmlDevice_t device, nvmlDeviceArchitecture_t* architecture) {
    return answer(device, architecture, architecture_of(device::gpu()));
}

REVATI_NVML nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int* major, int* minor) {
    if (nvmlReturn_t error = answer(device, major, device::gpu().compute_major)) return error;
    return answer(device, minor, device::gpu().compute_minor);
}

REVATI_NVML nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t* pci) {
    return fill_pci(device, pci);
}
REVATI_NVML nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, nvmlPciInfo_t* pci) {
    return fill_pci(device, pci);
}

REVATI_NVML nvmlDeviceGetNumGpuCores(nvmlDevice_t device, unsigned int* cores) {
    return answer(device, cores, cores_per_sm(device::gpu()) * static_cast<unsigned>(device::gpu().sm_count));
}

REVATI_NVML nvmlDeviceGetMemoryBusWidth(nvmlDevice_t device, unsigned int* bits) {
    return answer(device, bits, static_cast<unsigned>(device::gpu().memory_bus_bits));
}

// A virtual GPU runs at its highest clocks at all times.
REVATI_NVML nvmlDeviceGetClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int* mhz) {
    return clock_mhz(device, type, mhz);
}
REVATI_NVML nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int* mhz) {
    return clock_mhz(device, type, mhz);
}

REVATI_NVML nvmlDeviceGetPerformanceState(nvmlDevice_t device, nvmlPstates_t* state) {
    return answer(device, state, NVML_PSTATE_0);
}

REVATI_NVML nvmlDeviceGetMaxPcieLinkGeneration(nvmlDevice_t device, unsigned int* generation) {
    return answer(device, generation, static_cast<unsigned>(device::gpu().pci_gen));
}
REVATI_NVML nvmlDeviceGetCurrPcieLinkGeneration(nvmlDevice_t device, unsigned int* generation) {
    return answer(device, generation, static_cast<unsigned>(device::gpu().pci_gen));
}
REVATI_NVML nvmlDeviceGetMaxPcieLinkWidth(nvmlDevice_t device, unsigned int* lanes) {
    return answer(device, lanes, static_cast<unsigned>(device::gpu().pci_lanes));
}
REVATI_NVML nvmlDeviceGetCurrPcieLinkWidth(nvmlDevice_t device, unsigned int* lanes) {
    return answer(device, lanes, static_cast<unsigned>(device::gpu().pci_lanes));
}

REVATI_NVML nvmlDeviceGetPersistenceMode(nvmlDevice_t device, nvmlEnableState_t* mode) {
    return answer(device, mode, NVML_FEATURE_ENABLED);
}
REVATI_NVML nvmlDeviceGetDisplayMode(nvmlDevice_t device, nvmlEnableState_t* mode) {
    return answer(device, mode, NVML_FEATURE_DISABLED);
}
REVATI_NVML nvmlDeviceGetDisplayActive(nvmlDevice_t device, nvmlEnableState_t* active) {
    return answer(device, active, NVML_FEATURE_DISABLED);
}
REVATI_NVML nvmlDeviceGetComputeMode(nvmlDevice_t device, nvmlComputeMode_t* mode) {
    return answer(device, mode, NVML_COMPUTEMODE_DEFAULT);
}
REVATI_NVML nvmlDeviceGetVirtualizationMode(nvmlDevice_t device, nvmlGpuVirtualizationMode_t* mode) {
    return answer(device, mode, NVML_GPU_VIRTUALIZATION_MODE_NONE);
}

REVATI_NVML nvmlDeviceGetEccMode(nvmlDevice_t device, nvmlEnableState_t* current,
                                 nvmlEnableState_t* pending) {
    if (nvmlReturn_t error = answer(device, current, NVML_FEATURE_ENABLED)) return error;
    return answer(device, pending, NVML_FEATURE_ENABLED);
}

REVATI_NVML nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int* current, unsigned int* pending) {
    if (nvmlReturn_t error = answer<unsigned>(device, current, NVML_DEVICE_MIG_DISABLE)) return error;
    return answer<unsigned>(device, pending, NVML_DEVICE_MIG_DISABLE);
}

REVATI_NVML nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int* count) {
    return answer(device, count, 0U);
}

}  // namespace revati::nvml
