"""Streams, events and host functions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from runtime_api import (
    DISABLE_TIMING,
    HOST_TO_DEVICE,
    INTERPROCESS,
    INVALID_HANDLE,
    LEGACY,
    MAJOR,
    NON_BLOCKING,
    NULL,
    PER_THREAD,
    SUCCESS,
    Runtime,
    ffi,
)


@pytest.mark.parametrize("stream", [NULL, LEGACY, PER_THREAD], ids=["null", "legacy", "per-thread"])
def test_default_streams(rt: Runtime, stream: object) -> None:
    rt.ok("cudaStreamSynchronize", stream)
    rt.ok("cudaStreamQuery", stream)
    with rt.event() as event:
        rt.ok("cudaEventRecord", event, stream)
        rt.ok("cudaEventSynchronize", event)


def test_what_a_stream_says_of_itself(rt: Runtime) -> None:
    stream = rt.get("cudaStreamCreateWithPriority", "handle", NON_BLOCKING, -3)
    for name, kind, expected in [
        ("cudaStreamGetFlags", "unsigned", NON_BLOCKING),
        ("cudaStreamGetPriority", "int", -3),
        ("cudaStreamGetDevice", "int", 0),
    ]:
        out = ffi.new(f"{kind}*")
        rt.ok(name, stream, out)
        assert out[0] == expected
    ids = ffi.new("unsigned long long[2]")
    rt.ok("cudaStreamGetId", stream, ids)
    rt.ok("cudaStreamGetId", NULL, ids + 1)
    assert ids[0] != ids[1]
    rt.ok("cudaStreamDestroy", stream)


@pytest.mark.parametrize(("asked", "given"), [(5, 0), (0, 0), (-2, -2), (-100, -5)])
def test_priorities_are_clamped(rt: Runtime, asked: int, given: int) -> None:
    stream = rt.get("cudaStreamCreateWithPriority", "handle", 0, asked)
    out = ffi.new("int*")
    rt.ok("cudaStreamGetPriority", stream, out)
    assert out[0] == given
    rt.ok("cudaStreamDestroy", stream)


def test_attributes(rt: Runtime) -> None:
    value = ffi.new("int[16]")
    with rt.stream() as first, rt.stream() as second:
        # cudaLaunchAttributeSynchronizationPolicy = 3, cudaSyncPolicySpin = 2
        value[0] = 2
        rt.ok("cudaStreamSetAttribute", first, 3, value)
        rt.ok("cudaStreamCopyAttributes", second, first)
        value[0] = 0
        rt.ok("cudaStreamGetAttribute", second, 3, value)
        assert value[0] == 2
        rt.fails(1, "cudaStreamGetAttribute", first, 999, value)


def test_a_destroyed_stream_is_refused(rt: Runtime) -> None:
    stream = rt.get("cudaStreamCreate", "handle")
    rt.ok("cudaStreamDestroy", stream)
    rt.fails(INVALID_HANDLE, "cudaStreamSynchronize", stream)
    rt.fails(INVALID_HANDLE, "cudaStreamDestroy", stream)


def test_time_between_events(rt: Runtime) -> None:
    elapsed = ffi.new("float*")
    data = bytes(1 << 20)
    with rt.event() as start, rt.event() as end, rt.stream() as stream, rt.memory(1 << 20) as pointer:
        rt.ok("cudaEventRecord", start, stream)
        rt.ok("cudaMemcpyAsync", pointer, ffi.from_buffer(data), len(data), HOST_TO_DEVICE, stream)
        rt.ok("cudaEventRecordWithFlags", end, stream, 0)
        rt.ok("cudaEventSynchronize", end)
        rt.ok("cudaEventQuery", end)
        rt.ok("cudaEventElapsedTime", elapsed, start, end)
        assert elapsed[0] > 0
        if MAJOR == 12:
            rt.ok("cudaEventElapsedTime_v2", elapsed, start, end)
            assert elapsed[0] > 0


def test_events_that_were_never_recorded(rt: Runtime) -> None:
    with rt.event() as event, rt.event() as other:
        rt.ok("cudaEventQuery", event)
        rt.ok("cudaEventSynchronize", event)
        rt.fails(INVALID_HANDLE, "cudaEventElapsedTime", ffi.new("float*"), event, other)


def test_events_without_timing(rt: Runtime) -> None:
    with rt.event(DISABLE_TIMING) as event, rt.event() as other:
        rt.ok("cudaEventRecord", event, NULL)
        rt.ok("cudaEventRecord", other, NULL)
        rt.ok("cudaDeviceSynchronize")
        rt.fails(INVALID_HANDLE, "cudaEventElapsedTime", ffi.new("float*"), event, other)


def test_a_destroyed_event_is_refused(rt: Runtime) -> None:
    event = rt.get("cudaEventCreate", "handle")
    rt.ok("cudaEventDestroy", event)
    rt.fails(INVALID_HANDLE, "cudaEventRecord", event, NULL)
    rt.fails(INVALID_HANDLE, "cudaEventDestroy", event)


def test_an_unfinished_query_is_no_error(rt: Runtime) -> None:
    with rt.stream() as stream, rt.event() as event, rt.memory(1 << 30) as pointer:
        for _ in range(20):
            rt.ok("cudaMemsetAsync", pointer, 0, 1 << 30, stream)
        rt.ok("cudaEventRecord", event, stream)
        assert rt.call("cudaStreamQuery", stream) in {SUCCESS, 600}
        assert rt.call("cudaEventQuery", event) in {SUCCESS, 600}
        rt.ok("cudaStreamSynchronize", stream)
        assert rt.call("cudaGetLastError") == SUCCESS
        rt.ok("cudaStreamQuery", stream)


def test_streams_wait_for_events(rt: Runtime) -> None:
    elapsed = ffi.new("float*")
    with (
        rt.memory(1 << 30) as pointer,
        rt.stream() as first,
        rt.stream() as second,
        rt.event() as start,
        rt.event() as middle,
        rt.event() as end,
    ):
        rt.ok("cudaEventRecord", start, first)
        rt.ok("cudaMemsetAsync", pointer, 0, 1 << 30, first)
        rt.ok("cudaEventRecord", middle, first)
        rt.ok("cudaStreamWaitEvent", second, middle, 0)
        rt.ok("cudaEventRecord", end, second)
        rt.ok("cudaStreamSynchronize", second)
        rt.ok("cudaEventElapsedTime", elapsed, middle, end)
        assert elapsed[0] >= 0
        rt.ok("cudaEventElapsedTime", elapsed, start, end)
        assert elapsed[0] > 0


def test_host_functions_run_in_stream_order(rt: Runtime) -> None:
    seen: list[str] = []

    def note_function(user: object) -> None:
        seen.append(f"function {int(ffi.cast('uintptr_t', user))}")

    def note_callback(_stream: object, status: int, user: object) -> None:
        seen.append(f"callback {status} {int(ffi.cast('uintptr_t', user))}")

    function = ffi.callback("void(void*)", note_function)
    callback = ffi.callback("void(handle, int, void*)", note_callback)

    with rt.stream() as stream:
        rt.ok("cudaLaunchHostFunc", stream, function, ffi.cast("void*", 1))
        rt.ok("cudaStreamAddCallback", stream, callback, ffi.cast("void*", 2), 0)
        rt.ok("cudaLaunchHostFunc", stream, function, ffi.cast("void*", 3))
        rt.ok("cudaStreamSynchronize", stream)
    assert seen == ["function 1", "callback 0 2", "function 3"]


CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from runtime_api import Runtime, ffi
rt = Runtime()
memory = ffi.new("cudaIpcMemHandle_t*")
ffi.memmove(memory, bytes.fromhex(sys.argv[2]), 64)
event = ffi.new("cudaIpcEventHandle_t*")
ffi.memmove(event, bytes.fromhex(sys.argv[3]), 64)
rt.ok("cudaSetDevice", 0)
opened = rt.get("cudaIpcOpenMemHandle", "void*", memory[0], 1)
signal = rt.get("cudaIpcOpenEventHandle", "handle", event[0])
rt.ok("cudaStreamWaitEvent", ffi.NULL, signal, 0)
assert rt.download(opened, 6) == b"parent"
rt.upload(opened, b"child!")
rt.ok("cudaIpcCloseMemHandle", opened)
rt.ok("cudaEventDestroy", signal)
"""


def test_memory_and_events_of_another_process(rt: Runtime) -> None:
    memory, handle = ffi.new("cudaIpcMemHandle_t*"), ffi.new("cudaIpcEventHandle_t*")
    with rt.memory(4 << 20) as pointer, rt.event(DISABLE_TIMING | INTERPROCESS) as event:
        rt.upload(pointer, b"parent")
        rt.ok("cudaIpcGetMemHandle", memory, pointer)
        rt.ok("cudaIpcGetEventHandle", handle, event)
        rt.ok("cudaEventRecord", event, NULL)
        handles = [bytes(ffi.buffer(each)).hex() for each in (memory, handle)]
        command = [sys.executable, "-P", "-c", CHILD, str(Path(__file__).parent), *handles]
        child = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert child.returncode == 0, child.stderr
        assert rt.download(pointer, 6) == b"child!"
