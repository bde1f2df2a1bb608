#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "device/log.h"
#include "device/stream_internal.h"

namespace revati::device {
namespace {

uint64_t this_thread() {
    static thread_local const auto id = static_cast<uint64_t>(syscall(SYS_gettid));
    return id;
}

thread_local CaptureMode interaction_mode = CaptureMode::global;

// Captures that forbid unsafe calls somewhere. Few and short-lived; the count spares everybody else the lock.
struct LiveCaptures {
    std::mutex mutex;
    std::vector<std::shared_ptr<Capture>> list;
    std::atomic<int> count{0};
};

LiveCaptures& live() {
    static auto* const instance = new LiveCaptures;
    return *instance;
}

void add_live(const std::shared_ptr<Capture>& capture) {
    const std::lock_guard<std::mutex> lock(live().mutex);
    live().list.push_back(capture);
    live().count.fetch_add(1);
}

void remove_live(const std::shared_ptr<Capture>& capture) {
    const std::lock_guard<std::mutex> lock(live().mutex);
    auto& list = live().list;
    const auto found = std::find(list.begin(), list.end(), capture);
    if (found == list.end()) return;
    list.erase(found);
    live().count.fetch_sub(1);
}

// Every joined stream's last node must lead to the origin: either something depends on it or the origin's
// tail holds it.
bool all_joined_back(const Capture& capture) {
    const std::vector<GraphNode*>& origin_tail = StreamAccess::capture_tail(capture.origin);
    for (Stream* const stream : capture.joined) {
        if (stream == capture.origin) continue;
        for (GraphNode* const node : StreamAccess::capture_tail(stream)) {
            const bool in_tail = std::find(origin_tail.begin(), origin_tail.end(), node) != origin_tail.end();
            if (!in_tail && node->dependents.empty()) return false;
        }
    }
    return true;
}

void leave_capture(const Capture& capture) {
    for (Stream* const stream : capture.joined) {
        StreamAccess::capture_tail(stream).clear();
        StreamAccess::capture(stream).reset();
    }
}

}  // namespace

bool is_capturing(Stream* stream) {
    return StreamAccess::capture(stream) != nullptr;
}

void invalidate_capture(Stream* stream) {
    if (StreamAccess::capture(stream) != nullptr)
        StreamAccess::capture(stream)->state = CaptureState::invalidated;
}

Status capture_node(Stream* stream, GraphNode&& prototype) {
    Capture& capture = *StreamAccess::capture(stream);
    if (capture.state == CaptureState::invalidated) return Status::capture_invalidated;
    std::vector<GraphNode*>& tail = StreamAccess::capture_tail(stream);
    GraphNode* node = nullptr;
    const Status added = add_node(capture.graph, std::move(prototype), tail.data(), tail.size(), &node);
    if (added != Status::ok) return added;
    tail.assign(1, node);
    return Status::ok;
}

Status begin_capture(Stream* stream, CaptureMode mode, Graph* into) {
    static std::atomic<uint64_t> next_id{1};
    const std::lock_guard<std::mutex> lock(StreamAccess::mutex(stream));
    if (stream->is_default()) return Status::capture_unsupported;
    if (is_capturing(stream)) return Status::illegal_state;
    auto capture = std::make_shared<Capture>();
    capture->id = next_id.fetch_add(1);
    capture->mode = mode;
    capture->origin = stream;
    capture->owner_thread = this_thread();
    capture->joined.push_back(stream);
    if (into == nullptr) {
        Graph* graph = nullptr;
        create_graph(&graph);
        capture->own_graph.reset(graph);
        into = graph;
    }
    capture->graph = into;
    StreamAccess::capture_tail(stream).clear();
    StreamAccess::capture(stream) = capture;
    if (mode != CaptureMode::relaxed) add_live(capture);
    return Status::ok;
}

Status end_capture(Stream* stream, Graph** out) {
    if (out != nullptr) *out = nullptr;
    const std::lock_guard<std::mutex> lock(StreamAccess::mutex(stream));
    if (!is_capturing(stream)) return Status::illegal_state;
    const std::shared_ptr<Capture> capture = StreamAccess::capture(stream);
    if (capture->origin != stream) return Status::capture_unmatched;
    if (capture->mode != CaptureMode::relaxed && capture->owner_thread != this_thread())
        return Status::capture_wrong_thread;
    const bool joined = all_joined_back(*capture), valid = capture->state == CaptureState::active;
    remove_live(capture);
    leave_capture(*capture);
    capture->state = CaptureState::none;
    if (!joined) return Status::capture_unjoined;
    if (!valid) return Status::capture_invalidated;
    capture->own_graph.release();
    if (out != nullptr) *out = capture->graph;
    return Status::ok;
}

Status capture_info(Stream* stream, CaptureInfo* out) {
    const std::lock_guard<std::mutex> lock(StreamAccess::mutex(stream));
    *out = CaptureInfo();
    if (!is_capturing(stream)) return Status::ok;
    const Capture& capture = *StreamAccess::capture(stream);
    *out = {capture.state, capture.id, capture.graph, &StreamAccess::capture_tail(stream)};
    return Status::ok;
}

Status update_capture_dependencies(Stream* stream, GraphNode* const* nodes, size_t count, bool replace) {
    const std::lock_guard<std::mutex> lock(StreamAccess::mutex(stream));
    if (!is_capturing(stream)) return Status::illegal_state;
    std::vector<GraphNode*>& tail = StreamAccess::capture_tail(stream);
    if (replace) tail.clear();
    tail.insert(tail.end(), nodes, nodes + count);
    return Status::ok;
}

CaptureMode exchange_capture_mode(CaptureMode mode) {
    std::swap(mode, interaction_mode);
    return mode;
}

Status check_unsafe_call() {
    if (live().count.load(std::memory_order_acquire) == 0 || interaction_mode == CaptureMode::relaxed)
        return Status::ok;
    const std::lock_guard<std::mutex> lock(live().mutex);
    Status status = Status::ok;
    for (const std::shared_ptr<Capture>& capture : live().list) {
        const bool own = capture->owner_thread == this_thread();
        const bool others = interaction_mode == CaptureMode::global && capture->mode == CaptureMode::global;
        if (!own && !others) continue;
        capture->state = CaptureState::invalidated;
        status = Status::capture_unsupported;
    }
    return status;
}

}  // namespace revati::device
