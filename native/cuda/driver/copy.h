// Copies of boxes in linear memory, shared by the copy calls and graph nodes.
#pragma once

#include "cuda/driver/api.h"

namespace revati::driver {

struct BoxPlan {
    uint8_t* source = nullptr;
    uint8_t* destination = nullptr;
    size_t source_pitch = 0, destination_pitch = 0;  // bytes between rows
    size_t source_slice = 0, destination_slice = 0;  // bytes between planes
};

CUresult plan_box(const CUDA_MEMCPY3D& box, BoxPlan* plan);
CUresult copy_box(device::Stream* stream, const CUDA_MEMCPY3D& box, bool synchronous);

}  // namespace revati::driver
