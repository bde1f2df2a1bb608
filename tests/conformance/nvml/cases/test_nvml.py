"""NVML: what PyTorch, vLLM and nvidia-smi-like programs ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from library import MAJOR, NATIVE, NULL, Library, ffi

UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NOT_FOUND, INSUFFICIENT_SIZE = 1, 2, 3, 6, 7
VERSION_MISMATCH = 25
MEMORY_V2 = 40 | 2 << 24

DECLARATIONS = """
int nvmlInit_v2(void); int nvmlInit(void); int nvmlShutdown(void);
const char* nvmlErrorString(int);
int nvmlSystemGetDriverVersion(char*, unsigned); int nvmlSystemGetNVMLVersion(char*, unsigned);
int nvmlSystemGetCudaDriverVersion_v2(int*);
int nvmlDeviceGetCount_v2(unsigned*);
int nvmlDeviceGetHandleByIndex_v2(unsigned, void**);
int nvmlDeviceGetHandleByUUID(const char*, void**); int nvmlDeviceGetHandleByPciBusId_v2(const char*, void**);
int nvmlDeviceGetName(void*, char*, unsigned); int nvmlDeviceGetUUID(void*, char*, unsigned);
int nvmlDeviceGetIndex(void*, unsigned*);
int nvmlDeviceGetCudaComputeCapability(void*, int*, int*);
int nvmlDeviceGetMemoryInfo(void*, unsigned long long*); int nvmlDeviceGetMemoryInfo_v2(void*, void*);
typedef struct { unsigned pid; unsigned long long used; } process_v1;
typedef struct { unsigned pid; unsigned long long used; unsigned instance, compute; } process_v3;
int nvmlDeviceGetComputeRunningProcesses(void*, unsigned*, process_v1*);
int nvmlDeviceGetComputeRunningProcesses_v3(void*, unsigned*, process_v3*);
typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } pci_info;
int nvmlDeviceGetPciInfo_v3(void*, pci_info*);
int nvmlDeviceGetP2PStatus(void*, void*, int, int*);
int nvmlDeviceGetTopologyCommonAncestor(void*, void*, int*);
int nvmlDeviceGetNvLinkState(void*, unsigned, int*); int nvmlDeviceGetNvLinkRemoteDeviceType(void*, unsigned, int*);
int nvmlDeviceGetNvLinkRemotePciInfo_v2(void*, unsigned, pci_info*);
int nvmlDeviceGetCpuAffinity(void*, unsigned, unsigned long*);
typedef struct {
    unsigned version; unsigned char cluster[16]; int status; unsigned clique; unsigned char state; unsigned health;
} fabric;
int nvmlDeviceGetGpuFabricInfoV(void*, fabric*);
int nvmlDeviceGetMigMode(void*, unsigned*, unsigned*);
"""


@pytest.fixture(scope="module")
def library() -> Library:
    return Library("nvml", DECLARATIONS)


@pytest.fixture
def nvml(library: Library) -> Iterator[Library]:
    library.ok("nvmlInit_v2")
    yield library
    library.ok("nvmlShutdown")


@pytest.fixture
def gpu(nvml: Library) -> Any:
    return nvml.get_last("nvmlDeviceGetHandleByIndex_v2", "void*", 0)


def test_every_call_before_init_says_so(library: Library) -> None:
    count = ffi.new("unsigned*")
    assert library.call("nvmlDeviceGetCount_v2", count) == UNINITIALIZED
    assert library.call("nvmlShutdown") == UNINITIALIZED
    assert b"nvmlInit" in bytes(ffi.string(library.lib.nvmlErrorString(UNINITIALIZED)))


def test_init_counts(library: Library) -> None:
    library.ok("nvmlInit")
    library.ok("nvmlInit_v2")
    library.ok("nvmlShutdown")
    assert library.get("nvmlDeviceGetCount_v2", "unsigned") >= 1
    library.ok("nvmlShutdown")
    assert library.call("nvmlShutdown") == UNINITIALIZED


def test_versions(nvml: Library) -> None:
    driver = nvml.text("nvmlSystemGetDriverVersion")
    assert nvml.text("nvmlSystemGetNVMLVersion").endswith(driver)
    assert nvml.get("nvmlSystemGetCudaDriverVersion_v2", "int") >= MAJOR * 1000
    assert nvml.call("nvmlSystemGetDriverVersion", ffi.new("char[2]"), 2) == INSUFFICIENT_SIZE


def test_a_device_is_found_by_each_of_its_names(nvml: Library, gpu: Any) -> None:
    assert nvml.get_last("nvmlDeviceGetIndex", "unsigned", gpu) == 0
    uuid = nvml.text("nvmlDeviceGetUUID", gpu)
    assert uuid.startswith("GPU-")
    assert nvml.get_last("nvmlDeviceGetHandleByUUID", "void*", uuid.encode()) == gpu
    pci = nvml.get_last("nvmlDeviceGetPciInfo_v3", "pci_info", gpu)
    assert nvml.get_last("nvmlDeviceGetHandleByPciBusId_v2", "void*", bytes(ffi.string(pci.bus_id))) == gpu
    assert nvml.get_last("nvmlDeviceGetHandleByPciBusId_v2", "void*", bytes(ffi.string(pci.legacy))) == gpu
    assert nvml.text("nvmlDeviceGetName", gpu).startswith("NVIDIA")


def test_unknown_devices(nvml: Library) -> None:
    out = ffi.new("void**")
    assert nvml.call("nvmlDeviceGetHandleByIndex_v2", 999, out) == INVALID_ARGUMENT
    assert (
        nvml.call("nvmlDeviceGetHandleByUUID", b"GPU-00000000-0000-0000-0000-000000000000", out) == NOT_FOUND
    )
    assert nvml.call("nvmlDeviceGetHandleByPciBusId_v2", b"0000:F7:1E.0", out) == NOT_FOUND


def test_memory_in_both_forms(nvml: Library, gpu: Any) -> None:
    first = ffi.new("unsigned long long[3]")
    second = ffi.new("unsigned long long[5]")
    nvml.ok("nvmlDeviceGetMemoryInfo", gpu, first)
    assert nvml.call("nvmlDeviceGetMemoryInfo_v2", gpu, second) == VERSION_MISMATCH
    second[0] = MEMORY_V2
    nvml.ok("nvmlDeviceGetMemoryInfo_v2", gpu, second)
    total, free, used = first
    assert total == free + used
    assert second[1] == total
    assert second[2] + second[3] + second[4] == total


def test_processes_ask_for_room(nvml: Library, gpu: Any) -> None:
    count = ffi.new("unsigned*", 0)
    code = nvml.call("nvmlDeviceGetComputeRunningProcesses", gpu, count, NULL)
    assert code in (0, INSUFFICIENT_SIZE)
    count[0] = 64
    rows = ffi.new("process_v1[64]")
    nvml.ok("nvmlDeviceGetComputeRunningProcesses", gpu, count, rows)
    count[0] = 64
    nvml.ok("nvmlDeviceGetComputeRunningProcesses_v3", gpu, count, ffi.new("process_v3[64]"))


@pytest.mark.skipif(NATIVE, reason="needs two GPUs linked as an HGX board links them")
def test_links_of_an_hgx_board(nvml: Library, gpu: Any) -> None:
    if nvml.get("nvmlDeviceGetCount_v2", "unsigned") < 2:
        pytest.skip("needs two GPUs")
    peer = nvml.get_last("nvmlDeviceGetHandleByIndex_v2", "void*", 1)
    for capability in range(5):
        assert nvml.get_last("nvmlDeviceGetP2PStatus", "int", gpu, peer, capability) == 0
    assert nvml.get_last("nvmlDeviceGetNvLinkState", "int", gpu, 17) == 1
    assert nvml.get_last("nvmlDeviceGetNvLinkRemoteDeviceType", "int", gpu, 0) == 2
    assert nvml.get_last("nvmlDeviceGetNvLinkRemotePciInfo_v2", "pci_info", gpu, 0).bus != 0
    assert nvml.call("nvmlDeviceGetNvLinkState", gpu, 18, ffi.new("int*")) == INVALID_ARGUMENT
    assert nvml.call("nvmlDeviceGetP2PStatus", gpu, peer, 99, ffi.new("int*")) == INVALID_ARGUMENT
    assert nvml.get_last("nvmlDeviceGetTopologyCommonAncestor", "int", gpu, gpu) == 0


@pytest.mark.skipif(NATIVE, reason="depends on the machine")
def test_no_fabric_of_several_nodes(nvml: Library, gpu: Any) -> None:
    info = ffi.new("fabric*", {"version": 36 | 2 << 24, "state": 9})
    nvml.ok("nvmlDeviceGetGpuFabricInfoV", gpu, info)
    assert info.state == 0
    info.version = 1
    assert nvml.call("nvmlDeviceGetGpuFabricInfoV", gpu, info) == VERSION_MISMATCH


def test_affinity_names_processors(nvml: Library, gpu: Any) -> None:
    words = ffi.new("unsigned long[16]")
    nvml.ok("nvmlDeviceGetCpuAffinity", gpu, 16, words)
    assert any(words)


def test_every_function_refuses_a_null_device(nvml: Library) -> None:
    if NATIVE:
        pytest.skip("the real library is not called with 24 null arguments")
    for name in nvml.symbols["real"]:
        if name.startswith("nvmlDevice"):
            assert nvml.with_zeros(name) == INVALID_ARGUMENT, name
