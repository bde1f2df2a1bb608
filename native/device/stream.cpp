#include "device/stream.h"

#include <algorithm>

#include "device/device.h"
#include "device/handle_arena.h"
#include "device/ledger.h"
#include "device/stats.h"
#include "device/stream_internal.h"
#include "device/time.h"

namespace revati::device {
namespace {

constexpr size_t max_streams = 65536;
using StreamArena = HandleArena<Stream, max_streams>;

StreamArena& arena() {
    static auto* const instance = new StreamArena;
    return *instance;
}

// Ends of work per device: on blocking streams (the legacy default stream waits for those), and on streams
// that have been destroyed.
struct DeviceTails {
    std::atomic<int64_t> blocking_ns{0}, destroyed_ns{0};
};
DeviceTails tails[ledger_max_gpus];

void raise(std::atomic<int64_t>& value, int64_t candidate) {
    int64_t seen = value.load(std::memory_order_relaxed);
    while (seen < candidate && !value.compare_exchange_weak(seen, candidate, std::memory_order_acq_rel)) {
    }
}

struct DefaultStreams {
    Stream* legacy[ledger_max_gpus] = {};
};

Stream* make_default(int device, bool per_thread) {
    Stream* const stream = arena().create();
    StreamAccess::set_up(stream, device, 0, true, 0, !per_thread);
    return stream;
}

}  // namespace

void StreamAccess::set_up(Stream* stream, int device, unsigned flags, bool blocking, int priority,
                          bool is_default) {
    static std::atomic<uint64_t> next_id{1};
    stream->device_ = device;
    stream->flags_ = flags;
    stream->blocking_ = blocking;
    stream->priority_ = priority;
    stream->default_ = is_default;
    stream->id_ = next_id.fetch_add(1, std::memory_order_relaxed);
}

Stream* default_stream(int device, bool per_thread) {
    static auto* const legacy = [] {
        auto* const streams = new DefaultStreams;
        for (int index = 0; index < ledger_max_gpus; ++index)
            streams->legacy[index] = make_default(index, false);
        return streams;
    }();
    if (!per_thread) return legacy->legacy[device];
    static thread_local Stream* own[ledger_max_gpus] = {};
    if (own[device] == nullptr) own[device] = make_default(device, true);
    return own[device];
}

Status create_stream(int device, unsigned flags, bool blocking, int priority, Stream** out) {
    if (out == nullptr) return Status::invalid_value;
    const Status context = ensure_context(device);
    if (context != Status::ok) return context;
    Stream* const stream = arena().create();
    if (stream == nullptr) return Status::out_of_memory;
    StreamAccess::set_up(stream, device, flags, blocking, priority, false);
    *out = stream;
    return Status::ok;
}

Status destroy_stream(Stream* stream) {
    if (stream->is_default()) return Status::invalid_handle;
    if (StreamAccess::capture(stream) != nullptr) invalidate_capture(stream);
    // Work already submitted goes on; its effects have been applied and its time counts in the device's tail.
    wait_for_host_calls(stream);
    raise(tails[stream->device()].destroyed_ns, StreamAccess::tail(stream).load(std::memory_order_acquire));
    arena().destroy(stream);
    return Status::ok;
}

bool is_stream(const void* handle) {
    return arena().contains(handle);
}

int64_t advance(Stream* stream, const WorkTime& work) {
    DeviceTails& device = tails[stream->device()];
    const bool legacy = stream->is_default(), blocking = StreamAccess::blocking(stream);
    std::atomic<int64_t>& tail = StreamAccess::tail(stream);
    const int64_t now = now_ns();
    int64_t start = now + work.latency_ns;
    int64_t before = tail.load(std::memory_order_relaxed);
    if (legacy) {
        before = std::max(before, device.blocking_ns.load(std::memory_order_acquire));
    } else if (blocking) {
        before = std::max(
            before, StreamAccess::tail(default_stream(stream->device())).load(std::memory_order_acquire));
    }
    start = std::max(start, before + work.gap_ns);
    if (work.engine_free_ns != nullptr)
        start = std::max(start, work.engine_free_ns->load(std::memory_order_acquire));
    const int64_t end = start + work.duration_ns;
    if (work.engine_free_ns != nullptr) raise(*work.engine_free_ns, end);
    tail.store(end, std::memory_order_release);
    if (blocking && !legacy) raise(device.blocking_ns, end);
    return end;
}

void hold_until(Stream* stream, int64_t time_ns) {
    raise(StreamAccess::tail(stream), time_ns);
}

int64_t device_tail_ns(int device) {
    int64_t end = tails[device].destroyed_ns.load(std::memory_order_acquire);
    arena().for_each([&](Stream* stream) {
        if (stream->device() == device)
            end = std::max(end, StreamAccess::tail(stream).load(std::memory_order_acquire));
    });
    return end;
}

int64_t stream_end_ns(Stream* stream) {
    int64_t end = StreamAccess::tail(stream).load(std::memory_order_acquire);
    if (stream->is_default())
        end = std::max(end, tails[stream->device()].blocking_ns.load(std::memory_order_acquire));
    return end;
}

namespace {

Status refuse_while_capturing(Stream* stream) {
    const std::lock_guard<std::mutex> lock(StreamAccess::mutex(stream));
    if (!is_capturing(stream)) return Status::ok;
    StreamAccess::capture(stream)->state = CaptureState::invalidated;
    return Status::capture_unsupported;
}

}  // namespace

Status synchronize(Stream* stream) {
    const Status allowed = refuse_while_capturing(stream);
    if (allowed != Status::ok) return allowed;
    bump(stats().waits);
    wait_until_ns(stream_end_ns(stream), static_cast<uint32_t>(stream->device()));
    wait_for_host_calls(stream);
    return Status::ok;
}

Status synchronize_device(int device) {
    const Status context = ensure_context(device);
    if (context != Status::ok) return context;
    const Status safe = check_unsafe_call();
    if (safe != Status::ok) return safe;
    bump(stats().waits);
    wait_until_ns(device_tail_ns(device), static_cast<uint32_t>(device));
    std::vector<Stream*> waiting;
    arena().for_each([&](Stream* stream) {
        if (stream->device() == device && StreamAccess::pending_host_calls(stream).load() > 0)
            waiting.push_back(stream);
    });
    for (Stream* const stream : waiting) wait_for_host_calls(stream);
    return Status::ok;
}

Status query(Stream* stream) {
    const Status allowed = refuse_while_capturing(stream);
    if (allowed != Status::ok) return allowed;
    if (stream_end_ns(stream) <= now_ns() && StreamAccess::pending_host_calls(stream).load() == 0)
        return Status::ok;
    charge_poll();
    return Status::not_ready;
}

}  // namespace revati::device
