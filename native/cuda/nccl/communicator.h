// Communicators and what their ranks do together.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/common/handles.h"
#include "cuda/nccl/reduction.h"
#include "cuda/nccl/types.h"
#include "device/joint.h"

namespace revati::nccl {

struct Communicator {
    static constexpr uint32_t live_magic = 0x4e43434d;

    uint32_t magic = live_magic;
    int ranks = 1, rank = 0;
    int nodes = 1;   // that the ranks are on
    int device = 0;  // as this process counts
    std::string name;
    std::shared_ptr<device::JointGroup> meeting;  // null for one rank
    std::map<std::pair<int, int>, std::shared_ptr<device::JointGroup>>
        channels;  // of messages, by sender and receiver
    std::mutex mutex;
    std::map<int, Reduction> custom_ops;
    int next_op = built_in_ops;
    int children = 0;  // communicators made from this one, in the same order on all ranks
    std::atomic<int> async_error{success};
    std::string last_error;
};

inline bool is_live(const Communicator* communicator) {
    return communicator != nullptr && communicator->magic == Communicator::live_magic;
}

// Keeps the text for ncclGetLastError, of the communicator and of the thread, and logs it.
Result fail(Communicator* communicator, Result result, const std::string& text);
const char* last_error(const Communicator* communicator);
// Translates a failed meeting; says who is missing.
Result meeting_failed(Communicator* communicator, device::JointStatus status);

enum class Kind : int32_t {
    all_reduce,
    reduce,
    broadcast,
    all_gather,
    reduce_scatter,
    all_to_all,
    gather,
    scatter
};

struct Collective {
    Communicator* communicator = nullptr;
    device::Stream* stream = nullptr;
    Kind kind = Kind::all_reduce;
    const void* send = nullptr;
    void* receive = nullptr;
    size_t count = 0;  // as the call gives it: elements of one rank's part
    DataType type = int8;
    int op = op_sum;
    int root = 0;
};

struct PointToPoint {
    Communicator* communicator = nullptr;
    device::Stream* stream = nullptr;
    bool is_send = false;
    void* buffer = nullptr;
    size_t count = 0;
    DataType type = int8;
    int peer = 0;
};

// Runs now, or at the end of the group that the thread is in.
Result submit(const Collective& collective);
Result submit(const PointToPoint& message);

// Entering a communicator is part of groups too: one thread may bring up several ranks.
struct Entry {
    Communicator* communicator = nullptr;
    Communicator** out = nullptr;
};
Result submit(const Entry& entry);

}  // namespace revati::nccl
