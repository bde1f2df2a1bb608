// Internal to the stream, event, capture and graph files.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "device/graph.h"
#include "device/stream.h"

namespace revati::device {

struct Capture {
    uint64_t id = 0;
    CaptureMode mode = CaptureMode::global;
    CaptureState state = CaptureState::active;
    std::unique_ptr<Graph> own_graph;  // null when capturing into a user's graph
    Graph* graph = nullptr;
    Stream* origin = nullptr;
    std::vector<Stream*> joined;  // all streams in this capture, the origin included
    uint64_t owner_thread = 0;
};

class Event {
  public:
    static constexpr uint32_t live_magic = 0x45564e54;
    int device = 0;
    EventOptions options;
    std::mutex mutex;
    bool recorded = false;
    std::atomic<int64_t> time_ns{0};                 // when the recorded work is done
    std::atomic<int64_t>* shared_time_ns = nullptr;  // of an inter-process event; then `time_ns` is unused
    int shared_fd = -1;
    std::shared_ptr<Capture> capture;
    std::vector<GraphNode*> capture_nodes;

    std::atomic<int64_t>& time() { return shared_time_ns != nullptr ? *shared_time_ns : time_ns; }
};

// The only way into a stream's private state.
struct StreamAccess {
    static std::mutex& mutex(Stream* stream) { return stream->mutex_; }
    static std::atomic<int64_t>& tail(Stream* stream) { return stream->tail_ns_; }
    static std::shared_ptr<Capture>& capture(Stream* stream) { return stream->capture_; }
    static std::vector<GraphNode*>& capture_tail(Stream* stream) { return stream->capture_tail_; }
    static std::atomic<int>& pending_host_calls(Stream* stream) { return stream->pending_host_calls_; }
    static bool blocking(const Stream* stream) { return stream->blocking_; }
    static void set_up(Stream* stream, int device, unsigned flags, bool blocking, int priority,
                       bool is_default);
};

// How long work occupies its stream and what precedes it.
struct WorkTime {
    int64_t duration_ns = 0;
    int64_t latency_ns = 0;  // from the host's call to the start on an idle stream
    int64_t gap_ns = 0;      // behind work that is still running
    std::atomic<int64_t>* engine_free_ns =
        nullptr;  // a unit of the device that serves one piece of work at a time
};

// Puts work on the stream's time line; returns the instant at which it ends. The stream must not be
// capturing.
int64_t advance(Stream* stream, const WorkTime& work);
// Latest end of any work that this process submitted to the device.
int64_t device_tail_ns(int device);

// Capture state of the stream. `lock` must be held on its mutex.
bool is_capturing(Stream* stream);
// Adds a node behind the stream's capture tail and makes it the new tail.
Status capture_node(Stream* stream, GraphNode&& prototype);
void invalidate_capture(Stream* stream);

std::atomic<int64_t>* copy_engine(int device, cost::CopyKind kind);
cost::CopyKind classify_copy(const void* destination, const void* source, bool* pinned);

// What a kernel node needs at replay, and how a captured or direct launch is priced and performed.
void resolve(Kernel* kernel);
cost::Duration price(const Kernel& kernel, const LaunchConfig& config, void* const* args);
void perform(const Kernel& kernel, const LaunchConfig& config, void* const* args, int device, Stream* stream);

// Runs `function` on the callback thread once virtual time reaches `due_ns`.
void schedule_host_call(Stream* stream, int64_t due_ns, HostFunction function, void* user);
void wait_for_host_calls(Stream* stream);

}  // namespace revati::device
