// What control-plane kernels do, computed on the host. Shared by all files of this folder; docs/effects.md
// explains the rules.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device/kernel.h"

namespace revati::effects {

using device::Effect;
using device::Kernel;
using device::LaunchView;

// Put one of these, static, into a file to register its matcher when the library is loaded.
struct Registration {
    explicit Registration(device::EffectMatcher matcher) { device::register_effect_matcher(matcher); }
};

// What is control-plane data is decided by type and size: token ids, positions, lengths, indices and masks
// are small integers. Anything larger belongs to the data plane, whose content nobody reads back, and is
// skipped.
constexpr int64_t control_elements = int64_t{1} << 18;        // integers and booleans
constexpr int64_t control_float_elements = int64_t{1} << 12;  // as soon as one operand is floating point
constexpr int64_t control_bytes = int64_t{1} << 18;  // copies of elements whose type the kernel does not know
constexpr int64_t control_row_bytes = int64_t{1}
                                      << 12;  // rows gathered by such a copy: longer ones are hidden states

// Stops the run: the kernel was given a value that a real GPU could not have produced, or has a shape that
// its effect does not know.
[[noreturn]] void refuse(const Kernel& kernel, const char* format, ...) __attribute__((format(printf, 2, 3)));

inline void check_index(const Kernel& kernel, const char* what, int64_t value, int64_t end) {
    if (value < 0 || value >= end) {
        refuse(kernel, "%s %lld is outside [0, %lld)", what, static_cast<long long>(value),
               static_cast<long long>(end));
    }
}

template <typename T>
T read(const void* pointer) {
    T value;
    __builtin_memcpy(&value, pointer, sizeof value);
    return value;
}

template <typename T>
void write(void* pointer, T value) {
    __builtin_memcpy(pointer, &value, sizeof value);
}

constexpr size_t align_up(size_t offset, size_t alignment) {
    return (offset + alignment - 1) / alignment * alignment;
}

}  // namespace revati::effects
