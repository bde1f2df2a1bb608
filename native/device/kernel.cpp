#include "device/kernel.h"

#include <algorithm>
#include <mutex>

#include "device/device.h"
#include "device/log.h"
#include "device/stats.h"
#include "device/stream_internal.h"

namespace revati::device {
namespace {

std::vector<EffectMatcher>& matchers() {
    static auto* const list = new std::vector<EffectMatcher>;
    return *list;
}

std::vector<JointMatcher>& joint_matchers() {
    static auto* const list = new std::vector<JointMatcher>;
    return *list;
}

const JointKernel* find_joint(const Kernel& kernel) {
    for (const JointMatcher matcher : joint_matchers()) {
        const JointKernel* const joint = matcher(kernel);
        if (joint != nullptr) return joint;
    }
    return nullptr;
}

const Effect* find_effect(const Kernel& kernel) {
    for (const EffectMatcher matcher : matchers()) {
        const Effect* const effect = matcher(kernel);
        if (effect != nullptr) return effect;
    }
    return nullptr;
}

// A layout that the binary tells must agree with the one an effect was written for: reading arguments at the
// wrong place would be silent garbage.
void check_layout(const Kernel& kernel, const std::vector<uint32_t>& expected) {
    if (!kernel.params.known || expected.empty() || kernel.params.bytes == expected) return;
    fail_closed(
        "revati: the kernel '%s' has %zu parameters where its effect knows %zu, or of other sizes: this "
        "framework release is newer than "
        "the effect. See docs/effects.md for how to add it.",
        kernel.name.c_str(), kernel.params.bytes.size(), expected.size());
}

}  // namespace

void register_effect_matcher(EffectMatcher matcher) {
    matchers().push_back(matcher);
}

int told_registers(const KernelAttributes& attributes) {
    if (attributes.registers > 0) return attributes.registers;
    return gpu().registers_per_block / std::max(attributes.max_threads_per_block, 1);
}

void register_joint_matcher(JointMatcher matcher) {
    joint_matchers().push_back(matcher);
}

void resolve(Kernel* kernel) {
    if (kernel->resolved.load(std::memory_order_acquire)) return;
    static auto* const mutex = new std::mutex;
    const std::lock_guard<std::mutex> lock(*mutex);
    if (kernel->resolved.load(std::memory_order_acquire)) return;
    kernel->effect = find_effect(*kernel);
    kernel->model = estimator().model_for(kernel->name.c_str());
    kernel->joint = find_joint(*kernel);
    std::vector<uint32_t> wanted;
    if (kernel->effect != nullptr) {
        check_layout(*kernel, kernel->effect->arg_bytes);
        wanted = kernel->effect->arg_bytes;
    }
    if (wanted.size() < kernel->model->expected_arg_bytes().size())
        wanted = kernel->model->expected_arg_bytes();
    if (kernel->joint != nullptr && wanted.size() < kernel->joint->arg_bytes.size())
        wanted = kernel->joint->arg_bytes;
    if (kernel->params.known) wanted = kernel->params.bytes;
    kernel->kept_arg_bytes = std::move(wanted);
    kernel->resolved.store(true, std::memory_order_release);
}

cost::Duration price(const Kernel& kernel, const LaunchConfig& config, void* const* args) {
    cost::KernelLaunch launch;
    launch.name = kernel.name.c_str();
    launch.grid[0] = config.grid.x;
    launch.grid[1] = config.grid.y;
    launch.grid[2] = config.grid.z;
    launch.block[0] = config.block.x;
    launch.block[1] = config.block.y;
    launch.block[2] = config.block.z;
    launch.shared_bytes = config.shared_bytes;
    if (args != nullptr && !kernel.kept_arg_bytes.empty()) {
        launch.args = args;
        launch.arg_bytes = kernel.kept_arg_bytes.data();
        launch.arg_count = static_cast<uint32_t>(kernel.kept_arg_bytes.size());
    }
    return kernel.model->estimate(launch);
}

void perform(const Kernel& kernel, const LaunchConfig& config, void* const* args, int device,
             Stream* stream) {
    const LaunchView view{&kernel, config.grid, config.block, config.shared_bytes, args, device, stream};
    kernel.effect->function(view, kernel.effect->user);
    bump(stats().effects);
}

}  // namespace revati::device
