// Memory operations of streams: writes happen when they are submitted, like everything else; a wait for a
// value is possible only where the value is there already, because nothing of this stream could run later.
#include "cuda/driver/api.h"

namespace revati::driver {
namespace {

CUresult write_words(CUstream handle, CUdeviceptr address, uint64_t value, unsigned words, unsigned flags) {
    device::Stream* stream = to_stream(handle);
    if (flags > CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER || address == 0 || address % (4 * words) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    for (unsigned word = 0; word < words; ++word) {
        auto part = static_cast<uint32_t>(value >> (32 * word));
        auto status = device::fill(stream, to_pointer(address + 4 * word), part, 4, 1, false);
        if (status != device::Status::ok) return result(status);
    }
    return CUDA_SUCCESS;
}

bool satisfied(uint64_t present, uint64_t wanted, unsigned condition, unsigned bits) {
    // "Greater or equal" is cyclic, as documented.
    int64_t difference =
        bits == 32 ? static_cast<int32_t>(present - wanted) : static_cast<int64_t>(present - wanted);
    switch (condition) {
        case CU_STREAM_WAIT_VALUE_GEQ:
            return difference >= 0;
        case CU_STREAM_WAIT_VALUE_EQ:
            return present == wanted;
        case CU_STREAM_WAIT_VALUE_AND:
            return (present & wanted) != 0;
        default:
            return (~(present | wanted) & (bits == 32 ? 0xffffffffU : ~uint64_t{0})) != 0;
    }
}

CUresult wait_value(CUstream handle, CUdeviceptr address, uint64_t wanted, unsigned bits, unsigned flags) {
    unsigned condition = flags & 3U;
    if (address == 0 || address % (bits / 8) != 0) return CUDA_ERROR_INVALID_VALUE;
    if (to_stream(handle) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    device::Allocation allocation;
    if (!device::find_allocation(to_pointer(address), &allocation)) return CUDA_ERROR_INVALID_VALUE;
    uint64_t present = bits == 32 ? *reinterpret_cast<const uint32_t*>(address)
                                  : *reinterpret_cast<const uint64_t*>(address);
    if (satisfied(present, wanted, condition, bits)) return CUDA_SUCCESS;
    device::log_once("cuStreamWaitValue%u on a value that is not there yet is not supported", bits);
    return CUDA_ERROR_NOT_SUPPORTED;
}

}  // namespace

REVATI_DRIVER cuStreamWriteValue32_v2(CUstream stream, CUdeviceptr address, cuuint32_t value,
                                      unsigned int flags) {
    return write_words(stream, address, value, 1, flags);
}
REVATI_DRIVER cuStreamWriteValue64_v2(CUstream stream, CUdeviceptr address, cuuint64_t value,
                                      unsigned int flags) {
    return write_words(stream, address, value, 2, flags);
}
REVATI_DRIVER cuStreamWaitValue32_v2(CUstream stream, CUdeviceptr address, cuuint32_t value,
                                     unsigned int flags) {
    return wait_value(stream, address, value, 32, flags);
}
REVATI_DRIVER cuStreamWaitValue64_v2(CUstream stream, CUdeviceptr address, cuuint64_t value,
                                     unsigned int flags) {
    return wait_value(stream, address, value, 64, flags);
}

}  // namespace revati::driver
