// Contexts. One real thing hides behind all of them: the process's share of a virtual GPU.
#pragma once

#include <atomic>

#include "cuda/driver/api.h"

namespace revati::driver {

struct Context {
    static constexpr uint32_t live_magic = 0x43545831;

    uint32_t magic = live_magic;
    int device = 0;
    bool primary = false;
    std::atomic<unsigned> flags{0};
    std::atomic<int> references{0};
    uint64_t id = 0;
};

// The current context of the calling thread, or null.
Context* current_context();
Context* primary_context(int device);
// Null if the handle is no context.
Context* to_context(CUcontext handle);
inline CUcontext to_handle(Context* context) {
    return reinterpret_cast<CUcontext>(context);
}

}  // namespace revati::driver
