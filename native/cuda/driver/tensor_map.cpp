// Tensor maps: descriptors that Hopper and later GPUs read when a kernel copies a tile. No kernel runs here,
// so that only the documented checks of the arguments matter; the 128 bytes then hold the arguments
// themselves, for whoever wants to know what a launch reads.
#include <cstring>

#include "cuda/driver/api.h"

namespace revati::driver {
namespace {

// What we write into CUtensorMap::opaque. The real layout belongs to the hardware and is not public.
struct Description {
    uint64_t magic;
    uint64_t address;
    uint32_t type, rank;
    uint64_t dimensions[5];
    uint32_t box[5];
    uint32_t interleave, swizzle;
};
constexpr uint64_t description_magic = 0x50414d5456455231;
static_assert(sizeof(Description) <= sizeof(CUtensorMap), "fits into the public type");

constexpr uint64_t most_elements = uint64_t{1} << 32;
constexpr uint64_t stride_limit_bytes = uint64_t{1} << 40;

size_t element_bytes(CUtensorMapDataType type) {
    switch (type) {
        case CU_TENSOR_MAP_DATA_TYPE_UINT8:
            return 1;
        case CU_TENSOR_MAP_DATA_TYPE_UINT16:
        case CU_TENSOR_MAP_DATA_TYPE_FLOAT16:
        case CU_TENSOR_MAP_DATA_TYPE_BFLOAT16:
            return 2;
        case CU_TENSOR_MAP_DATA_TYPE_UINT64:
        case CU_TENSOR_MAP_DATA_TYPE_INT64:
        case CU_TENSOR_MAP_DATA_TYPE_FLOAT64:
            return 8;
        default:
            return 4;
    }
}

bool is_packed(CUtensorMapDataType type) {
    return type >= CU_TENSOR_MAP_DATA_TYPE_16U4_ALIGN8B;
}

size_t swizzle_bytes(CUtensorMapSwizzle swizzle) {
    switch (swizzle) {
        case CU_TENSOR_MAP_SWIZZLE_NONE:
            return SIZE_MAX;
        case CU_TENSOR_MAP_SWIZZLE_32B:
            return 32;
        case CU_TENSOR_MAP_SWIZZLE_64B:
            return 64;
        default:
            return 128;
    }
}

struct Request {
    CUtensorMap* map;
    CUtensorMapDataType type;
    cuuint32_t rank;
    void* address;
    const cuuint64_t* dimensions;
    const cuuint64_t* strides;
    const cuuint32_t* element_strides;
    CUtensorMapInterleave interleave;
    CUtensorMapSwizzle swizzle;
};

CUresult check_tensor(const Request& request, cuuint32_t least_rank) {
    auto bits = reinterpret_cast<uintptr_t>(request.address);
    bool wide = request.interleave == CU_TENSOR_MAP_INTERLEAVE_32B ||
                request.type >= CU_TENSOR_MAP_DATA_TYPE_16U4_ALIGN16B;
    size_t alignment = wide ? 32 : 16;
    if (request.map == nullptr || request.dimensions == nullptr || request.element_strides == nullptr)
        return CUDA_ERROR_INVALID_VALUE;
    if (request.type > CU_TENSOR_MAP_DATA_TYPE_16U6_ALIGN16B || request.rank < least_rank ||
        request.rank > 5) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (request.interleave != CU_TENSOR_MAP_INTERLEAVE_NONE && request.rank < 3)
        return CUDA_ERROR_INVALID_VALUE;
    if (request.interleave == CU_TENSOR_MAP_INTERLEAVE_32B && request.swizzle != CU_TENSOR_MAP_SWIZZLE_32B) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (bits == 0 || bits % alignment != 0 || (request.rank > 1 && request.strides == nullptr))
        return CUDA_ERROR_INVALID_VALUE;
    for (cuuint32_t axis = 0; axis < request.rank; ++axis) {
        if (request.dimensions[axis] == 0 || request.dimensions[axis] > most_elements)
            return CUDA_ERROR_INVALID_VALUE;
        if (request.element_strides[axis] == 0 || request.element_strides[axis] > 8)
            return CUDA_ERROR_INVALID_VALUE;
    }
    for (cuuint32_t axis = 0; axis + 1 < request.rank; ++axis) {
        if (request.strides[axis] % alignment != 0 || request.strides[axis] >= stride_limit_bytes)
            return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

CUresult check_inner_box(const Request& request, size_t elements) {
    if (is_packed(request.type)) return CUDA_SUCCESS;
    size_t bytes = elements * element_bytes(request.type);
    if (request.interleave != CU_TENSOR_MAP_INTERLEAVE_NONE) return CUDA_SUCCESS;
    return bytes % 16 == 0 && bytes <= swizzle_bytes(request.swizzle) ? CUDA_SUCCESS
                                                                      : CUDA_ERROR_INVALID_VALUE;
}

void write(const Request& request, const cuuint32_t* box) {
    Description description = {};
    description.magic = description_magic;
    description.address = reinterpret_cast<uintptr_t>(request.address);
    description.type = request.type;
    description.rank = request.rank;
    for (cuuint32_t axis = 0; axis < request.rank; ++axis) {
        description.dimensions[axis] = request.dimensions[axis];
        description.box[axis] = box != nullptr ? box[axis] : 0;
    }
    description.interleave = request.interleave;
    description.swizzle = request.swizzle;
    std::memset(request.map, 0, sizeof *request.map);
    std::memcpy(request.map, &description, sizeof description);
}

CUresult check_supported() {
    if (device::device_count() == 0) return CUDA_ERROR_NO_DEVICE;
    return device::gpu().compute_major >= 9 ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
}

}  // namespace

REVATI_DRIVER cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank,
                                     void* address, const cuuint64_t* dimensions, const cuuint64_t* strides,
                                     const cuuint32_t* box, const cuuint32_t* element_strides,
                                     CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                     CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
    if (CUresult error = check_supported()) return error;
    Request request{map, type, rank, address, dimensions, strides, element_strides, interleave, swizzle};
    if (box == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = check_tensor(request, 1)) return error;
    for (cuuint32_t axis = 0; axis < rank; ++axis) {
        if (box[axis] == 0 || box[axis] > 256) return CUDA_ERROR_INVALID_VALUE;
    }
    if (CUresult error = check_inner_box(request, box[0])) return error;
    write(request, box);
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuTensorMapEncodeIm2col(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank,
                                      void* address, const cuuint64_t* dimensions, const cuuint64_t* strides,
                                      const int* lower_corner, const int* upper_corner, cuuint32_t channels,
                                      cuuint32_t pixels, const cuuint32_t* element_strides,
                                      CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                      CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
    if (CUresult error = check_supported()) return error;
    Request request{map, type, rank, address, dimensions, strides, element_strides, interleave, swizzle};
    if (lower_corner == nullptr || upper_corner == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (channels == 0 || channels > 256 || pixels == 0 || pixels > 1024) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult error = check_tensor(request, 3)) return error;
    if (CUresult error = check_inner_box(request, channels)) return error;
    write(request, nullptr);
    return CUDA_SUCCESS;
}

REVATI_DRIVER cuTensorMapReplaceAddress(CUtensorMap* map, void* address) {
    Description description;
    if (map == nullptr || address == nullptr || reinterpret_cast<uintptr_t>(address) % 16 != 0)
        return CUDA_ERROR_INVALID_VALUE;
    std::memcpy(&description, map, sizeof description);
    if (description.magic != description_magic) return CUDA_ERROR_INVALID_VALUE;
    description.address = reinterpret_cast<uintptr_t>(address);
    std::memcpy(map, &description, sizeof description);
    return CUDA_SUCCESS;
}

}  // namespace revati::driver
