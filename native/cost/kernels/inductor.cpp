// Kernels that torch.compile generates: `triton_{poi,red,per,tem}_fused_*`. Their arguments are pointers,
// sizes of dynamic shapes, and the extents of the iteration space last; an extent of 1 is no argument at all,
// and Triton appends null pointers.
#include <algorithm>

#include "cost/kernels/arguments.h"
#include "cost/kernels/factories.h"

namespace revati::cost::kernels {
namespace {

constexpr int64_t element_bytes = 2;  // the name does not tell; activations are mostly 16-bit
constexpr uint64_t smallest_address = uint64_t{1} << 32;

class InductorModel : public KernelModel {
  public:
    // `extra`: tensors passed over beyond one for each pointer; negative for pointers to something small.
    // `combined`: several kernels in one, see `several_in_one`.
    InductorModel(Core* core, bool reduction, int extra, bool combined)
        : core_(core), reduction_(reduction), extra_(extra), combined_(combined) {}

    Duration estimate(const KernelLaunch& launch) const override {
        const Arguments args(launch);
        const Family family = reduction_ ? Family::norm : Family::elementwise;
        int64_t tensors = 0, extents[2] = {1, 1};
        for (uint32_t i = 0; i < args.count(); ++i) {
            int64_t value = 0;
            if (!args.integer(i, &value)) continue;
            if (args.bytes(i) == 8) {
                tensors += static_cast<uint64_t>(value) >= smallest_address ? 1 : 0;
            } else if (value > 0) {
                extents[0] = extents[1];
                extents[1] = value;
            }
        }
        const bool two_dimensional = reduction_ || launch.grid[1] > 1 || launch.grid[2] > 1;
        int64_t elements = two_dimensional ? extents[0] * extents[1] : extents[1];
        tensors = std::max<int64_t>(tensors + extra_, 1);
        const auto product = static_cast<int64_t>(core_->elements_of_last_product());
        if (combined_ && product > 0 && product < elements) {
            elements = product;
            tensors = 2;  // its parts read and write it once
        }
        if (elements <= 1 || elements > int64_t{1} << 40)
            return core_->guess(family, threads_of(launch) * 16);
        return core_->by_bytes(family, static_cast<uint64_t>(elements * element_bytes * tensors));
    }

  private:
    Core* core_;
    bool reduction_;
    int extra_;
    bool combined_;
};

// Several independent reductions in one launch, as the norms of queries and of keys, carry no operation in
// their name
// (`triton_red_fused_2`), and their integers are the rows of each: the product of two of them means nothing.
// Such a kernel works on what the product of matrices before it has written.
bool several_in_one(const std::string& name) {
    const size_t at = name.find("_fused_");
    return at != std::string::npos && name.find_first_not_of("0123456789", at + 7) == std::string::npos;
}

}  // namespace

std::unique_ptr<KernelModel> make_inductor(const KernelName& name, Core* core, SharedState*) {
    if (name.plain.compare(0, 7, "triton_") != 0) return nullptr;
    const std::string kind = name.plain.substr(7, 4);
    if (kind != "poi_" && kind != "red_" && kind != "per_") return nullptr;
    const bool reduction = kind != "poi_";
    int extra = 0;
    if (reduction && name.has("norm")) extra = -1;  // the weight is one row
    if (!reduction && name.has("silu"))
        extra = 1;  // a gated activation reads twice as many elements as it iterates over
    return std::make_unique<InductorModel>(core, reduction, extra, reduction && several_in_one(name.plain));
}

}  // namespace revati::cost::kernels
