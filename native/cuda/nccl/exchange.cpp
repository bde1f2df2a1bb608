#include "cuda/nccl/exchange.h"

#include <algorithm>
#include <cstring>

#include "device/device.h"
#include "device/recording.h"
#include "device/time.h"

namespace revati::nccl {
namespace {

struct Shape {
    cost::CollectiveKind kind;
    const char* label;
};

Shape shape_of(Kind kind) {
    switch (kind) {
        case Kind::all_reduce:
            return {cost::CollectiveKind::all_reduce, "ncclAllReduce"};
        case Kind::reduce:
            return {cost::CollectiveKind::reduce, "ncclReduce"};
        case Kind::broadcast:
            return {cost::CollectiveKind::broadcast, "ncclBroadcast"};
        case Kind::all_gather:
            return {cost::CollectiveKind::all_gather, "ncclAllGather"};
        case Kind::reduce_scatter:
            return {cost::CollectiveKind::reduce_scatter, "ncclReduceScatter"};
        case Kind::all_to_all:
            return {cost::CollectiveKind::all_to_all, "ncclAlltoAll"};
        // The root's link carries all parts one after the other, as in the collectives that they are priced
        // as.
        case Kind::gather:
            return {cost::CollectiveKind::all_gather, "ncclGather"};
        case Kind::scatter:
            return {cost::CollectiveKind::reduce_scatter, "ncclScatter"};
    }
    return {cost::CollectiveKind::all_reduce, "nccl"};
}

bool reduces(Kind kind) {
    return kind == Kind::all_reduce || kind == Kind::reduce || kind == Kind::reduce_scatter;
}
bool is_integer(DataType type) {
    return type <= uint64;
}

size_t part_bytes(const Collective& work) {
    return work.count * bytes_of(work.type);
}

// Bytes of the buffer that a rank sends from.
size_t input_bytes(const Collective& work) {
    bool parts =
        work.kind == Kind::reduce_scatter || work.kind == Kind::all_to_all || work.kind == Kind::scatter;
    return part_bytes(work) * (parts ? static_cast<size_t>(work.communicator->ranks) : 1);
}

bool sends(const Collective& work) {
    bool from_root = work.kind == Kind::broadcast || work.kind == Kind::scatter;
    return !from_root || work.communicator->rank == work.root;
}

bool receives(const Collective& work) {
    bool to_root = work.kind == Kind::reduce || work.kind == Kind::gather;
    return !to_root || work.communicator->rank == work.root;
}

// Numbers that arrive hold up whatever reads memory behind them, until all ranks have sent theirs. Integers
// steer the host; floats do not, and only few of them are looked at.
constexpr size_t float_payload_bytes = 4096;

bool is_capturing(device::Stream* stream) {
    device::CaptureInfo info;
    return device::capture_info(stream, &info) == device::Status::ok &&
           info.state == device::CaptureState::active;
}

// In graphs, which are activations' place, floats do not travel.
bool small(DataType type, size_t bytes, device::Stream* stream) {
    if (is_integer(type)) return bytes <= device::joint_payload_bytes;
    return bytes <= float_payload_bytes && !is_capturing(stream);
}

// Whether the numbers themselves are exchanged.
bool travels(const Collective& work) {
    return small(work.type, input_bytes(work), work.stream) && (!reduces(work.kind) || can_reduce(work.type));
}

struct Payloads {
    const device::JointGroup& group;
    uint64_t payload;
    const uint8_t* of(int rank) const { return group.payload(rank, payload); }
};

Reduction reduction_of(const Collective& work) {
    if (work.op < built_in_ops) return {static_cast<RedOp>(work.op), 1, false};
    std::lock_guard lock(work.communicator->mutex);
    return work.communicator->custom_ops.at(work.op);
}

void reduce_parts(const Collective& work, const Payloads& payloads, size_t offset_bytes) {
    std::vector<const void*> sources(work.communicator->ranks);
    for (int rank = 0; rank < work.communicator->ranks; ++rank)
        sources[rank] = payloads.of(rank) + offset_bytes;
    reduce(reduction_of(work), work.type, sources.data(), work.communicator->ranks, work.count, work.receive);
}

void deliver(const Collective& work, const Payloads& payloads) {
    if (!receives(work) || part_bytes(work) == 0) return;
    size_t part = part_bytes(work);
    auto* out = static_cast<uint8_t*>(work.receive);
    size_t own = static_cast<size_t>(work.communicator->rank) * part;
    switch (work.kind) {
        case Kind::all_reduce:
        case Kind::reduce:
            return reduce_parts(work, payloads, 0);
        case Kind::reduce_scatter:
            return reduce_parts(work, payloads, own);
        case Kind::broadcast:
            std::memmove(out, payloads.of(work.root), part);
            return;
        case Kind::scatter:
            std::memmove(out, payloads.of(work.root) + own, part);
            return;
        case Kind::all_gather:
        case Kind::gather:
        case Kind::all_to_all:
            break;
    }
    for (int rank = 0; rank < work.communicator->ranks; ++rank) {
        size_t offset = work.kind == Kind::all_to_all ? own : 0;
        std::memmove(out + static_cast<size_t>(rank) * part, payloads.of(rank) + offset, part);
    }
}

device::JointWork joint_work_of(const Collective& work) {
    cost::CollectiveFeatures features;
    features.kind = shape_of(work.kind).kind;
    features.ranks = work.communicator->ranks;
    features.bytes = input_bytes(work);
    features.nodes = work.communicator->nodes;
    device::JointWork joint;
    joint.group = work.communicator->meeting;
    joint.signature = {static_cast<int32_t>(work.kind), work.type, reduces(work.kind) ? work.op : 0,
                       work.root, work.count};
    joint.duration = device::estimator().collective(features);
    joint.travels = travels(work);
    if (!joint.travels) return joint;
    if (sends(work)) {
        joint.payload = work.send;
        joint.payload_bytes = input_bytes(work);
    }
    if (receives(work)) {
        joint.deliver = [work](const device::JointGroup& group, uint64_t payload) {
            deliver(work, Payloads{group, payload});
        };
    }
    return joint;
}

Result submit_set(Communicator* communicator, device::Stream* stream, device::JointSet&& set) {
    device::JointStatus met = device::JointStatus::ok;
    auto status = device::submit_joint(stream, std::make_shared<device::JointSet>(std::move(set)), &met);
    if (status != device::Status::ok) return unhandled_cuda_error;
    return met == device::JointStatus::ok ? success : meeting_failed(communicator, met);
}

// With one rank a collective is a copy.
Result run_alone(const Collective& work) {
    if (part_bytes(work) == 0 || work.send == work.receive) return success;
    auto status = device::copy(work.stream, work.receive, work.send, part_bytes(work), false);
    return status == device::Status::ok ? success : unhandled_cuda_error;
}

Result run_collective(const Collective& work) {
    if (work.communicator->ranks == 1) return run_alone(work);
    device::JointSet set;
    set.label = shape_of(work.kind).label;
    set.works.push_back(joint_work_of(work));
    set.description = device::describe_call(set.label, set.works.front().duration);
    return submit_set(work.communicator, work.stream, std::move(set));
}

constexpr int32_t message_kind = 100;

device::JointWork joint_work_of(const PointToPoint& message) {
    Communicator* communicator = message.communicator;
    int from = message.is_send ? communicator->rank : message.peer;
    int to = message.is_send ? message.peer : communicator->rank;
    device::JointWork joint;
    {
        std::lock_guard lock(communicator->mutex);
        auto& channel = communicator->channels[{from, to}];
        if (channel == nullptr) channel = communicator->meeting->channel(from, to);
        joint.group = channel;
    }
    size_t bytes = message.count * bytes_of(message.type);
    cost::CollectiveFeatures features;
    features.kind = cost::CollectiveKind::send;
    features.ranks = 2;
    features.bytes = bytes;
    const device::JointGroup& meeting = *communicator->meeting;
    if (device::node_of(meeting.device_of(from)) != device::node_of(meeting.device_of(to)))
        features.nodes = 2;
    joint.signature.kind = message_kind;
    joint.signature.count = bytes;
    joint.duration = device::estimator().collective(features);
    joint.travels = small(message.type, bytes, message.stream);
    if (joint.travels && message.is_send) {
        joint.payload = message.buffer;
        joint.payload_bytes = bytes;
    }
    if (joint.travels && !message.is_send) {
        joint.deliver = [buffer = message.buffer, bytes](const device::JointGroup& group, uint64_t payload) {
            std::memcpy(buffer, group.payload(0, payload), bytes);
        };
    }
    return joint;
}

// A message to oneself: its two halves are in the same group.
Result copy_to_self(const std::vector<PointToPoint>& messages) {
    std::vector<const PointToPoint*> sends;
    for (const PointToPoint& message : messages) {
        if (message.is_send && message.peer == message.communicator->rank) sends.push_back(&message);
    }
    size_t next = 0;
    for (const PointToPoint& message : messages) {
        if (message.is_send || message.peer != message.communicator->rank) continue;
        if (next >= sends.size())
            return fail(message.communicator, invalid_usage,
                        "ncclRecv from the own rank without its ncclSend");
        const PointToPoint& from = *sends[next++];
        auto status = device::copy(message.stream, message.buffer, from.buffer,
                                   from.count * bytes_of(from.type), false);
        if (status != device::Status::ok) return unhandled_cuda_error;
    }
    return success;
}

}  // namespace

Result run_collectives(const std::vector<Collective>& collectives) {
    // Round by round: one thread may hold many ranks, and a rank's next piece may wait for all of the one
    // before.
    std::map<Communicator*, std::vector<const Collective*>> queues;
    size_t rounds = 0;
    for (const Collective& work : collectives) {
        auto& queue = queues[work.communicator];
        queue.push_back(&work);
        rounds = std::max(rounds, queue.size());
    }
    Result first = success;
    for (size_t round = 0; round < rounds; ++round) {
        for (auto& [communicator, queue] : queues) {
            if (round >= queue.size()) continue;
            Result result = run_collective(*queue[round]);
            if (first == success) first = result;
        }
    }
    return first;
}

// The messages of a group that one rank puts on one stream start together, as the real library's one kernel.
Result run_messages(const std::vector<PointToPoint>& messages) {
    Result result = copy_to_self(messages);
    std::map<std::pair<Communicator*, device::Stream*>, device::JointSet> sets;
    for (const PointToPoint& message : messages) {
        if (message.peer == message.communicator->rank) continue;
        device::JointSet& set = sets[{message.communicator, message.stream}];
        set.label = message.is_send ? "ncclSend" : "ncclRecv";
        set.works.push_back(joint_work_of(message));
        // Of the longest, which the set lasts as long as.
        const uint32_t description = device::describe_call(set.label, set.works.back().duration);
        if (set.works.back().duration.ns == device::longest_of(set).ns) set.description = description;
    }
    for (auto& [place, set] : sets) {
        Result submitted = submit_set(place.first, place.second, std::move(set));
        if (result == success) result = submitted;
    }
    return result;
}

}  // namespace revati::nccl
