"""Streams and events: order, queries, elapsed time, errors."""

from __future__ import annotations

import pytest
import torch


def busy(size: int = 4096) -> torch.Tensor:
    """Some tenths of a millisecond of device work at least."""
    left = torch.empty(size, size, dtype=torch.bfloat16, device="cuda")
    return left @ left


def test_elapsed_time_grows_with_work() -> None:
    busy()
    start, middle, end = (torch.cuda.Event(enable_timing=True) for _ in range(3))
    torch.cuda.synchronize()
    start.record()
    busy()
    middle.record()
    for _ in range(10):
        busy()
    end.record()
    end.synchronize()
    assert start.elapsed_time(middle) > 0
    assert middle.elapsed_time(end) > 3 * start.elapsed_time(middle)


def test_query_is_not_ready_while_work_runs() -> None:
    event = torch.cuda.Event()
    for _ in range(2000):
        busy()
    event.record()
    assert not event.query()
    event.synchronize()
    assert event.query()
    assert torch.cuda.current_stream().query()


def test_unrecorded_event_is_ready() -> None:
    assert torch.cuda.Event().query()


def test_elapsed_time_needs_timing() -> None:
    plain, timed = torch.cuda.Event(), torch.cuda.Event(enable_timing=True)
    plain.record()
    timed.record()
    torch.cuda.synchronize()
    with pytest.raises((RuntimeError, ValueError)):
        plain.elapsed_time(timed)


def test_a_stream_waits_for_an_event_of_another() -> None:
    side = torch.cuda.Stream()
    done = torch.cuda.Event(enable_timing=True)
    first = torch.cuda.Event(enable_timing=True)
    for _ in range(20):
        busy()
    first.record()
    side.wait_event(first)
    with torch.cuda.stream(side):
        busy(256)
        done.record()
    side.synchronize()
    assert first.query()
    assert first.elapsed_time(done) >= 0


def test_streams_run_side_by_side() -> None:
    """Work on another stream does not hold up an event on this one."""
    side = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        for _ in range(200):
            busy()
        slow = torch.cuda.Event()
        slow.record()
    quick = torch.cuda.Event()
    quick.record()
    quick.synchronize()
    assert not slow.query()
    side.synchronize()


def test_priorities_and_identity() -> None:
    before = torch.cuda.current_stream()
    low, high = torch.cuda.Stream(priority=0), torch.cuda.Stream(priority=-1)
    assert high.priority < low.priority
    assert low != high
    with torch.cuda.stream(low):
        assert torch.cuda.current_stream() == low
    assert torch.cuda.current_stream() == before


def test_device_synchronize_waits_for_every_stream() -> None:
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(50):
            busy()
    torch.cuda.synchronize()
    assert side.query()
