// Cumulative sums of integers: CUB's DeviceScanKernel for one dimension, torch's own kernels
// (ATen/native/cuda/ScanUtils.cuh) for the others.
#include "effects/functors.h"
#include "effects/layouts.h"

namespace revati::effects {
namespace {

struct Scan {
    Effect effect;
    DType input = DType::other, output = DType::other;
    bool outer = false;       // tensor_kernel_scan_outer_dim
    bool wide_count = false;  // CUB counts in 64 bits
};

void scan_row(const Scan& scan, const char* in, char* out, int64_t length, int64_t stride) {
    int64_t sum = 0;
    for (int64_t k = 0; k < length; ++k) {
        sum += load_integer(scan.input, in + k * stride * bytes_of(scan.input));
        store_integer(scan.output, out + k * stride * bytes_of(scan.output), sum);
    }
}

// DeviceScanKernel(in, out, tile state, int start tile, operator, initial value, count)
void run_device_scan(const LaunchView& launch, const void* user) {
    const Scan& scan = *static_cast<const Scan*>(user);
    const int64_t count = scan.wide_count ? launch.arg<int64_t>(6) : launch.arg<uint32_t>(6);
    if (count > control_elements) return;
    scan_row(scan, launch.arg<const char*>(0), launch.arg<char*>(1), count, 1);
}

// tensor_kernel_scan_innermost_dim(out, in, rows, row size, log threads, initial value, operator)
// tensor_kernel_scan_outer_dim(out, in, outer rows, inner rows, row size, initial value, operator)
void run_tensor_scan(const LaunchView& launch, const void* user) {
    const Scan& scan = *static_cast<const Scan*>(user);
    const int64_t outer = launch.arg<uint32_t>(2);
    const int64_t inner = scan.outer ? launch.arg<uint32_t>(3) : 1;
    const int64_t length = scan.outer ? launch.arg<uint32_t>(4) : launch.arg<uint32_t>(3);
    if (outer * inner * length > control_elements) return;
    for (int64_t row = 0; row < outer * inner; ++row) {
        const int64_t start = row / inner * length * inner + row % inner;
        scan_row(scan, launch.arg<const char*>(1) + start * bytes_of(scan.input),
                 launch.arg<char*>(0) + start * bytes_of(scan.output), length, inner);
    }
}

std::string pointee(std::string type) {
    while (!type.empty() && (type.back() == '*' || type.back() == ' ')) type.pop_back();
    const std::string suffix = " const";
    if (type.size() > suffix.size() &&
        type.compare(type.size() - suffix.size(), suffix.size(), suffix) == 0) {
        type.resize(type.size() - suffix.size());
    }
    return type;
}

bool match_device_scan(const TemplateName& name, Scan* scan) {
    // <policy, in, out, tile state, operator, initial value, offset, accumulator, inclusive by lack of an
    // initial value, ...>
    if (!name.is("DeviceScanKernel") || name.arguments.size() < 7) return false;
    if (!parse_template(name.arguments[4]).is("plus") || !parse_template(name.arguments[5]).is("NullType"))
        return false;
    scan->input = dtype_of_type(pointee(name.arguments[1]));
    scan->output = dtype_of_type(pointee(name.arguments[2]));
    scan->wide_count =
        bytes_of(dtype_of_type(name.arguments[6])) == 8 || name.arguments[6] == "unsigned long long";
    scan->effect.function = run_device_scan;
    scan->effect.arg_bytes = {8, 8, 8, 4, 1, 1, scan->wide_count ? 8u : 4u};
    return true;
}

bool match_tensor_scan(const TemplateName& name, Scan* scan) {
    scan->outer = name.is("tensor_kernel_scan_outer_dim");
    if (!scan->outer && !name.is("tensor_kernel_scan_innermost_dim")) return false;
    if (name.arguments.size() < 2 || !parse_template(name.arguments[name.arguments.size() - 1]).is("plus"))
        return false;
    scan->input = scan->output = dtype_of_type(name.arguments[0]);
    const auto element = static_cast<uint32_t>(bytes_of(scan->input));
    scan->effect.function = run_tensor_scan;
    scan->effect.arg_bytes = {8, 8, 4, 4, 4, element, 1};
    return true;
}

const Effect* match_scan(const Kernel& kernel) {
    if (kernel.name.find("DeviceScanKernel") == std::string::npos &&
        kernel.name.find("tensor_kernel_scan_") == std::string::npos)
        return nullptr;
    const TemplateName name = parse_template(demangle(kernel.name));
    auto* const scan = new Scan;
    const bool found = match_device_scan(name, scan) || match_tensor_scan(name, scan);
    if (!found || !is_integer(scan->input) || !is_integer(scan->output)) {
        delete scan;
        return nullptr;
    }
    scan->effect.user = scan;
    return &scan->effect;
}

const Registration scan(match_scan);

}  // namespace
}  // namespace revati::effects
