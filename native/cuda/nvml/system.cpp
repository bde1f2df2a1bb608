// Start, stop, versions, error texts.
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <string>

#include "cuda/nvml/api.h"

namespace revati::nvml {
namespace {

std::atomic<int> references{0};

}  // namespace

bool initialised() {
    return references > 0;
}

nvmlReturn_t copy_text(const char* text, char* out, unsigned bytes) {
    if (out == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    size_t needed = std::strlen(text) + 1;
    if (needed > bytes) return NVML_ERROR_INSUFFICIENT_SIZE;
    std::memcpy(out, text, needed);
    return NVML_SUCCESS;
}

REVATI_NVML nvmlInit_v2() {
    // Without a session this machine has no driver that would be loaded.
    if (!device::in_session()) return NVML_ERROR_DRIVER_NOT_LOADED;
    ++references;
    return NVML_SUCCESS;
}

REVATI_NVML nvmlInit() {
    return nvmlInit_v2();
}
REVATI_NVML nvmlInitWithFlags(unsigned int) {
    return nvmlInit_v2();
}

REVATI_NVML nvmlShutdown() {
    if (references <= 0) return NVML_ERROR_UNINITIALIZED;
    --references;
    return NVML_SUCCESS;
}

extern "C" REVATI_API const char* nvmlErrorString(nvmlReturn_t result) {
    switch (result) {
        case NVML_SUCCESS:
            return "The operation was successful";
        case NVML_ERROR_UNINITIALIZED:
            return "NVML was not first initialized with nvmlInit()";
        case NVML_ERROR_INVALID_ARGUMENT:
            return "A supplied argument is invalid";
        case NVML_ERROR_NOT_SUPPORTED:
            return "The requested operation is not available on target device";
        case NVML_ERROR_NO_PERMISSION:
            return "The current user does not have permission for operation";
        case NVML_ERROR_NOT_FOUND:
            return "A query to find an object was unsuccessful";
        case NVML_ERROR_INSUFFICIENT_SIZE:
            return "An input argument is not large enough";
        case NVML_ERROR_DRIVER_NOT_LOADED:
            return "NVIDIA driver is not loaded";
        case NVML_ERROR_FUNCTION_NOT_FOUND:
            return "Local version of NVML doesn't implement this function";
        case NVML_ERROR_ARGUMENT_VERSION_MISMATCH:
            return "The provided version is invalid/unsupported";
        default:
            return "An unknown error happened";
    }
}

REVATI_NVML nvmlSystemGetDriverVersion(char* version, unsigned int bytes) {
    if (!initialised()) return NVML_ERROR_UNINITIALIZED;
    return copy_text(device::gpu().driver_version.c_str(), version, bytes);
}

REVATI_NVML nvmlSystemGetNVMLVersion(char* version, unsigned int bytes) {
    if (!initialised()) return NVML_ERROR_UNINITIALIZED;
    // The CUDA major version, then that of the driver.
    std::string text =
        std::to_string(device::gpu().cuda_driver_version / 1000) + "." + device::gpu().driver_version;
    return copy_text(text.c_str(), version, bytes);
}

REVATI_NVML nvmlSystemGetCudaDriverVersion_v2(int* version) {
    if (version == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (!device::in_session()) return NVML_ERROR_DRIVER_NOT_LOADED;
    *version = device::gpu().cuda_driver_version;
    return NVML_SUCCESS;
}

REVATI_NVML nvmlSystemGetCudaDriverVersion(int* version) {
    return nvmlSystemGetCudaDriverVersion_v2(version);
}

REVATI_NVML nvmlSystemGetProcessName(unsigned int pid, char* name, unsigned int bytes) {
    if (!initialised()) return NVML_ERROR_UNINITIALIZED;
    if (name == nullptr || bytes == 0) return NVML_ERROR_INVALID_ARGUMENT;
    char path[64], target[4096];
    std::snprintf(path, sizeof path, "/proc/%u/exe", pid);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0) return NVML_ERROR_NOT_FOUND;
    target[length] = '\0';
    std::snprintf(name, bytes, "%s", target);
    return NVML_SUCCESS;
}

}  // namespace revati::nvml
