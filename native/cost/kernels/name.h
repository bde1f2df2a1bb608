// What a kernel's name tells: its qualified name, its template arguments, the types of its parameters.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cost/features.h"

namespace revati::cost::kernels {

struct KernelName {
    std::string plain;      // as registered
    std::string base;       // qualified, without template arguments: "vllm::rms_norm_kernel"
    std::string templates;  // between the outermost < and > of the name, demangled; empty if none
    // Size of each parameter, as far as the types are ones whose size is known; a pointer is 8. Stops at the
    // first unknown type.
    std::vector<uint32_t> param_bytes;
    std::string param_kinds;  // one letter for each: p pointer, i integer, f floating point, s structure

    bool has(const char* text) const { return plain.find(text) != std::string::npos; }
};

// Readable, as profilers print it; a name that is not mangled stays.
std::string demangled(const std::string& name);

KernelName parse_kernel_name(const std::string& registered);

// The first scalar type named in demangled template arguments ("c10::BFloat16", "lambda(float)", ...);
// unknown if none.
DType first_dtype(const std::string& demangled);

// Splits at the commas that stand in no bracket.
std::vector<std::string> split_top_level(const std::string& text);

}  // namespace revati::cost::kernels
