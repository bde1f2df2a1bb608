// Groups: calls between ncclGroupStart and ncclGroupEnd run together at its end.
#include <set>

#include "cuda/nccl/exchange.h"
#include "device/device.h"
#include "device/export.h"

namespace revati::nccl {
namespace {

constexpr int enter_timeout_s = 600;

struct Group {
    int depth = 0;
    std::vector<Entry> entries;
    std::vector<Collective> collectives;
    std::vector<PointToPoint> messages;
    Result error = success;  // of a call within the group
};

thread_local Group group;

std::string list_of(const std::vector<int>& ranks) {
    std::string text;
    for (int rank : ranks) text += (text.empty() ? "" : ", ") + std::to_string(rank);
    return text;
}

Result check_devices(Communicator* communicator) {
    std::map<int, int> owners;
    for (int rank = 0; rank < communicator->ranks; ++rank) {
        int device = communicator->meeting->device_of(rank);
        auto [place, fresh] = owners.insert({device, rank});
        if (!fresh) {
            return fail(communicator, invalid_usage,
                        "duplicate GPU: ranks " + std::to_string(place->second) + " and " +
                            std::to_string(rank) + " both use GPU " + std::to_string(device));
        }
    }
    std::set<int> nodes;
    for (const auto& [device, rank] : owners) nodes.insert(device::node_of(device));
    communicator->nodes = static_cast<int>(nodes.size());
    return success;
}

Result finish_entry(const Entry& entry) {
    Communicator* communicator = entry.communicator;
    Result result = success;
    if (communicator->meeting != nullptr) {
        std::vector<int> missing;
        device::JointStatus met = communicator->meeting->wait_for_all(enter_timeout_s, &missing);
        if (met == device::JointStatus::timed_out) {
            result =
                fail(communicator, system_error,
                     "communicator of " + std::to_string(communicator->ranks) + " ranks: after " +
                         std::to_string(enter_timeout_s) + " s these ranks are missing: " + list_of(missing));
        } else if (met != device::JointStatus::ok) {
            result = meeting_failed(communicator, met);
        } else {
            result = check_devices(communicator);
        }
    }
    if (result == success) {
        *entry.out = communicator;
    } else {
        *entry.out = nullptr;
        communicator->magic = 0;
        delete communicator;
    }
    return result;
}

Result run(Group work) {
    Result first = work.error;
    auto note = [&first](Result result) {
        if (first == success) first = result;
    };
    for (const Entry& entry : work.entries) note(finish_entry(entry));
    if (first == success) note(run_collectives(work.collectives));
    if (first == success) note(run_messages(work.messages));
    return first;
}

template <typename Work>
Result run_or_queue(std::vector<Work> Group::* queue, const Work& work) {
    if (group.depth > 0) {
        (group.*queue).push_back(work);
        return success;
    }
    Group alone;
    (alone.*queue).push_back(work);
    return run(std::move(alone));
}

}  // namespace

Result submit(const Collective& collective) {
    return run_or_queue(&Group::collectives, collective);
}
Result submit(const PointToPoint& message) {
    return run_or_queue(&Group::messages, message);
}
Result submit(const Entry& entry) {
    return run_or_queue(&Group::entries, entry);
}

#define REVATI_NCCL extern "C" REVATI_API Result

REVATI_NCCL ncclGroupStart() {
    ++group.depth;
    return success;
}

REVATI_NCCL ncclGroupEnd() {
    if (group.depth == 0) return fail(nullptr, invalid_usage, "ncclGroupEnd without ncclGroupStart");
    if (--group.depth > 0) return success;
    Group work = std::move(group);
    group = Group();
    return run(std::move(work));
}

REVATI_NCCL ncclGroupSimulateEnd(SimInfo* info) {
    if (group.depth == 0) return fail(nullptr, invalid_usage, "ncclGroupSimulateEnd without ncclGroupStart");
    if (info == nullptr) return fail(nullptr, invalid_argument, "ncclGroupSimulateEnd: simInfo is null");
    if (--group.depth > 0) return success;
    int64_t total_ns = 0;
    for (const Collective& work : group.collectives) {
        cost::CollectiveFeatures features;
        features.ranks = work.communicator->ranks;
        features.bytes = work.count * bytes_of(work.type);
        features.nodes = work.communicator->nodes;
        total_ns += device::estimator().collective(features).ns;
    }
    info->estimated_time = static_cast<float>(total_ns) / 1000.0F;  // microseconds
    group = Group();
    return success;
}

}  // namespace revati::nccl
