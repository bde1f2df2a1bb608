// Kernel models by kernel name. Each file here answers for one kind of kernel; the first that knows a name
// wins, `guess` takes the rest.
#pragma once

#include <memory>
#include <string>

#include "cost/core.h"
#include "cost/kernels/boards.h"
#include "cost/kernels/name.h"

namespace revati::cost::kernels {

struct SharedState {
    LengthsBoard lengths;
    RoutingBoard routing;
};

// Each returns null for a name that it does not know.
using Factory = std::unique_ptr<KernelModel> (*)(const KernelName& name, Core* core, SharedState* state);
std::unique_ptr<KernelModel> make_flash_attention(const KernelName& name, Core* core, SharedState* state);
std::unique_ptr<KernelModel> make_flash_attention_2(const KernelName& name, Core* core, SharedState* state);
std::unique_ptr<KernelModel> make_unified_attention(const KernelName& name, Core* core, SharedState* state);
std::unique_ptr<KernelModel> make_moe(const KernelName& name, Core* core, SharedState* state);
std::unique_ptr<KernelModel> make_marlin(const KernelName& name, Core* core, SharedState* state);
std::unique_ptr<KernelModel> make_cutlass_gemm(const KernelName& name, Core* core, SharedState* state);
std::unique_ptr<KernelModel> make_sampler(const KernelName& name, Core* core, SharedState* state);
std::unique_ptr<KernelModel> make_rows(const KernelName& name, Core* core, SharedState* state);
std::unique_ptr<KernelModel> make_collective(const KernelName& name, Core* core, SharedState* state);
std::unique_ptr<KernelModel> make_inductor(const KernelName& name, Core* core, SharedState* state);
std::unique_ptr<KernelModel> make_aten(const KernelName& name, Core* core, SharedState* state);
std::unique_ptr<KernelModel> make_guess(const KernelName& name, Core* core, SharedState* state);

std::unique_ptr<KernelModel> make_model(const std::string& registered_name, Core* core, SharedState* state);

// The family that a name suggests.
Family family_by_name(const KernelName& name);

}  // namespace revati::cost::kernels
