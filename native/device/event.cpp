#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstring>

#include "device/device.h"
#include "device/handle_arena.h"
#include "device/log.h"
#include "device/stats.h"
#include "device/stream_internal.h"
#include "device/time.h"

namespace revati::device {
namespace {

constexpr size_t max_events = size_t{1} << 20;
using EventArena = HandleArena<Event, max_events>;
constexpr uint64_t share_magic = 0x5256544945564e54;

struct EventShareHandle {
    uint64_t magic, pid;
    int64_t fd;
    uint64_t reserved[5];
};
static_assert(sizeof(EventShareHandle) == 64, "must fill cudaIpcEventHandle_t");

EventArena& arena() {
    static auto* const instance = new EventArena;
    return *instance;
}

bool map_shared_time(Event* event, int fd) {
    void* const page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) return false;
    event->shared_time_ns = static_cast<std::atomic<int64_t>*>(page);
    event->shared_fd = fd;
    return true;
}

Status record_in_capture(Event* event, Stream* stream, bool external) {
    if (external) {
        GraphNode node;
        node.kind = NodeKind::event_record;
        node.event = event;
        return capture_node(stream, std::move(node));
    }
    event->capture = StreamAccess::capture(stream);
    event->capture_nodes = StreamAccess::capture_tail(stream);
    event->recorded = true;
    return Status::ok;
}

// The stream joins the capture that the event belongs to, or adds the event's nodes to its dependencies.
Status join_capture(Stream* stream, Event* event) {
    std::shared_ptr<Capture>& own = StreamAccess::capture(stream);
    const std::shared_ptr<Capture> other = event->capture;
    if (own == nullptr) {
        own = other;
        other->joined.push_back(stream);
        StreamAccess::capture_tail(stream) = event->capture_nodes;
        return Status::ok;
    }
    if (own != other) {
        own->state = other->state = CaptureState::invalidated;
        return Status::capture_merge;
    }
    std::vector<GraphNode*>& tail = StreamAccess::capture_tail(stream);
    for (GraphNode* const node : event->capture_nodes) {
        bool known = false;
        for (const GraphNode* const present : tail) known = known || present == node;
        if (!known) tail.push_back(node);
    }
    return Status::ok;
}

bool belongs_to_capture(Event* event) {
    if (event->capture == nullptr) return false;
    // An event recorded in a capture that has ended means nothing outside it.
    return event->capture->state != CaptureState::none;
}

}  // namespace

Status create_event(int device, const EventOptions& options, Event** out) {
    if (out == nullptr || (options.interprocess && options.timing)) return Status::invalid_value;
    const Status context = ensure_context(device);
    if (context != Status::ok) return context;
    Event* const event = arena().create();
    if (event == nullptr) return Status::out_of_memory;
    event->device = device;
    event->options = options;
    if (options.interprocess) {
        const int fd = memfd_create("revati-event", MFD_CLOEXEC);
        if (fd < 0 || ftruncate(fd, 4096) != 0 || !map_shared_time(event, fd)) {
            if (fd >= 0) close(fd);
            arena().destroy(event);
            return Status::out_of_memory;
        }
    }
    *out = event;
    return Status::ok;
}

Status destroy_event(Event* event) {
    if (event->shared_time_ns != nullptr) {
        munmap(static_cast<void*>(event->shared_time_ns), 4096);
        close(event->shared_fd);
    }
    arena().destroy(event);
    return Status::ok;
}

bool is_event(const void* handle) {
    return arena().contains(handle);
}

Status record_event(Event* event, Stream* stream, bool external) {
    if (event->device != stream->device()) return Status::invalid_handle;
    const DeviceCall call(HostCall::event);
    const std::lock_guard<std::mutex> stream_lock(StreamAccess::mutex(stream));
    const std::lock_guard<std::mutex> lock(event->mutex);
    if (is_capturing(stream)) return record_in_capture(event, stream, external);
    event->capture.reset();
    event->capture_nodes.clear();
    WorkTime work;
    work.duration_ns = event->options.timing ? gpu().event_record_ns : 0;
    event->store(advance(stream, work));
    event->deliveries.clear();
    add_deliveries(&event->deliveries, StreamAccess::deliveries(stream));
    event->recorded = true;
    return Status::ok;
}

Status wait_event(Stream* stream, Event* event, bool external) {
    const DeviceCall call(HostCall::event);
    const std::lock_guard<std::mutex> stream_lock(StreamAccess::mutex(stream));
    const std::lock_guard<std::mutex> lock(event->mutex);
    if (external && is_capturing(stream)) {
        GraphNode node;
        node.kind = NodeKind::event_wait;
        node.event = event;
        return capture_node(stream, std::move(node));
    }
    if (belongs_to_capture(event)) return join_capture(stream, event);
    if (is_capturing(stream)) {
        // Waiting inside a capture for work outside it is not allowed, except for work that never was.
        if (!event->recorded) return Status::ok;
        StreamAccess::capture(stream)->state = CaptureState::invalidated;
        return Status::capture_isolation;
    }
    hold_until(stream, event->load());
    add_deliveries(&StreamAccess::deliveries(stream), event->deliveries);
    return Status::ok;
}

Status query_event(Event* event) {
    {
        const std::lock_guard<std::mutex> lock(event->mutex);
        if (belongs_to_capture(event)) return Status::captured_event;
    }
    if (is_over(event->load(), now_ns())) {
        deliver_ready();
        return Status::ok;
    }
    charge_poll();
    return Status::not_ready;
}

Status synchronize_event(Event* event) {
    {
        const std::lock_guard<std::mutex> lock(event->mutex);
        if (belongs_to_capture(event)) return Status::captured_event;
    }
    bump(stats().waits);
    const DeviceCall call(HostCall::sync);
    wait_until(event->load(), static_cast<uint32_t>(event->device));
    deliver_ready();
    return Status::ok;
}

Status elapsed_ms(Event* start, Event* end, float* out) {
    if (!start->options.timing || !end->options.timing || !start->recorded || !end->recorded)
        return Status::invalid_handle;
    if (start->device != end->device) return Status::invalid_handle;
    const Instant ended = end->load(), started = start->load();
    const int64_t now = now_ns();
    if (!is_over(ended, now) || !is_over(started, now)) return Status::not_ready;
    *out = static_cast<float>(static_cast<double>(ended.known_ns - started.known_ns) * 1e-6);
    return Status::ok;
}

Status share_event(Event* event, void* handle_64_bytes) {
    if (event->shared_time_ns == nullptr) return Status::invalid_handle;
    EventShareHandle handle{};
    handle.magic = share_magic;
    handle.pid = static_cast<uint64_t>(getpid());
    handle.fd = event->shared_fd;
    memcpy(handle_64_bytes, &handle, sizeof handle);
    return Status::ok;
}

Status open_shared_event(int device, const void* handle_64_bytes, Event** out) {
    EventShareHandle handle;
    memcpy(&handle, handle_64_bytes, sizeof handle);
    if (handle.magic != share_magic) return Status::invalid_value;
    const Status context = ensure_context(device);
    if (context != Status::ok) return context;
    char path[64];
    snprintf(path, sizeof path, "/proc/%llu/fd/%lld", static_cast<unsigned long long>(handle.pid),
             static_cast<long long>(handle.fd));
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return Status::map_failed;
    Event* const event = arena().create();
    if (event == nullptr || !map_shared_time(event, fd)) {
        close(fd);
        return Status::map_failed;
    }
    event->device = device;
    event->options = {false, false, true};
    event->recorded = true;
    *out = event;
    return Status::ok;
}

}  // namespace revati::device
