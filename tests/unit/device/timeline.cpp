#include "check.h"
#include "device/device.h"
#include "device/graph.h"
#include "device/memory.h"
#include "device/stats.h"
#include "device/stream.h"

using namespace revati;
using namespace revati::device;

namespace {

Stream* new_stream(bool blocking = false) {
    Stream* stream = nullptr;
    CHECK(create_stream(0, 0, blocking, 0, &stream) == Status::ok);
    return stream;
}

cost::Duration work(int64_t ns) {
    return {ns, cost::Source::roofline, cost::Family::gemm, 1};
}

int64_t finished_after(Stream* stream) {
    const int64_t start = test_clock_ns;
    CHECK(synchronize(stream) == Status::ok);
    return test_clock_ns - start;
}

Graph* capture_of(Stream* stream) {
    Graph* graph = nullptr;
    CHECK(end_capture(stream, &graph) == Status::ok);
    return graph;
}

Event* new_event() {
    Event* event = nullptr;
    CHECK(create_event(0, {}, &event) == Status::ok);
    return event;
}

}  // namespace

CASE(work_takes_latency_and_duration_then_gaps) {
    Stream* const stream = new_stream();
    submit(stream, "a", work(1000));
    submit(stream, "b", work(500));
    CHECK_EQUAL(finished_after(stream), gpu().launch_latency_ns + 1000 + gpu().kernel_gap_ns + 500);
}

CASE(an_idle_stream_starts_at_the_hosts_time) {
    Stream* const stream = new_stream();
    submit(stream, "a", work(1000));
    test_clock_ns += 1'000'000;
    submit(stream, "b", work(500));
    CHECK_EQUAL(finished_after(stream), gpu().launch_latency_ns + 500);
}

CASE(streams_do_not_wait_for_each_other) {
    Stream *const first = new_stream(), *const second = new_stream();
    submit(first, "slow", work(1'000'000));
    submit(second, "quick", work(10));
    CHECK_EQUAL(finished_after(second), gpu().launch_latency_ns + 10);
    CHECK(query(first) == Status::not_ready);
}

CASE(the_legacy_default_stream_waits_for_blocking_streams_and_they_for_it) {
    Stream *const blocking = new_stream(true), *const free_stream = new_stream(false);
    submit(blocking, "slow", work(1'000'000));
    submit(default_stream(0), "after", work(10));
    submit(free_stream, "free", work(10));
    CHECK_EQUAL(finished_after(free_stream), gpu().launch_latency_ns + 10);
    CHECK(query(default_stream(0)) == Status::not_ready);
    submit(blocking, "behind", work(10));
    synchronize(default_stream(0));
    CHECK(query(blocking) == Status::not_ready || test_clock_ns > 2'000'000);
}

CASE(an_event_carries_its_instant_to_another_stream) {
    Stream *const first = new_stream(), *const second = new_stream();
    submit(first, "slow", work(1'000'000));
    Event* const event = new_event();
    record_event(event, first);
    CHECK(query_event(event) == Status::not_ready);
    wait_event(second, event);
    submit(second, "after", work(10));
    CHECK(finished_after(second) >= 1'000'010);
    CHECK(query_event(event) == Status::ok);
}

CASE(elapsed_time_is_device_time) {
    Stream* const stream = new_stream();
    Event *const start = new_event(), *const end = new_event();
    record_event(start, stream);
    submit(stream, "a", work(2'000'000));
    record_event(end, stream);
    float ms = 0;
    CHECK(elapsed_ms(start, end, &ms) == Status::not_ready);
    synchronize_event(end);
    CHECK(elapsed_ms(start, end, &ms) == Status::ok);
    CHECK(ms > 2.0 && ms < 2.1);
}

CASE(a_capture_runs_nothing_and_a_replay_runs_it) {
    Stream* const stream = new_stream();
    void* memory = nullptr;
    CHECK(allocate_device(0, 4096, &memory) == Status::ok);
    CHECK(begin_capture(stream, CaptureMode::global) == Status::ok);
    CHECK(fill(stream, memory, 7, 1, 16, false) == Status::ok);
    submit(stream, "a", work(1000));
    Graph* const graph = capture_of(stream);
    CHECK_EQUAL(static_cast<char*>(memory)[3], 0);
    GraphExec* exec = nullptr;
    CHECK(instantiate(graph, 0, &exec) == Status::ok);
    CHECK_EQUAL(node_count(exec), 2);
    CHECK(launch_graph(exec, stream) == Status::ok);
    CHECK_EQUAL(static_cast<char*>(memory)[3], 7);
    CHECK(finished_after(stream) > 1000);
}

CASE(a_forked_capture_takes_its_critical_path) {
    Stream *const main = new_stream(), *const side = new_stream();
    Event *const fork = new_event(), *const join = new_event();
    begin_capture(main, CaptureMode::global);
    submit(main, "head", work(1000));
    record_event(fork, main);
    wait_event(side, fork);
    submit(main, "long", work(50'000));
    submit(side, "short", work(20'000));
    record_event(join, side);
    wait_event(main, join);
    submit(main, "tail", work(1000));
    Graph* const graph = capture_of(main);
    GraphExec* exec = nullptr;
    CHECK(instantiate(graph, 0, &exec) == Status::ok);
    launch_graph(exec, main);
    CHECK_EQUAL(finished_after(main), gpu().graph_launch_latency_ns + 52'000 + 2 * gpu().graph_kernel_gap_ns);
}

CASE(unjoined_work_fails_the_capture_and_frees_the_streams) {
    Stream *const main = new_stream(), *const side = new_stream();
    Event* const fork = new_event();
    begin_capture(main, CaptureMode::global);
    record_event(fork, main);
    wait_event(side, fork);
    submit(side, "lost", work(10));
    Graph* graph = nullptr;
    CHECK(end_capture(main, &graph) == Status::capture_unjoined);
    CHECK(graph == nullptr);
    CHECK(submit(side, "free again", work(10)) == Status::ok);
    CHECK(synchronize(side) == Status::ok);
}

CASE(unsafe_calls_invalidate_a_global_capture) {
    Stream* const stream = new_stream();
    begin_capture(stream, CaptureMode::global);
    CHECK(check_unsafe_call() == Status::capture_unsupported);
    Graph* graph = nullptr;
    CHECK(end_capture(stream, &graph) == Status::capture_invalidated);
    begin_capture(stream, CaptureMode::global);
    const CaptureMode before = exchange_capture_mode(CaptureMode::relaxed);
    CHECK(check_unsafe_call() == Status::ok);
    exchange_capture_mode(before);
    CHECK(end_capture(stream, &graph) == Status::ok);
}

CASE(an_updated_graph_must_have_the_same_shape) {
    Stream* const stream = new_stream();
    Graph* graphs[3];
    for (int index = 0; index < 3; ++index) {
        begin_capture(stream, CaptureMode::global);
        submit(stream, "a", work(1000 * (index + 1)));
        if (index == 2) submit(stream, "b", work(1));
        graphs[index] = capture_of(stream);
    }
    GraphExec* exec = nullptr;
    instantiate(graphs[0], 0, &exec);
    CHECK(update_exec(exec, graphs[1]) == Status::ok);
    CHECK(update_exec(exec, graphs[2]) == Status::illegal_state);
    launch_graph(exec, stream);
    CHECK_EQUAL(finished_after(stream), gpu().graph_launch_latency_ns + 2000);
}

CASE(copies_in_one_direction_share_an_engine) {
    Stream *const first = new_stream(), *const second = new_stream();
    void *device_memory = nullptr, *host = nullptr;
    const size_t bytes = size_t{64} << 20;
    CHECK(allocate_device(0, bytes, &device_memory) == Status::ok);
    CHECK(allocate_pinned(0, bytes, &host) == Status::ok);
    copy(first, device_memory, host, bytes, false);
    const int64_t one = finished_after(first);
    copy(first, device_memory, host, bytes, false);
    copy(second, device_memory, host, bytes, false);
    CHECK(finished_after(second) > 2 * one - 100'000);
}

CASE(host_functions_run_once_their_instant_has_come) {
    Stream* const stream = new_stream();
    static int calls = 0;
    submit(stream, "a", work(1'000'000));
    CHECK(call_host(stream, [](void*) { ++calls; }, nullptr) == Status::ok);
    CHECK(synchronize(stream) == Status::ok);
    CHECK_EQUAL(calls, 1);
}

CASE(virtual_time_is_counted_by_family_and_source) {
    Stream* const stream = new_stream();
    submit(stream, "a", work(1234));
    const StatsPage::Cell& cell =
        stats().cells[static_cast<int>(cost::Family::gemm)][static_cast<int>(cost::Source::roofline)];
    CHECK_EQUAL(cell.count, 1);
    CHECK_EQUAL(cell.ns, 1234);
}

int main(int argc, char** argv) {
    return run_cases(argc, argv);
}
