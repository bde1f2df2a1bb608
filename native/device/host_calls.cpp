// Host functions enqueued on streams. They run on a thread of their own, as the driver's do: the caller may
// hold a lock that they take.
#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <map>
#include <thread>

#include "device/session.h"
#include "device/stream_internal.h"
#include "device/time.h"

namespace revati::device {
namespace {

struct Call {
    Stream* stream;
    HostFunction function;
    void* user;
};

struct CallQueue {
    std::mutex mutex;
    std::condition_variable arrived, finished;
    std::multimap<int64_t, Call> pending;          // by due time; equal times keep their order
    std::deque<std::pair<Instant, Call>> undated;  // behind joint work whose end is not known
    bool running = false;
};

CallQueue* queue = nullptr;

void run_calls() {
    pthread_setname_np(pthread_self(), "revati-callback");
    std::unique_lock<std::mutex> lock(queue->mutex);
    for (;;) {
        queue->arrived.wait(lock, [] { return !queue->pending.empty() || !queue->undated.empty(); });
        if (!queue->undated.empty()) {
            const auto [due, call] = queue->undated.front();
            queue->undated.pop_front();
            lock.unlock();
            const int64_t due_ns = wait_known(due);
            lock.lock();
            queue->pending.emplace(due_ns, call);
            continue;
        }
        const auto first = queue->pending.begin();
        const int64_t due_ns = first->first;
        const Call call = first->second;
        queue->pending.erase(first);
        lock.unlock();
        wait_until_ns(due_ns, static_cast<uint32_t>(call.stream->device()));
        call.function(call.user);
        lock.lock();
        StreamAccess::pending_host_calls(call.stream).fetch_sub(1);
        queue->finished.notify_all();
    }
}

CallQueue& started_queue() {
    static auto* const once = new std::once_flag;
    std::call_once(*once, [] {
        queue = new CallQueue;
        // The thread does not survive a fork; a child starts its own at its first call.
        on_fork_in_child([] { queue = new CallQueue; });
    });
    if (!queue->running) {
        queue->running = true;
        std::thread(run_calls).detach();
    }
    return *queue;
}

}  // namespace

void schedule_host_call(Stream* stream, const Instant& due, HostFunction function, void* user) {
    static auto* const starting = new std::mutex;
    const std::lock_guard<std::mutex> start_lock(*starting);
    CallQueue& calls = started_queue();
    StreamAccess::pending_host_calls(stream).fetch_add(1);
    const std::lock_guard<std::mutex> lock(calls.mutex);
    if (due.is_known()) {
        calls.pending.emplace(due.known_ns, Call{stream, function, user});
    } else {
        calls.undated.emplace_back(due, Call{stream, function, user});
    }
    calls.arrived.notify_one();
}

void wait_for_host_calls(Stream* stream) {
    if (StreamAccess::pending_host_calls(stream).load() == 0) return;
    std::unique_lock<std::mutex> lock(queue->mutex);
    queue->finished.wait(lock, [stream] { return StreamAccess::pending_host_calls(stream).load() == 0; });
}

}  // namespace revati::device
