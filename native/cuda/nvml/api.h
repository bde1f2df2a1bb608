// What every file of the fake NVML needs.
#pragma once

// Each function under its exported name: `nvmlInit` is then not renamed to `nvmlInit_v2`, and all versions
// are declared.
#define NVML_NO_UNVERSIONED_FUNC_DEFS 1
#include <nvml.h>

#include "device/device.h"
#include "device/export.h"
#include "device/memory.h"

#define REVATI_NVML extern "C" REVATI_API nvmlReturn_t

namespace revati::nvml {

// NVML counts the GPUs of the machine: CUDA_VISIBLE_DEVICES does not hide any. A handle is the GPU's number
// plus one.
inline int physical_of(nvmlDevice_t device) {
    return static_cast<int>(reinterpret_cast<uintptr_t>(device)) - 1;
}
inline nvmlDevice_t handle_of(int physical) {
    return reinterpret_cast<nvmlDevice_t>(static_cast<uintptr_t>(physical) + 1);
}

bool initialised();

// The error that a call with this handle must return, or NVML_SUCCESS.
nvmlReturn_t check_device(nvmlDevice_t device);
// Copies a text with its terminator; NVML_ERROR_INSUFFICIENT_SIZE if it does not fit.
nvmlReturn_t copy_text(const char* text, char* out, unsigned bytes);

}  // namespace revati::nvml
