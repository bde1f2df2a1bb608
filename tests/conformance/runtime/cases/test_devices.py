"""Devices: choice, properties, limits, peers, versions."""

from __future__ import annotations

import pytest
from runtime_api import MAJOR, PEER_ALREADY_ENABLED, PEER_NOT_ENABLED, SUCCESS, Runtime, ffi

# cudaDeviceAttr
MAX_THREADS, WARP, SMS, MAJOR_CC, MINOR_CC, MEMORY_POOLS, COOPERATIVE, UNIFIED = (
    1,
    10,
    16,
    75,
    76,
    115,
    95,
    41,
)


def attribute(rt: Runtime, which: int, device: int = 0) -> int:
    return int(rt.get("cudaDeviceGetAttribute", "int", which, device))


def properties(rt: Runtime) -> bytes:
    buffer = ffi.new("char[8192]")
    rt.ok("cudaGetDeviceProperties_v2" if MAJOR == 12 else "cudaGetDeviceProperties", buffer, 0)
    return bytes(ffi.buffer(buffer))


def test_choice_of_the_device(rt: Runtime) -> None:
    count = rt.get("cudaGetDeviceCount", "int")
    assert count >= 1
    for device in range(count):
        rt.ok("cudaSetDevice", device)
        assert rt.get("cudaGetDevice", "int") == device
    rt.ok("cudaSetDevice", 0)
    rt.ok("cudaInitDevice", 0, 0, 0)
    rt.ok("cudaSetValidDevices", ffi.new("int[]", [0]), 1)
    assert 0 <= rt.get("cudaChooseDevice", "int", ffi.new("char[8192]")) < count


def test_flags(rt: Runtime) -> None:
    before = rt.get("cudaGetDeviceFlags", "unsigned")
    rt.ok("cudaSetDeviceFlags", 4)  # blocking synchronisation
    assert rt.get("cudaGetDeviceFlags", "unsigned") & 7 == 4
    rt.ok("cudaSetDeviceFlags", before & 7)


def test_attributes(rt: Runtime) -> None:
    assert attribute(rt, MAX_THREADS) == 1024
    assert attribute(rt, WARP) == 32
    assert attribute(rt, SMS) > 0
    assert attribute(rt, UNIFIED) == attribute(rt, COOPERATIVE) == attribute(rt, MEMORY_POOLS) == 1


def test_properties_agree_with_attributes_and_memory(rt: Runtime) -> None:
    raw = properties(rt)
    assert raw[:256].rstrip(b"\0").startswith(b"NVIDIA")
    free, total = ffi.new("size_t*"), ffi.new("size_t*")
    rt.ok("cudaMemGetInfo", free, total)
    # Offsets in both layouts: name 256, uuid 16, luid 8, node mask 4 and padding, then totalGlobalMem.
    assert int.from_bytes(raw[288:296], "little") == total[0]
    assert 0 < free[0] < total[0]
    # sharedMemPerBlock 8, regsPerBlock 4, warpSize 4
    assert int.from_bytes(raw[308:312], "little") == 32
    # memPitch 8, maxThreadsPerBlock, maxThreadsDim, maxGridSize, totalConstMem; CUDA 12 has clockRate in between.
    assert int.from_bytes(raw[320:324], "little") == 1024
    assert int.from_bytes(raw[352:360], "little") == 65536
    assert int.from_bytes(raw[360:364], "little") == attribute(rt, MAJOR_CC)
    assert int.from_bytes(raw[364:368], "little") == attribute(rt, MINOR_CC)
    sms_offset = 388 if MAJOR == 12 else 384
    assert int.from_bytes(raw[sms_offset : sms_offset + 4], "little") == attribute(rt, SMS)


@pytest.mark.parametrize("limit", [0, 1, 2, 4, 6])
def test_limits(rt: Runtime, limit: int) -> None:
    before = rt.get("cudaDeviceGetLimit", "size_t", limit)
    rt.ok("cudaDeviceSetLimit", limit, before)
    assert rt.get("cudaDeviceGetLimit", "size_t", limit) == before


def test_cache_and_bank_configurations(rt: Runtime) -> None:
    rt.ok("cudaDeviceSetCacheConfig", 1)
    assert rt.get("cudaDeviceGetCacheConfig", "int") in {0, 1}
    rt.ok("cudaDeviceSetCacheConfig", 0)
    rt.ok("cudaDeviceSetSharedMemConfig", 0)
    assert rt.get("cudaDeviceGetSharedMemConfig", "int") in {0, 1}


def test_stream_priorities(rt: Runtime) -> None:
    least, greatest = ffi.new("int*"), ffi.new("int*")
    rt.ok("cudaDeviceGetStreamPriorityRange", least, greatest)
    assert (least[0], greatest[0]) == (0, -5)


def test_bus_id_leads_back_to_the_device(rt: Runtime) -> None:
    for device in range(rt.get("cudaGetDeviceCount", "int")):
        text = ffi.new("char[32]")
        rt.ok("cudaDeviceGetPCIBusId", text, 32, device)
        assert len(ffi.string(text)) == len("0000:18:00.0")
        assert rt.get("cudaDeviceGetByPCIBusId", "int", text) == device


def test_peers(rt: Runtime) -> None:
    assert rt.get("cudaDeviceCanAccessPeer", "int", 0, 0) == 0
    if rt.get("cudaGetDeviceCount", "int") < 2 or not rt.get("cudaDeviceCanAccessPeer", "int", 0, 1):
        pytest.skip("needs two devices that reach each other")
    rt.ok("cudaDeviceEnablePeerAccess", 1, 0)
    rt.fails(PEER_ALREADY_ENABLED, "cudaDeviceEnablePeerAccess", 1, 0)
    rt.ok("cudaDeviceDisablePeerAccess", 1)
    rt.fails(PEER_NOT_ENABLED, "cudaDeviceDisablePeerAccess", 1)
    assert rt.get("cudaDeviceGetP2PAttribute", "int", 2, 0, 1) == 1


def test_versions(rt: Runtime) -> None:
    assert rt.get("cudaRuntimeGetVersion", "int") // 1000 == MAJOR
    assert rt.get("cudaDriverGetVersion", "int") >= rt.get("cudaRuntimeGetVersion", "int") // 1000 * 1000


def test_calls_without_an_answer(rt: Runtime) -> None:
    rt.ok("cudaProfilerStart")
    rt.ok("cudaProfilerStop")
    rt.ok("cudaCtxResetPersistingL2Cache")
    rt.ok("cudaDeviceSynchronize")
    rt.ok("cudaDeviceGraphMemTrim", 0)
    used = ffi.new("unsigned long long*", 7)
    rt.ok("cudaDeviceGetGraphMemAttribute", 0, 0, used)
    assert used[0] == 0
    description = rt.lib.cudaCreateChannelDesc(8, 8, 0, 0, 1)
    assert (description.x, description.y, description.f) == (8, 8, 1)


@pytest.mark.virtual_only  # whether a real machine can is up to its network card
def test_remote_writes_can_be_flushed(rt: Runtime) -> None:
    rt.ok("cudaDeviceFlushGPUDirectRDMAWrites", 0, 100)


@pytest.mark.skipif(MAJOR != 12, reason="withdrawn in CUDA 13")
def test_calls_that_cuda_13_no_longer_has(rt: Runtime) -> None:
    rt.ok("cudaThreadSynchronize")
    before = rt.get("cudaThreadGetLimit", "size_t", 0)
    rt.ok("cudaThreadSetLimit", 0, before)
    rt.ok("cudaThreadSetCacheConfig", rt.get("cudaThreadGetCacheConfig", "int"))
    assert rt.call("cudaThreadExit") == SUCCESS


@pytest.mark.virtual_only
@pytest.mark.skipif(MAJOR != 12, reason="CUDA 13 has one layout")
def test_the_layout_of_cuda_11_is_refused(rt: Runtime) -> None:
    rt.fails(801, "cudaGetDeviceProperties", ffi.new("char[8192]"), 0)


def test_last_error_is_each_threads_own(rt: Runtime) -> None:
    import threading

    found: list[int] = []
    assert rt.call("cudaSetDevice", 99) != SUCCESS
    thread = threading.Thread(target=lambda: found.append(rt.call("cudaGetLastError")))
    thread.start()
    thread.join()
    assert found == [SUCCESS]
    assert rt.call("cudaGetLastError") == 101


def test_reset(rt: Runtime) -> None:
    rt.ok("cudaDeviceReset")
    rt.ok("cudaFree", ffi.NULL)
