// PyTorch's own kernels: elementwise, gather, copy and fill. The number of elements is the first parameter,
// dtypes stand in the template arguments.
#include <algorithm>
#include <cstdlib>

#include "cost/kernels/arguments.h"
#include "cost/kernels/factories.h"

namespace revati::cost::kernels {
namespace {

constexpr int64_t max_elements = int64_t{1} << 40;

class ElementwiseModel : public KernelModel {
  public:
    ElementwiseModel(Core* core, Family family, int64_t bytes_of_an_element, uint32_t count_bytes)
        : core_(core), family_(family), bytes_of_an_element_(bytes_of_an_element), arg_bytes_{count_bytes} {}

    Duration estimate(const KernelLaunch& launch) const override {
        const int64_t elements = Arguments(launch).integer_or(0, 1, max_elements, 0);
        if (elements == 0) return core_->guess(family_, threads_of(launch) * 16);
        return core_->by_bytes(family_, static_cast<uint64_t>(elements * bytes_of_an_element_));
    }

    const std::vector<uint32_t>& expected_arg_bytes() const override { return arg_bytes_; }

  private:
    Core* core_;
    Family family_;
    int64_t bytes_of_an_element_;
    std::vector<uint32_t> arg_bytes_;
};

// vectorized_gather_kernel(char* out, char* in, index*, int indices, long slice_bytes, ...): rows of an
// embedding table.
class GatherModel : public KernelModel {
  public:
    GatherModel(Core* core, const KernelName& name) : core_(core), arg_bytes_(name.param_bytes) {}

    Duration estimate(const KernelLaunch& launch) const override {
        const Arguments args(launch);
        const int64_t rows = args.integer_or(3, 1, max_elements, 0),
                      row_bytes = args.integer_or(4, 1, max_elements, 0);
        if (rows == 0 || row_bytes == 0 || rows > max_elements / row_bytes)
            return core_->guess(Family::embedding, threads_of(launch) * 16);
        return core_->by_bytes(Family::embedding, static_cast<uint64_t>(2 * rows * row_bytes));
    }

    const std::vector<uint32_t>& expected_arg_bytes() const override { return arg_bytes_; }

  private:
    Core* core_;
    std::vector<uint32_t> arg_bytes_;
};

// "std::array<char*, 3ul>" names how many tensors take part.
int64_t tensors_of(const std::string& templates) {
    const size_t at = templates.rfind("array<char*, ");
    if (at == std::string::npos) return 2;
    return std::clamp<int64_t>(std::strtol(templates.c_str() + at + 13, nullptr, 10), 1, 16);
}

bool ends_with(const std::string& text, const char* end) {
    const std::string tail = end;
    return text.size() >= tail.size() && text.compare(text.size() - tail.size(), tail.size(), tail) == 0;
}

}  // namespace

std::unique_ptr<KernelModel> make_aten(const KernelName& name, Core* core, SharedState*) {
    if (name.base.find("at::native::") == std::string::npos) return nullptr;
    if (ends_with(name.base, "vectorized_gather_kernel")) return std::make_unique<GatherModel>(core, name);
    const bool elementwise =
        ends_with(name.base, "elementwise_kernel") || ends_with(name.base, "elementwise_kernel_with_index");
    if (!elementwise || name.param_bytes.empty()) return nullptr;
    const DType dtype = first_dtype(name.templates);
    const int64_t element_bytes = dtype == DType::unknown ? 4 : bits_of(dtype) / 8;
    const bool fills = name.has("FillFunctor") || name.has("with_index");
    const bool copies = name.has("direct_copy_kernel");
    const Family family = fills ? Family::fill : copies ? Family::copy : Family::elementwise;
    const int64_t tensors = fills ? 1 : tensors_of(name.templates);
    return std::make_unique<ElementwiseModel>(core, family, tensors * element_bytes, name.param_bytes[0]);
}

}  // namespace revati::cost::kernels
