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
    Timeline blocking, destroyed;
};
DeviceTails tails[ledger_max_gpus];

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
    tails[stream->device()].destroyed.raise(StreamAccess::tail(stream).load());
    arena().destroy(stream);
    return Status::ok;
}

bool is_stream(const void* handle) {
    return arena().contains(handle);
}

Instant start_of(Stream* stream, const WorkTime& work) {
    Instant start = StreamAccess::tail(stream).load();
    if (stream->is_default()) {
        start.raise(tails[stream->device()].blocking.load());
    } else if (StreamAccess::blocking(stream)) {
        start.raise(StreamAccess::tail(default_stream(stream->device())).load());
    }
    start.add(work.gap_ns);
    start.raise(now_ns() + work.latency_ns);
    if (work.engine_free_ns != nullptr) start.raise(work.engine_free_ns->load(std::memory_order_acquire));
    return start;
}

void finish_at(Stream* stream, const Instant& end) {
    StreamAccess::tail(stream).store(end);
    if (StreamAccess::blocking(stream) && !stream->is_default()) tails[stream->device()].blocking.raise(end);
}

Instant advance(Stream* stream, const WorkTime& work) {
    Instant end = start_of(stream, work);
    end.add(work.duration_ns);
    // An engine serves other streams while work waits for ranks that have not come.
    if (work.engine_free_ns != nullptr && end.is_known()) {
        int64_t seen = work.engine_free_ns->load(std::memory_order_relaxed);
        while (seen < end.known_ns && !work.engine_free_ns->compare_exchange_weak(seen, end.known_ns)) {
        }
    }
    finish_at(stream, end);
    return end;
}

void hold_until(Stream* stream, const Instant& instant) {
    StreamAccess::tail(stream).raise(instant);
}

Instant device_tail(int device) {
    Instant end = tails[device].destroyed.load();
    arena().for_each([&](Stream* stream) {
        if (stream->device() == device) end.raise(StreamAccess::tail(stream).load());
    });
    return end;
}

Instant stream_end(Stream* stream) {
    Instant end = StreamAccess::tail(stream).load();
    if (stream->is_default()) end.raise(tails[stream->device()].blocking.load());
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
    const DeviceCall call(HostCall::sync);
    wait_until(stream_end(stream), static_cast<uint32_t>(stream->device()));
    deliver_ready();
    wait_for_host_calls(stream);
    return Status::ok;
}

Status synchronize_device(int device) {
    const Status context = ensure_context(device);
    if (context != Status::ok) return context;
    const Status safe = check_unsafe_call();
    if (safe != Status::ok) return safe;
    bump(stats().waits);
    const DeviceCall call(HostCall::sync);
    wait_until(device_tail(device), static_cast<uint32_t>(device));
    deliver_ready();
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
    if (is_over(stream_end(stream), now_ns()) && StreamAccess::pending_host_calls(stream).load() == 0) {
        deliver_ready();
        return Status::ok;
    }
    charge_poll();
    return Status::not_ready;
}

}  // namespace revati::device
