"""Memory: accounting, out of memory at capacity, pinned memory, virtual memory management."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest
import torch

GIB = 1 << 30


@pytest.fixture(autouse=True)
def _clean_device() -> None:
    gc.collect()
    torch.cuda.empty_cache()


def test_totals_agree() -> None:
    free, total = torch.cuda.mem_get_info()
    assert total == torch.cuda.get_device_properties(0).total_memory
    assert 0 < free < total


def test_allocations_are_accounted_exactly() -> None:
    free, _ = torch.cuda.mem_get_info()
    block = torch.empty(3 * GIB, dtype=torch.uint8, device="cuda")
    assert torch.cuda.mem_get_info()[0] == free - 3 * GIB
    del block
    torch.cuda.empty_cache()
    assert torch.cuda.mem_get_info()[0] == free


def test_out_of_memory_at_capacity_and_recovery() -> None:
    free, _ = torch.cuda.mem_get_info()
    block = torch.empty(free - GIB, dtype=torch.uint8, device="cuda")
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        torch.empty(2 * GIB, dtype=torch.uint8, device="cuda")
    del block
    torch.cuda.empty_cache()
    torch.empty(2 * GIB, dtype=torch.uint8, device="cuda")


def test_small_allocations_share_pages() -> None:
    runtime = torch.cuda.cudart()
    free, _ = torch.cuda.mem_get_info()
    tensors = [torch.empty(256, dtype=torch.uint8, device="cuda") for _ in range(1000)]
    assert free - torch.cuda.mem_get_info()[0] <= 64 << 20
    assert runtime is not None
    del tensors


def test_pinned_memory() -> None:
    pinned = torch.arange(1000, dtype=torch.int64).pin_memory()
    assert pinned.is_pinned()
    device = torch.empty(1000, dtype=torch.int64, device="cuda")
    device.copy_(pinned, non_blocking=True)
    back = torch.empty(1000, dtype=torch.int64, pin_memory=True)
    back.copy_(device, non_blocking=True)
    torch.cuda.synchronize()
    assert torch.equal(back, pinned)
    assert not torch.arange(3).is_pinned()


def test_expandable_segments() -> None:
    """The allocator that maps physical memory into reserved addresses."""
    program = """
import torch
blocks = [torch.full((1 << 18,), index, dtype=torch.int64, device="cuda") for index in range(32)]
assert blocks[5][:3].cpu().tolist() == [5, 5, 5]
free, total = torch.cuda.mem_get_info()
del blocks
torch.cuda.empty_cache()
assert torch.cuda.mem_get_info()[0] - free >= 60 << 20, (torch.cuda.mem_get_info(), free)
"""
    environment_line = "import os; os.environ['PYTORCH_CUDA_ALLOC_CONF'] = 'expandable_segments:True'\n"
    subprocess.run([sys.executable, "-c", environment_line + program], check=True)
