#include "cuda/nccl/exchange.h"

#include <algorithm>
#include <cstring>

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

// Whether the numbers themselves are exchanged.
bool travels(const Collective& work) {
    return input_bytes(work) <= payload_limit_bytes && (!reduces(work.kind) || can_reduce(work.type));
}

Reduction reduction_of(const Collective& work) {
    if (work.op < built_in_ops) return {static_cast<RedOp>(work.op), 1, false};
    std::lock_guard lock(work.communicator->mutex);
    return work.communicator->custom_ops.at(work.op);
}

void reduce_parts(const Collective& work, const Rendezvous& meeting, size_t offset_bytes) {
    std::vector<const void*> sources(work.communicator->ranks);
    for (int rank = 0; rank < work.communicator->ranks; ++rank)
        sources[rank] = meeting.payload_of(rank) + offset_bytes;
    reduce(reduction_of(work), work.type, sources.data(), work.communicator->ranks, work.count, work.receive);
}

void deliver(const Collective& work, const Rendezvous& meeting) {
    if (!receives(work) || part_bytes(work) == 0) return;
    size_t part = part_bytes(work);
    auto* out = static_cast<uint8_t*>(work.receive);
    size_t own = static_cast<size_t>(work.communicator->rank) * part;
    switch (work.kind) {
        case Kind::all_reduce:
        case Kind::reduce:
            return reduce_parts(work, meeting, 0);
        case Kind::reduce_scatter:
            return reduce_parts(work, meeting, own);
        case Kind::broadcast:
            std::memmove(out, meeting.payload_of(work.root), part);
            return;
        case Kind::scatter:
            std::memmove(out, meeting.payload_of(work.root) + own, part);
            return;
        case Kind::all_gather:
        case Kind::gather:
        case Kind::all_to_all:
            break;
    }
    for (int rank = 0; rank < work.communicator->ranks; ++rank) {
        size_t offset = work.kind == Kind::all_to_all ? own : 0;
        std::memmove(out + static_cast<size_t>(rank) * part, meeting.payload_of(rank) + offset, part);
    }
}

// The instant at which this rank's part could begin.
int64_t arrival_ns(device::Stream* stream) {
    const device::GpuSpec& spec = device::gpu();
    return std::max(device::now_ns() + spec.launch_latency_ns,
                    device::stream_end_ns(stream) + spec.kernel_gap_ns);
}

Contribution contribution_of(const Collective& work) {
    Contribution contribution;
    contribution.signature = {static_cast<int32_t>(work.kind), work.type, reduces(work.kind) ? work.op : 0,
                              work.root, work.count};
    if (travels(work) && sends(work)) {
        contribution.payload = work.send;
        contribution.payload_bytes = input_bytes(work);
    }
    return contribution;
}

Result submit_work(const Collective& work) {
    Shape shape = shape_of(work.kind);
    cost::CollectiveFeatures features;
    features.kind = shape.kind;
    features.ranks = work.communicator->ranks;
    features.bytes = input_bytes(work);
    auto status = device::submit(work.stream, shape.label, device::estimator().collective(features));
    return status == device::Status::ok ? success : unhandled_cuda_error;
}

bool is_capturing(device::Stream* stream) {
    device::CaptureInfo info;
    return device::capture_info(stream, &info) == device::Status::ok &&
           info.state == device::CaptureState::active;
}

// With one rank a collective is a copy.
Result run_alone(const Collective& work) {
    if (part_bytes(work) == 0 || work.send == work.receive) return success;
    auto status = device::copy(work.stream, work.receive, work.send, part_bytes(work), false);
    return status == device::Status::ok ? success : unhandled_cuda_error;
}

// In a graph the ranks replay in step by themselves, and a node has a duration and no arrival. Only integers,
// which steer the host, are exchanged at each replay.
Result capture(const Collective& work) {
    if (is_integer(work.type) && travels(work)) {
        auto exchange = [](void* user) {
            const auto& captured = *static_cast<const Collective*>(user);
            captured.communicator->meeting->arrive(contribution_of(captured));
            MeetStatus met = captured.communicator->meeting->complete();
            if (met == MeetStatus::ok) return deliver(captured, *captured.communicator->meeting);
            meeting_failed(captured.communicator, met);
        };
        // Lives as long as the graph may, which nobody tells us.
        auto status = device::call_host(work.stream, exchange, new Collective(work));
        if (status != device::Status::ok) return unhandled_cuda_error;
    }
    return submit_work(work);
}

Result finish(const Collective& work) {
    Rendezvous& meeting = *work.communicator->meeting;
    MeetStatus met = meeting.complete();
    if (met != MeetStatus::ok) return meeting_failed(work.communicator, met);
    if (travels(work)) deliver(work, meeting);
    device::hold_until(work.stream, meeting.latest_arrival_ns() - device::gpu().kernel_gap_ns);
    return submit_work(work);
}

struct Pending {
    const PointToPoint* message;
    bool done = false;
};

Result submit_message(const PointToPoint& message, int64_t start_ns) {
    cost::CollectiveFeatures features;
    features.kind = message.is_send ? cost::CollectiveKind::send : cost::CollectiveKind::recv;
    features.ranks = 2;
    features.bytes = message.count * bytes_of(message.type);
    device::hold_until(message.stream, start_ns - device::gpu().kernel_gap_ns);
    auto status = device::submit(message.stream, message.is_send ? "ncclSend" : "ncclRecv",
                                 device::estimator().collective(features));
    return status == device::Status::ok ? success : unhandled_cuda_error;
}

// A send begins when the sender is there: it does not wait for its receiver, whose own clock then takes the
// later of the two.
bool try_message(const PointToPoint& message, Result* result) {
    Rendezvous& meeting = *message.communicator->meeting;
    size_t bytes = message.count * bytes_of(message.type);
    int64_t own_ns = arrival_ns(message.stream);
    if (message.is_send) {
        if (!meeting.try_send(message.peer, {own_ns, bytes, message.buffer})) return false;
        *result = submit_message(message, own_ns);
        return true;
    }
    Message received;
    if (!meeting.try_receive(message.peer, &received, message.buffer, bytes)) return false;
    if (received.bytes != bytes) {
        *result = fail(message.communicator, invalid_usage,
                       "ncclRecv of " + std::to_string(bytes) + " bytes meets ncclSend of " +
                           std::to_string(received.bytes));
        return true;
    }
    *result = submit_message(message, std::max(own_ns, received.arrival_ns));
    return true;
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
    // Per communicator in order; between communicators all are posted before any is waited for, because one
    // thread may hold many ranks.
    std::map<Communicator*, std::vector<const Collective*>> queues;
    size_t rounds = 0;
    for (const Collective& work : collectives) {
        auto& queue = queues[work.communicator];
        queue.push_back(&work);
        rounds = std::max(rounds, queue.size());
    }
    Result first = success;
    for (size_t round = 0; round < rounds; ++round) {
        std::vector<const Collective*> posted;
        for (auto& [communicator, queue] : queues) {
            if (round >= queue.size()) continue;
            const Collective& work = *queue[round];
            Result result = success;
            if (communicator->ranks == 1) {
                result = run_alone(work);
            } else if (is_capturing(work.stream)) {
                result = capture(work);
            } else {
                Contribution contribution = contribution_of(work);
                contribution.arrival_ns = arrival_ns(work.stream);
                communicator->meeting->arrive(contribution);
                posted.push_back(&work);
            }
            if (first == success) first = result;
        }
        for (const Collective* work : posted) {
            Result result = finish(*work);
            if (first == success) first = result;
        }
    }
    return first;
}

Result run_messages(const std::vector<PointToPoint>& messages) {
    Result result = copy_to_self(messages);
    std::vector<Pending> pending;
    for (const PointToPoint& message : messages) {
        if (message.peer == message.communicator->rank) continue;
        if (is_capturing(message.stream)) {
            Result submitted = submit_message(message, 0);
            if (result == success) result = submitted;
        } else {
            pending.push_back({&message});
        }
    }
    while (result == success) {
        bool progressed = false, waiting = false;
        uint32_t seen = pending.empty() ? 0 : pending.front().message->communicator->meeting->activity();
        for (size_t index = 0; index < pending.size() && result == success; ++index) {
            Pending& entry = pending[index];
            if (entry.done) continue;
            // Messages between the same two ranks keep their order.
            bool behind = std::any_of(
                pending.begin(), pending.begin() + static_cast<long>(index), [&](const Pending& earlier) {
                    return !earlier.done && earlier.message->communicator == entry.message->communicator &&
                           earlier.message->peer == entry.message->peer &&
                           earlier.message->is_send == entry.message->is_send;
                });
            entry.done = !behind && try_message(*entry.message, &result);
            progressed = progressed || entry.done;
            waiting = waiting || !entry.done;
        }
        if (!waiting) break;
        if (progressed || result != success) continue;
        Communicator* communicator = pending.front().message->communicator;
        MeetStatus met = communicator->meeting->wait_for_activity(seen);
        if (met != MeetStatus::ok) result = meeting_failed(communicator, met);
    }
    return result;
}

}  // namespace revati::nccl
