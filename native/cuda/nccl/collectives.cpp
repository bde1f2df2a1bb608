// The calls that move data: arguments checked, then handed to the group.
#include "cuda/nccl/communicator.h"
#include "device/export.h"
#include "device/memory.h"

namespace revati::nccl {
namespace {

Result check(const Collective& work, void* stream) {
    Communicator* communicator = work.communicator;
    if (!is_live(communicator)) return fail(nullptr, invalid_argument, "not a communicator");
    if (work.type < 0 || work.type >= data_types)
        return fail(communicator, invalid_argument, "unknown data type");
    if (work.root < 0 || work.root >= communicator->ranks)
        return fail(communicator, invalid_argument, "root is no rank");
    if (work.op >= built_in_ops || work.op < 0) {
        std::lock_guard lock(communicator->mutex);
        if (communicator->custom_ops.count(work.op) == 0) return invalid_argument;
    }
    device::Stream* resolved = nullptr;
    if (cuda::resolve_stream(stream, &resolved) != device::Status::ok)
        return fail(communicator, invalid_argument, "not a stream");
    return success;
}

// The default stream is that of the communicator's device: in a group one thread may speak for several.
device::Stream* stream_of(const Communicator* communicator, void* handle) {
    constexpr std::uintptr_t per_thread = 2;  // 0 and 1: the legacy one
    const auto value = reinterpret_cast<std::uintptr_t>(handle);
    if (value <= per_thread) return device::default_stream(communicator->device, value == per_thread);
    return static_cast<device::Stream*>(handle);
}

Result collect(Communicator* communicator, Kind kind, const void* send, void* receive, size_t count,
               DataType type, int op, int root, void* stream) {
    Collective work{communicator, nullptr, kind, send, receive, count, type, op, root};
    Result checked = check(work, stream);
    if (checked != success) return checked;
    bool is_root = communicator->rank == root;
    bool needs_send = (kind != Kind::broadcast && kind != Kind::scatter) || is_root;
    bool needs_receive = (kind != Kind::reduce && kind != Kind::gather) || is_root;
    if (count > 0 && ((needs_send && send == nullptr) || (needs_receive && receive == nullptr))) {
        return fail(communicator, invalid_argument, "a buffer is null");
    }
    work.stream = stream_of(communicator, stream);
    return submit(work);
}

Result exchange(Communicator* communicator, bool is_send, void* buffer, size_t count, DataType type, int peer,
                void* stream) {
    Collective checked{communicator, nullptr, Kind::all_reduce, buffer, buffer, count, type, op_sum, 0};
    Result result = check(checked, stream);
    if (result != success) return result;
    if (peer < 0 || peer >= communicator->ranks)
        return fail(communicator, invalid_argument, "peer is no rank");
    if (count > 0 && buffer == nullptr) return fail(communicator, invalid_argument, "the buffer is null");
    return submit(
        PointToPoint{communicator, stream_of(communicator, stream), is_send, buffer, count, type, peer});
}

}  // namespace

#define REVATI_NCCL extern "C" REVATI_API Result

REVATI_NCCL ncclAllReduce(const void* send, void* receive, size_t count, DataType type, int op,
                          Communicator* communicator, void* stream) {
    return collect(communicator, Kind::all_reduce, send, receive, count, type, op, 0, stream);
}

REVATI_NCCL ncclReduce(const void* send, void* receive, size_t count, DataType type, int op, int root,
                       Communicator* communicator, void* stream) {
    return collect(communicator, Kind::reduce, send, receive, count, type, op, root, stream);
}

REVATI_NCCL ncclBroadcast(const void* send, void* receive, size_t count, DataType type, int root,
                          Communicator* communicator, void* stream) {
    return collect(communicator, Kind::broadcast, send, receive, count, type, op_sum, root, stream);
}

REVATI_NCCL ncclBcast(void* buffer, size_t count, DataType type, int root, Communicator* communicator,
                      void* stream) {
    return collect(communicator, Kind::broadcast, buffer, buffer, count, type, op_sum, root, stream);
}

REVATI_NCCL ncclReduceScatter(const void* send, void* receive, size_t count, DataType type, int op,
                              Communicator* communicator, void* stream) {
    return collect(communicator, Kind::reduce_scatter, send, receive, count, type, op, 0, stream);
}

REVATI_NCCL ncclAllGather(const void* send, void* receive, size_t count, DataType type,
                          Communicator* communicator, void* stream) {
    return collect(communicator, Kind::all_gather, send, receive, count, type, op_sum, 0, stream);
}

REVATI_NCCL ncclAlltoAll(const void* send, void* receive, size_t count, DataType type,
                         Communicator* communicator, void* stream) {
    return collect(communicator, Kind::all_to_all, send, receive, count, type, op_sum, 0, stream);
}

REVATI_NCCL ncclGather(const void* send, void* receive, size_t count, DataType type, int root,
                       Communicator* communicator, void* stream) {
    return collect(communicator, Kind::gather, send, receive, count, type, op_sum, root, stream);
}

REVATI_NCCL ncclScatter(const void* send, void* receive, size_t count, DataType type, int root,
                        Communicator* communicator, void* stream) {
    return collect(communicator, Kind::scatter, send, receive, count, type, op_sum, root, stream);
}

REVATI_NCCL ncclSend(const void* buffer, size_t count, DataType type, int peer, Communicator* communicator,
                     void* stream) {
    return exchange(communicator, true, const_cast<void*>(buffer), count, type, peer, stream);
}

REVATI_NCCL ncclRecv(void* buffer, size_t count, DataType type, int peer, Communicator* communicator,
                     void* stream) {
    return exchange(communicator, false, buffer, count, type, peer, stream);
}

REVATI_NCCL ncclMemAlloc(void** out, size_t bytes) {
    if (out == nullptr || bytes == 0) return fail(nullptr, invalid_argument, "ncclMemAlloc");
    auto status = device::allocate_device(device::current_device(), bytes, out);
    return status == device::Status::ok
               ? success
               : fail(nullptr, unhandled_cuda_error, "ncclMemAlloc: the GPU's memory is full");
}

REVATI_NCCL ncclMemFree(void* pointer) {
    if (pointer == nullptr) return success;
    return device::free_device(pointer) == device::Status::ok
               ? success
               : fail(nullptr, invalid_argument, "ncclMemFree: not an allocation");
}

namespace {

// What a registered buffer's handle points to. Registration makes the real library's transports faster and
// changes no result.
struct Registration {
    static constexpr uint32_t live_magic = 0x4e434352;
    uint32_t magic = live_magic;
    void* buffer;
    size_t bytes;
};

Result make_registration(Communicator* communicator, void* buffer, size_t bytes, void** out) {
    if (!is_live(communicator) || out == nullptr || buffer == nullptr || bytes == 0) {
        return fail(nullptr, invalid_argument, "registration of a buffer");
    }
    *out = new Registration{Registration::live_magic, buffer, bytes};
    return success;
}

Result drop_registration(Communicator* communicator, void* handle) {
    auto* registration = static_cast<Registration*>(handle);
    bool known = registration != nullptr && registration->magic == Registration::live_magic;
    if (!is_live(communicator) || !known) return fail(nullptr, invalid_argument, "not a registered buffer");
    registration->magic = 0;
    delete registration;
    return success;
}

}  // namespace

REVATI_NCCL ncclCommRegister(Communicator* communicator, void* buffer, size_t bytes, void** handle) {
    return make_registration(communicator, buffer, bytes, handle);
}

REVATI_NCCL ncclCommDeregister(Communicator* communicator, void* handle) {
    return drop_registration(communicator, handle);
}

REVATI_NCCL ncclCommWindowRegister(Communicator* communicator, void* buffer, size_t bytes, void** window,
                                   int flags) {
    constexpr int symmetric = 0x01;
    if ((flags & ~symmetric) != 0)
        return fail(communicator, invalid_argument, "ncclCommWindowRegister: unknown flags");
    return make_registration(communicator, buffer, bytes, window);
}

REVATI_NCCL ncclCommWindowDeregister(Communicator* communicator, void* window) {
    return drop_registration(communicator, window);
}

}  // namespace revati::nccl
