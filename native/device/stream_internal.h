// Internal to the stream, event, capture and graph files.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "device/graph.h"
#include "device/joint_internal.h"
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
    Timeline time;                                   // when the recorded work is done
    Deliveries deliveries;                           // that come before that
    std::atomic<int64_t>* shared_time_ns = nullptr;  // of an inter-process event; then `time` is unused
    int shared_fd = -1;
    std::shared_ptr<Capture> capture;
    std::vector<GraphNode*> capture_nodes;

    Instant load() {
        if (shared_time_ns == nullptr) return time.load();
        return shared_time_ns->load(std::memory_order_acquire);
    }
    // An inter-process event holds a number: who records one behind joint work waits until it is known.
    void store(const Instant& instant) {
        if (shared_time_ns == nullptr) return time.store(instant);
        shared_time_ns->store(wait_known(instant), std::memory_order_release);
    }
};

// The only way into a stream's private state.
struct StreamAccess {
    static std::mutex& mutex(Stream* stream) { return stream->mutex_; }
    static Timeline& tail(Stream* stream) { return stream->tail_; }
    static Deliveries& deliveries(Stream* stream) { return stream->deliveries_; }
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
Instant advance(Stream* stream, const WorkTime& work);
// Its two halves: when work can start (its duration aside), and that the stream is busy until `end`.
Instant start_of(Stream* stream, const WorkTime& work);
void finish_at(Stream* stream, const Instant& end);
void hold_until(Stream* stream, const Instant& instant);
// The moment at which everything submitted so far is done.
Instant stream_end(Stream* stream);
// Latest end of any work that this process submitted to the device.
Instant device_tail(int device);
void count_joint(const Stream* stream, const JointSet& set, const Instant& end);
// A launch of a kernel that waits for other ranks; null if its group cannot be told.
std::shared_ptr<const JointSet> joint_set_of(const Kernel& kernel, const LaunchConfig& config,
                                             void* const* args, int device);
void launch_joint(Stream* stream, const JointSet& set);

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

// Runs `function` on the callback thread once virtual time reaches `due`.
void schedule_host_call(Stream* stream, const Instant& due, HostFunction function, void* user);
void wait_for_host_calls(Stream* stream);

}  // namespace revati::device
