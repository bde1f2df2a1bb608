// Between processes and between GPUs: IPC handles and peer access.
#include <cstring>
#include <mutex>
#include <set>

#include "cuda/driver/context.h"

namespace revati::driver {
namespace {

static_assert(sizeof(device::MemoryShareHandle) == sizeof(CUipcMemHandle),
              "a memory handle fills its public type");

// Which device may reach which, as enabled by this process.
struct PeerAccess {
    std::mutex mutex;
    std::set<std::pair<int, int>> enabled;
};

PeerAccess& peers() {
    static auto* instance = new PeerAccess;
    return *instance;
}

}  // namespace

REVATI_DRIVER cuIpcGetMemHandle(CUipcMemHandle* out, CUdeviceptr pointer) {
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    device::MemoryShareHandle handle;
    auto status = device::share_memory(to_pointer(pointer), &handle);
    if (status == device::Status::ok) std::memcpy(out, &handle, sizeof handle);
    return result(status);
}

REVATI_DRIVER cuIpcOpenMemHandle_v2(CUdeviceptr* out, CUipcMemHandle given, unsigned int flags) {
    if (out == nullptr || flags != CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    device::MemoryShareHandle handle;
    std::memcpy(&handle, &given, sizeof handle);
    return result(
        device::open_shared_memory(device::current_device(), handle, reinterpret_cast<void**>(out)));
}

REVATI_DRIVER cuIpcCloseMemHandle(CUdeviceptr pointer) {
    if (CUresult error = require_context()) return error;
    return result(device::close_shared_memory(to_pointer(pointer)));
}

REVATI_DRIVER cuIpcGetEventHandle(CUipcEventHandle* out, CUevent handle) {
    device::Event* event = to_event(handle);
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return result(device::share_event(event, out));
}

REVATI_DRIVER cuIpcOpenEventHandle(CUevent* out, CUipcEventHandle handle) {
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    return result(
        device::open_shared_event(device::current_device(), &handle, reinterpret_cast<device::Event**>(out)));
}

REVATI_DRIVER cuCtxEnablePeerAccess(CUcontext handle, unsigned int flags) {
    if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    Context* peer = to_context(handle);
    int device = device::current_device();
    if (peer == nullptr || peer->device == device) return CUDA_ERROR_INVALID_CONTEXT;
    if (device::gpu().peer_access == 0) return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
    std::lock_guard lock(peers().mutex);
    bool added = peers().enabled.insert({device, peer->device}).second;
    return added ? CUDA_SUCCESS : CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
}

REVATI_DRIVER cuCtxDisablePeerAccess(CUcontext handle) {
    if (CUresult error = require_context()) return error;
    Context* peer = to_context(handle);
    if (peer == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    std::lock_guard lock(peers().mutex);
    bool removed = peers().enabled.erase({device::current_device(), peer->device}) != 0;
    return removed ? CUDA_SUCCESS : CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
}

}  // namespace revati::driver
