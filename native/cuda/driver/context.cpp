#include "cuda/driver/context.h"

#include <array>
#include <map>
#include <mutex>
#include <set>
#include <vector>

namespace revati::driver {
namespace {

constexpr int most_devices = 64;
constexpr unsigned known_flags = CU_CTX_FLAGS_MASK;
constexpr unsigned api_version = 3020;  // what every driver since CUDA 3.2 answers

// One stack for each thread. The top follows the device that the runtime chose, as it does on the real thing.
struct ThreadState {
    std::vector<Context*> stack;
    bool detached = false;  // cuCtxSetCurrent(NULL) or a pop emptied it
};

thread_local ThreadState thread_state;

std::mutex created_mutex;
std::set<Context*>& created() {
    static auto* contexts = new std::set<Context*>;  // outlives the exit handlers of other libraries
    return *contexts;
}

uint64_t next_id() {
    static std::atomic<uint64_t> last{0};
    return ++last;
}

std::array<Context, most_devices>& primaries() {
    static auto* contexts = [] {
        auto* all = new std::array<Context, most_devices>;
        for (int device = 0; device < most_devices; ++device) {
            (*all)[device].device = device;
            (*all)[device].primary = true;
            (*all)[device].id = next_id();
        }
        return all;
    }();
    return *contexts;
}

CUresult make_current(Context* context) {
    auto status = device::set_current_device(context->device);
    return result(status);
}

CUresult create_context(CUcontext* out, unsigned flags, CUdevice device) {
    if (out == nullptr || (flags & ~known_flags) != 0) return CUDA_ERROR_INVALID_VALUE;
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    auto status = device::ensure_context(device);
    if (status != device::Status::ok) return result(status);
    auto* context = new Context;
    context->device = device;
    context->flags = flags;
    context->id = next_id();
    {
        std::lock_guard lock(created_mutex);
        created().insert(context);
    }
    *out = to_handle(context);
    return cuCtxPushCurrent_v2(*out);
}

}  // namespace

Context* primary_context(int device) {
    return &primaries()[device];
}

Context* to_context(CUcontext handle) {
    auto* context = reinterpret_cast<Context*>(handle);
    if (context == nullptr) return nullptr;
    auto& all = primaries();
    if (context >= all.data() && context < all.data() + all.size()) return context;
    std::lock_guard lock(created_mutex);
    return created().count(context) != 0 ? context : nullptr;
}

Context* current_context() {
    int device = device::current_device();
    if (!thread_state.stack.empty()) {
        Context*& top = thread_state.stack.back();
        if (top->device != device) top = primary_context(device);
        return top;
    }
    bool bound = !thread_state.detached && device::device_count() > 0 && device::has_context(device);
    return bound ? primary_context(device) : nullptr;
}

CUresult require_context() {
    if (current_context() != nullptr) return CUDA_SUCCESS;
    return device::device_count() > 0 ? CUDA_ERROR_INVALID_CONTEXT : CUDA_ERROR_NO_DEVICE;
}

REVATI_DRIVER cuDevicePrimaryCtxRetain(CUcontext* out, CUdevice device) {
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    auto status = device::ensure_context(device);
    if (status != device::Status::ok) return result(status);
    Context* context = primary_context(device);
    ++context->references;
    *out = to_handle(context);
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuDevicePrimaryCtxRelease_v2(CUdevice device) {
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    Context* context = primary_context(device);
    if (context->references <= 0) return CUDA_ERROR_INVALID_CONTEXT;
    // The memory stays charged after the last release: the runtime may hold the context too, and it does not
    // tell.
    --context->references;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuDevicePrimaryCtxRelease(CUdevice device) {
    return cuDevicePrimaryCtxRelease_v2(device);
}

REVATI_DRIVER cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned int flags) {
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    if ((flags & ~known_flags) != 0) return CUDA_ERROR_INVALID_VALUE;
    primary_context(device)->flags = flags;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuDevicePrimaryCtxSetFlags(CUdevice device, unsigned int flags) {
    return cuDevicePrimaryCtxSetFlags_v2(device, flags);
}

REVATI_DRIVER cuDevicePrimaryCtxGetState(CUdevice device, unsigned int* flags, int* active) {
    if (flags == nullptr || active == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    *flags = primary_context(device)->flags;
    *active = device::has_context(device);
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuDevicePrimaryCtxReset_v2(CUdevice device) {
    if (!valid_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    device::reset_device(device);
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuDevicePrimaryCtxReset(CUdevice device) {
    return cuDevicePrimaryCtxReset_v2(device);
}

REVATI_DRIVER cuCtxCreate_v2(CUcontext* out, unsigned int flags, CUdevice device) {
    return create_context(out, flags, device);
}

REVATI_DRIVER cuCtxCreate_v3(CUcontext* out, CUexecAffinityParam*, int parameters, unsigned int flags,
                             CUdevice device) {
    if (parameters != 0) return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
    return create_context(out, flags, device);
}

REVATI_DRIVER cuCtxCreate_v4(CUcontext* out, CUctxCreateParams* parameters, unsigned int flags,
                             CUdevice device) {
    bool plain =
        parameters == nullptr || (parameters->numExecAffinityParams == 0 && parameters->cigParams == nullptr);
    return plain ? create_context(out, flags, device) : CUDA_ERROR_NOT_SUPPORTED;
}

REVATI_DRIVER cuCtxDestroy_v2(CUcontext handle) {
    Context* context = to_context(handle);
    if (context == nullptr || context->primary) return CUDA_ERROR_INVALID_CONTEXT;
    auto& stack = thread_state.stack;
    if (!stack.empty() && stack.back() == context) {
        stack.pop_back();
        thread_state.detached = stack.empty();
    }
    // The record itself stays: other threads may still have it on their stacks, and it is small.
    std::lock_guard lock(created_mutex);
    created().erase(context);
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuCtxPushCurrent_v2(CUcontext handle) {
    Context* context = to_context(handle);
    if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    CUresult error = make_current(context);
    if (error == CUDA_SUCCESS) thread_state.stack.push_back(context);
    return error;
}

REVATI_DRIVER cuCtxPopCurrent_v2(CUcontext* out) {
    Context* top = current_context();
    if (top == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    auto& stack = thread_state.stack;
    if (!stack.empty()) stack.pop_back();
    thread_state.detached = stack.empty();
    if (out != nullptr) *out = to_handle(top);
    return stack.empty() ? CUDA_SUCCESS : make_current(stack.back());
}

REVATI_DRIVER cuCtxSetCurrent(CUcontext handle) {
    auto& stack = thread_state.stack;
    if (handle == nullptr) {
        if (!stack.empty()) stack.pop_back();
        thread_state.detached = stack.empty();
        return stack.empty() ? CUDA_SUCCESS : make_current(stack.back());
    }
    Context* context = to_context(handle);
    if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    CUresult error = make_current(context);
    if (error != CUDA_SUCCESS) return error;
    if (stack.empty()) stack.push_back(context);
    stack.back() = context;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuCtxGetCurrent(CUcontext* out) {
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *out = to_handle(current_context());
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuCtxGetDevice(CUdevice* device) {
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    *device = current_context()->device;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuCtxGetDevice_v2(CUdevice* device, CUcontext handle) {
    if (handle == nullptr) return cuCtxGetDevice(device);
    Context* context = to_context(handle);
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    *device = context->device;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuCtxGetFlags(unsigned int* flags) {
    if (flags == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    *flags = current_context()->flags;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuCtxSetFlags(unsigned int flags) {
    if ((flags & ~known_flags) != 0) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = require_context()) return error;
    current_context()->flags = flags;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuCtxGetId(CUcontext handle, unsigned long long* id) {
    if (id == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Context* context = handle != nullptr ? to_context(handle) : current_context();
    if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    *id = context->id;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuCtxGetApiVersion(CUcontext handle, unsigned int* version) {
    if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Context* context = handle != nullptr ? to_context(handle) : current_context();
    if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    *version = api_version;
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuCtxSynchronize() {
    if (CUresult error = require_context()) return error;
    return result(device::synchronize_device(current_context()->device));
}

REVATI_DRIVER cuCtxSynchronize_v2(CUcontext handle) {
    if (handle == nullptr) return cuCtxSynchronize();
    Context* context = to_context(handle);
    return context == nullptr ? CUDA_ERROR_INVALID_CONTEXT
                              : result(device::synchronize_device(context->device));
}

REVATI_DRIVER cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    if (CUresult error = require_context()) return error;
    if (least != nullptr) *least = 0;
    if (greatest != nullptr) *greatest = -5;
    return CUDA_SUCCESS;
}

}  // namespace revati::driver
