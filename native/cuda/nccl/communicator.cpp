#include "cuda/nccl/communicator.h"

#include <sys/random.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "device/export.h"
#include "device/log.h"

extern "C" revati::nccl::Result ncclGroupStart();
extern "C" revati::nccl::Result ncclGroupEnd();

namespace revati::nccl {
namespace {

thread_local std::string thread_error;

// The text in a unique id; the real library's is an address.
constexpr char id_prefix[] = "revati-nccl-";

std::string name_in(const UniqueId& id) {
    return std::string(id.internal, strnlen(id.internal, sizeof id.internal));
}

bool is_our_id(const UniqueId& id) {
    std::string name = name_in(id);
    bool plain = name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
    return plain && name.rfind(id_prefix, 0) == 0;
}

bool valid_config(const Config* config) {
    return config == nullptr || (config->magic == config_magic && config->size >= sizeof(Config));
}

// Enters, and leaves the waiting to the end of the group.
Result open(Communicator** out, int ranks, int rank, const std::string& name, int device) {
    auto communicator = std::make_unique<Communicator>();
    communicator->ranks = ranks;
    communicator->rank = rank;
    communicator->device = device;
    communicator->name = name;
    const device::SessionSpec& session = device::session_spec();
    if (session.separate_hosts != 0 && ranks > session.gpus) {
        return fail(nullptr, system_error,
                    "ncclCommInitRank: " + std::to_string(ranks) + " ranks and " +
                        std::to_string(session.gpus) +
                        " GPUs on this host: communicators across hosts are not supported; run all nodes "
                        "in one emulation (--nodes without --coordinator)");
    }
    if (ranks > 1) {
        std::string error;
        communicator->meeting =
            device::JointGroup::enter(name, ranks, rank, device::physical_index(device), &error);
        if (communicator->meeting == nullptr)
            return fail(nullptr, invalid_usage, "ncclCommInitRank: " + error);
    }
    *out = nullptr;
    return submit(Entry{communicator.release(), out});
}

Result init_rank(Communicator** out, int ranks, const UniqueId& id, int rank, const Config* config) {
    if (!device::in_session() || device::device_count() == 0)
        return fail(nullptr, unhandled_cuda_error, "there is no CUDA device");
    if (out == nullptr || ranks < 1 || rank < 0 || rank >= ranks) {
        return fail(nullptr, invalid_argument,
                    "ncclCommInitRank: rank " + std::to_string(rank) + " of " + std::to_string(ranks));
    }
    if (!valid_config(config))
        return fail(nullptr, invalid_argument, "ncclCommInitRankConfig: the config was not initialised");
    if (!is_our_id(id))
        return fail(nullptr, invalid_argument, "ncclCommInitRank: the unique id is not from ncclGetUniqueId");
    int device = device::current_device();
    if (device::ensure_context(device) != device::Status::ok) {
        return fail(nullptr, unhandled_cuda_error,
                    "ncclCommInitRank: no context on device " + std::to_string(device));
    }
    return open(out, ranks, rank, name_in(id), device);
}

// All ranks of a communicator tell each other a few numbers.
Result exchange_numbers(Communicator* parent, const int32_t (&own)[2], std::vector<int32_t>* all) {
    all->assign(2 * parent->ranks, 0);
    if (parent->meeting == nullptr) {
        (*all)[0] = own[0], (*all)[1] = own[1];
        return success;
    }
    auto met = device::exchange(*parent->meeting, own, sizeof own, [&](uint64_t payload) {
        for (int rank = 0; rank < parent->ranks; ++rank)
            std::memcpy(&(*all)[2 * rank], parent->meeting->payload(rank, payload), sizeof own);
    });
    return met == device::JointStatus::ok ? success : meeting_failed(parent, met);
}

Result destroy(Communicator* communicator, bool abort) {
    if (communicator == nullptr) return success;
    if (!is_live(communicator)) return fail(nullptr, invalid_argument, "not a communicator");
    if (abort && communicator->meeting != nullptr) communicator->meeting->abort();
    communicator->magic = 0;
    // Another thread may still be on its way out of a wait that the abort ended.
    if (!abort) delete communicator;
    return success;
}

}  // namespace

Result fail(Communicator* communicator, Result result, const std::string& text) {
    device::log_line("nccl: %s", text.c_str());
    thread_error = text;
    if (communicator != nullptr) {
        std::lock_guard lock(communicator->mutex);
        communicator->last_error = text;
    }
    return result;
}

const char* last_error(const Communicator* communicator) {
    return is_live(communicator) && !communicator->last_error.empty() ? communicator->last_error.c_str()
                                                                      : thread_error.c_str();
}

Result meeting_failed(Communicator* communicator, device::JointStatus status) {
    Result result = internal_error;
    std::string text = "the ranks' meeting place failed";
    if (status == device::JointStatus::peer_lost) {
        result = remote_error;
        text = "rank " + std::to_string(communicator->meeting->lost_peer()) +
               " has ended or left while rank " + std::to_string(communicator->rank) + " waited for it";
    } else if (status == device::JointStatus::aborted) {
        text = "the communicator was aborted";
    } else if (status == device::JointStatus::mismatch) {
        result = invalid_usage;
        text = "the ranks called different collectives, or with different counts, types or roots";
    }
    communicator->async_error = result;
    return fail(communicator, result, text);
}

#define REVATI_NCCL extern "C" REVATI_API Result

REVATI_NCCL ncclGetVersion(int* version) {
    if (version == nullptr) return fail(nullptr, invalid_argument, "ncclGetVersion: version is null");
    *version = version_code;
    return success;
}

REVATI_NCCL ncclGetUniqueId(UniqueId* id) {
    if (id == nullptr) return fail(nullptr, invalid_argument, "ncclGetUniqueId: uniqueId is null");
    uint64_t random[2];
    if (getrandom(random, sizeof random, 0) != static_cast<ssize_t>(sizeof random)) return system_error;
    std::memset(id, 0, sizeof *id);
    std::snprintf(id->internal, sizeof id->internal, "%s%016llx%016llx", id_prefix,
                  static_cast<unsigned long long>(random[0]), static_cast<unsigned long long>(random[1]));
    return success;
}

REVATI_NCCL ncclCommInitRank(Communicator** out, int ranks, UniqueId id, int rank) {
    return init_rank(out, ranks, id, rank, nullptr);
}

REVATI_NCCL ncclCommInitRankConfig(Communicator** out, int ranks, UniqueId id, int rank, Config* config) {
    return init_rank(out, ranks, id, rank, config);
}

REVATI_NCCL ncclCommInitRankScalable(Communicator** out, int ranks, int rank, int ids, UniqueId* unique_ids,
                                     Config* config) {
    if (ids < 1 || unique_ids == nullptr)
        return fail(nullptr, invalid_argument, "ncclCommInitRankScalable: no unique id");
    // All ranks get the same list; one place is enough to meet.
    return init_rank(out, ranks, unique_ids[0], rank, config);
}

REVATI_NCCL ncclCommInitAll(Communicator** out, int devices, const int* list) {
    if (out == nullptr || devices < 1 || devices > device::device_count()) {
        return fail(nullptr, invalid_argument, "ncclCommInitAll: " + std::to_string(devices) + " devices");
    }
    UniqueId id;
    Result result = ncclGetUniqueId(&id);
    int before = device::current_device();
    ncclGroupStart();
    for (int rank = 0; rank < devices && result == success; ++rank) {
        int device = list != nullptr ? list[rank] : rank;
        if (device::set_current_device(device) != device::Status::ok) {
            result = fail(nullptr, invalid_argument, "ncclCommInitAll: no device " + std::to_string(device));
        } else {
            result = init_rank(&out[rank], devices, id, rank, nullptr);
        }
    }
    device::set_current_device(before);
    Result ended = ncclGroupEnd();
    return result != success ? result : ended;
}

REVATI_NCCL ncclCommSplit(Communicator* parent, int color, int key, Communicator** out, Config* config) {
    if (!is_live(parent) || out == nullptr || color < split_no_color)
        return fail(nullptr, invalid_argument, "ncclCommSplit");
    if (!valid_config(config))
        return fail(parent, invalid_argument, "ncclCommSplit: the config was not initialised");
    std::vector<int32_t> all;
    Result result = exchange_numbers(parent, {color, key}, &all);
    int child = parent->children++;
    *out = nullptr;
    if (result != success || color == split_no_color) return result;
    std::vector<std::pair<int, int>> members;  // key, rank in the parent
    for (int rank = 0; rank < parent->ranks; ++rank) {
        if (all[2 * rank] == color) members.emplace_back(all[2 * rank + 1], rank);
    }
    std::sort(members.begin(), members.end());
    auto own = std::find(members.begin(), members.end(), std::make_pair(key, parent->rank)) - members.begin();
    std::string name = parent->name + "-s" + std::to_string(child) + "c" + std::to_string(color);
    return open(out, static_cast<int>(members.size()), static_cast<int>(own), name, parent->device);
}

REVATI_NCCL ncclCommShrink(Communicator* parent, int* excluded, int count, Communicator** out, Config* config,
                           int) {
    if (!is_live(parent) || out == nullptr || excluded == nullptr || count < 1 || count >= parent->ranks) {
        return fail(nullptr, invalid_argument, "ncclCommShrink");
    }
    if (!valid_config(config))
        return fail(parent, invalid_argument, "ncclCommShrink: the config was not initialised");
    std::vector<bool> gone(parent->ranks, false);
    for (int index = 0; index < count; ++index) {
        if (excluded[index] < 0 || excluded[index] >= parent->ranks)
            return fail(parent, invalid_argument, "ncclCommShrink: unknown rank");
        gone[excluded[index]] = true;
    }
    if (gone[parent->rank]) return fail(parent, invalid_usage, "ncclCommShrink: called by an excluded rank");
    int ranks = 0, own = 0;
    std::string name = parent->name + "-x" + std::to_string(parent->children++);
    for (int rank = 0; rank < parent->ranks; ++rank) {
        if (rank == parent->rank) own = ranks;
        if (gone[rank]) continue;
        ++ranks;
    }
    return open(out, ranks, own, name, parent->device);
}

REVATI_NCCL ncclCommFinalize(Communicator* communicator) {
    // Everything is done when its call returns: there is nothing to flush.
    return is_live(communicator) ? success
                                 : fail(nullptr, invalid_argument, "ncclCommFinalize: not a communicator");
}

REVATI_NCCL ncclCommDestroy(Communicator* communicator) {
    return destroy(communicator, false);
}
REVATI_NCCL ncclCommAbort(Communicator* communicator) {
    return destroy(communicator, true);
}

REVATI_NCCL ncclCommRevoke(Communicator* communicator, int flags) {
    if (!is_live(communicator) || flags != 0) return fail(nullptr, invalid_argument, "ncclCommRevoke");
    if (communicator->meeting != nullptr) communicator->meeting->abort();
    return success;
}

REVATI_NCCL ncclCommCount(const Communicator* communicator, int* count) {
    if (!is_live(communicator) || count == nullptr) return fail(nullptr, invalid_argument, "ncclCommCount");
    *count = communicator->ranks;
    return success;
}

REVATI_NCCL ncclCommCuDevice(const Communicator* communicator, int* device) {
    if (!is_live(communicator) || device == nullptr)
        return fail(nullptr, invalid_argument, "ncclCommCuDevice");
    *device = communicator->device;
    return success;
}

REVATI_NCCL ncclCommUserRank(const Communicator* communicator, int* rank) {
    if (!is_live(communicator) || rank == nullptr) return fail(nullptr, invalid_argument, "ncclCommUserRank");
    *rank = communicator->rank;
    return success;
}

REVATI_NCCL ncclCommGetAsyncError(Communicator* communicator, Result* error) {
    if (!is_live(communicator) || error == nullptr)
        return fail(nullptr, invalid_argument, "ncclCommGetAsyncError");
    if (communicator->meeting != nullptr && communicator->meeting->mismatched())
        communicator->async_error = invalid_usage;
    *error = static_cast<Result>(communicator->async_error.load());
    return success;
}

extern "C" REVATI_API const char* ncclGetLastError(const Communicator* communicator) {
    return last_error(communicator);
}

extern "C" REVATI_API const char* ncclGetErrorString(Result result) {
    switch (result) {
        case success:
            return "no error";
        case unhandled_cuda_error:
            return "unhandled cuda error (run with NCCL_DEBUG=INFO for details)";
        case system_error:
            return "unhandled system error (run with NCCL_DEBUG=INFO for details)";
        case internal_error:
            return "internal error - please report this issue to the NCCL developers";
        case invalid_argument:
            return "invalid argument (run with NCCL_DEBUG=WARN for details)";
        case invalid_usage:
            return "invalid usage (run with NCCL_DEBUG=WARN for details)";
        case remote_error:
            return "remote process exited or there was a network error";
        case in_progress:
            return "NCCL operation in progress";
        default:
            return "unknown result code";
    }
}

REVATI_NCCL ncclRedOpCreatePreMulSum(int* op, void* scalar, DataType type, ScalarResidence,
                                     Communicator* communicator) {
    if (!is_live(communicator) || op == nullptr || scalar == nullptr || type < 0 || type >= data_types) {
        return fail(nullptr, invalid_argument, "ncclRedOpCreatePreMulSum");
    }
    std::lock_guard lock(communicator->mutex);
    *op = communicator->next_op++;
    communicator->custom_ops[*op] = Reduction{op_sum, read_scalar(scalar, type), true};
    return success;
}

REVATI_NCCL ncclRedOpDestroy(int op, Communicator* communicator) {
    if (!is_live(communicator))
        return fail(nullptr, invalid_argument, "ncclRedOpDestroy: not a communicator");
    std::lock_guard lock(communicator->mutex);
    return communicator->custom_ops.erase(op) != 0 ? success : invalid_argument;
}

}  // namespace revati::nccl
