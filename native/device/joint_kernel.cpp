// Kernels that several ranks launch together: all-reduce kernels of frameworks. They find each other through
// the memory that they share: rank 0's buffer is the same file in every process.
#include <map>

#include "device/device.h"
#include "device/log.h"
#include "device/memory.h"
#include "device/recording.h"
#include "device/stats.h"
#include "device/stream_internal.h"

namespace revati::device {
namespace {

constexpr int32_t kernel_kind = 1000;  // in signatures; NCCL's kinds are below

using GroupKey = std::pair<uint64_t, uint64_t>;

std::shared_ptr<JointGroup> group_at(const JointKernel::Place& place, int device) {
    static auto* const mutex = new std::mutex;
    static auto* const groups = new std::map<GroupKey, std::shared_ptr<JointGroup>>;
    const std::lock_guard<std::mutex> lock(*mutex);
    std::shared_ptr<JointGroup>& group = (*groups)[{place.memory, place.offset}];
    if (group != nullptr) return group;
    std::string error;
    const std::string name = "memory-" + std::to_string(place.memory) + "+" + std::to_string(place.offset);
    group = JointGroup::enter(name, place.ranks, place.rank, physical_index(device), &error);
    if (group == nullptr) log_once("kernels that share memory: %s", error.c_str());
    return group;
}

}  // namespace

std::shared_ptr<const JointSet> joint_set_of(const Kernel& kernel, const LaunchConfig& config,
                                             void* const* args, int device) {
    JointKernel::Place place;
    place.ranks = kernel.joint->ranks;
    const bool found = args != nullptr && kernel.joint->find(args, *kernel.joint, &place);
    const bool sound = found && place.ranks > 1 && place.rank >= 0 && place.rank < place.ranks;
    const std::shared_ptr<JointGroup> group = sound ? group_at(place, device) : nullptr;
    if (group == nullptr) {
        log_once("%s: its group cannot be told from its arguments; it waits for nobody", kernel.name.c_str());
        return nullptr;
    }
    auto set = std::make_shared<JointSet>();
    set->label = kernel.name.c_str();
    JointWork work;
    work.group = group;
    work.signature.kind = kernel_kind;
    work.signature.count = place.size;
    work.duration = price(kernel, config, args);
    set->description = describe_kernel(kernel, config, work.duration);
    set->works.push_back(std::move(work));
    return set;
}

void launch_joint(Stream* stream, const JointSet& set) {
    WorkTime work;
    work.latency_ns = gpu().launch_latency_ns;
    work.gap_ns = gpu().kernel_gap_ns;
    JointStatus result = JointStatus::ok;
    const Instant start = start_of(stream, work);
    const Instant end = start_joint(set, start, &StreamAccess::deliveries(stream), &result);
    finish_at(stream, end);
    if (result == JointStatus::mismatch)
        log_once("%s: the ranks launched it with different sizes", set.label);
    if (result == JointStatus::peer_lost) {
        const JointGroup& group = *set.works.front().group;
        const int lost = group.lost_peer();
        fail_closed("revati: rank %d (process %d) has ended; rank %d launched %s, which waits for it", lost,
                    group.process_of(lost), group.rank(), set.label);
    }
    count_joint(stream, set, end);
    bump(stats().launches);
}

}  // namespace revati::device
