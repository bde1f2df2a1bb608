// Streams, events and the work on them. A stream is a time line: it keeps the virtual instant at which its
// last work ends. What work *does* (copies, control-plane effects) happens in program order at submission,
// which is one legal order; *when* it is done is virtual time.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "cost/features.h"
#include "device/export.h"
#include "device/instant.h"
#include "device/kernel.h"
#include "device/status.h"

namespace revati::device {

struct Graph;
struct GraphNode;
struct Capture;
class Delivery;

enum class CaptureMode : uint8_t { global, thread_local_, relaxed };
enum class CaptureState : uint8_t { none, active, invalidated };

class Stream {
  public:
    int device() const { return device_; }
    int priority() const { return priority_; }
    unsigned flags() const { return flags_; }
    uint64_t id() const { return id_; }
    bool is_default() const { return default_; }

    static constexpr uint32_t live_magic = 0x5354524d;

  private:
    friend struct StreamAccess;  // device/stream.cpp and its neighbours
    int device_ = 0;
    int priority_ = 0;
    unsigned flags_ = 0;
    uint64_t id_ = 0;
    bool default_ = false;
    bool blocking_ = true;  // synchronises with the legacy default stream
    std::mutex mutex_;
    Timeline tail_;
    std::vector<std::shared_ptr<Delivery>> deliveries_;  // of joint work, still to come
    std::shared_ptr<Capture> capture_;
    std::vector<GraphNode*> capture_tail_;  // the nodes that the next captured work depends on
    std::atomic<int> pending_host_calls_{0};
};

class Event;

// Which stream a handle means. `stream` null: the legacy default stream of the current device.
REVATI_API Stream* default_stream(int device, bool per_thread = false);
REVATI_API Status create_stream(int device, unsigned flags, bool blocking, int priority, Stream** out);
REVATI_API Status destroy_stream(Stream* stream);
REVATI_API bool is_stream(const void* handle);

// Waits (in virtual time) for all work submitted so far.
REVATI_API Status synchronize(Stream* stream);
REVATI_API Status synchronize_device(int device);
REVATI_API Status query(Stream* stream);

struct EventOptions {
    bool timing = true;
    bool blocking_sync = false;
    bool interprocess = false;
};
REVATI_API Status create_event(int device, const EventOptions& options, Event** out);
REVATI_API Status destroy_event(Event* event);
REVATI_API bool is_event(const void* handle);
REVATI_API Status record_event(Event* event, Stream* stream, bool external = false);
REVATI_API Status wait_event(Stream* stream, Event* event, bool external = false);
REVATI_API Status query_event(Event* event);
REVATI_API Status synchronize_event(Event* event);
// Milliseconds of virtual device time; at the resolution of the real thing (half a microsecond).
REVATI_API Status elapsed_ms(Event* start, Event* end, float* out);
// 64 bytes to hand to another process, and the event that they mean there.
REVATI_API Status share_event(Event* event, void* handle_64_bytes);
REVATI_API Status open_shared_event(int device, const void* handle_64_bytes, Event** out);

// Submissions. While the stream captures, each adds a node to the graph and does nothing else.
struct LaunchConfig {
    Dim3 grid, block;
    uint32_t shared_bytes = 0;
    bool cooperative = false;
    Dim3 cluster{0, 0, 0};
};
REVATI_API Status launch(Stream* stream, Kernel* kernel, const LaunchConfig& config, void** args);
// Work of a library (a GEMM, a collective) whose duration the caller has asked of the estimator. `label` must
// outlive the process.
REVATI_API Status submit(Stream* stream, const char* label, const cost::Duration& duration);
REVATI_API Status copy(Stream* stream, void* destination, const void* source, size_t bytes, bool synchronous);
REVATI_API Status copy_2d(Stream* stream, void* destination, size_t destination_pitch, const void* source,
                          size_t source_pitch, size_t width_bytes, size_t height, bool synchronous);
REVATI_API Status fill(Stream* stream, void* destination, uint32_t value, size_t element_bytes,
                       size_t elements, bool synchronous);
using HostFunction = void (*)(void* user);
REVATI_API Status call_host(Stream* stream, HostFunction function, void* user);

// Capture.
REVATI_API Status begin_capture(Stream* stream, CaptureMode mode, Graph* into = nullptr);
REVATI_API Status end_capture(Stream* stream, Graph** out);
struct CaptureInfo {
    CaptureState state = CaptureState::none;
    uint64_t id = 0;
    Graph* graph = nullptr;
    const std::vector<GraphNode*>* dependencies = nullptr;
};
REVATI_API Status capture_info(Stream* stream, CaptureInfo* out);
REVATI_API Status update_capture_dependencies(Stream* stream, GraphNode* const* nodes, size_t count,
                                              bool replace);
REVATI_API CaptureMode exchange_capture_mode(CaptureMode mode);
// Calls that are forbidden while a capture in `global` mode runs (cudaMalloc-like): invalidates it and
// returns the error.
REVATI_API Status check_unsafe_call();

}  // namespace revati::device
