// Reading a launch's arguments, each read checked against the sizes that the device knows.
#pragma once

#include <cstring>

#include "cost/features.h"

namespace revati::cost::kernels {

class Arguments {
  public:
    explicit Arguments(const KernelLaunch& launch) : launch_(launch) {}

    uint32_t count() const {
        return launch_.args == nullptr || launch_.arg_bytes == nullptr ? 0 : launch_.arg_count;
    }
    uint32_t bytes(uint32_t index) const { return index < count() ? launch_.arg_bytes[index] : 0; }

    // A signed integer of four or eight bytes.
    bool integer(uint32_t index, int64_t* out) const {
        if (bytes(index) == 4) {
            int32_t value;
            memcpy(&value, launch_.args[index], sizeof value);
            *out = value;
            return true;
        }
        if (bytes(index) != 8) return false;
        memcpy(out, launch_.args[index], sizeof *out);
        return true;
    }

    // The same within bounds; `fallback` otherwise.
    int64_t integer_or(uint32_t index, int64_t low, int64_t high, int64_t fallback) const {
        int64_t value;
        return integer(index, &value) && value >= low && value <= high ? value : fallback;
    }

    bool pointer(uint32_t index, const void** out) const {
        if (bytes(index) != 8) return false;
        memcpy(out, launch_.args[index], sizeof *out);
        return true;
    }

    // A value inside of a structure that is passed as one argument.
    template <typename T>
    bool field(uint32_t index, uint32_t offset, T* out) const {
        if (uint64_t{offset} + sizeof(T) > bytes(index)) return false;
        memcpy(out, static_cast<const char*>(launch_.args[index]) + offset, sizeof(T));
        return true;
    }

  private:
    const KernelLaunch& launch_;
};

inline uint64_t blocks_of(const KernelLaunch& launch) {
    return uint64_t{launch.grid[0]} * launch.grid[1] * launch.grid[2];
}

inline uint64_t threads_of(const KernelLaunch& launch) {
    return blocks_of(launch) * launch.block[0] * launch.block[1] * launch.block[2];
}

}  // namespace revati::cost::kernels
