"""Small tensors keep their values: everything that steers the host is made of those."""

from __future__ import annotations

import pytest
import torch

INTEGERS = [torch.int64, torch.int32, torch.int16, torch.uint8, torch.bool]
DTYPES = [*INTEGERS, torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_host_to_device_and_back(dtype: torch.dtype) -> None:
    host = (torch.arange(1000) % 2).to(dtype)
    assert torch.equal(host.cuda().cpu(), host)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_fill_and_zeros(dtype: torch.dtype) -> None:
    assert torch.equal(torch.full((129,), 1, dtype=dtype, device="cuda").cpu(), torch.ones(129, dtype=dtype))
    assert torch.equal(torch.zeros(77, dtype=dtype, device="cuda").cpu(), torch.zeros(77, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32], ids=str)
def test_arange(dtype: torch.dtype) -> None:
    assert torch.equal(
        torch.arange(5, 905, 3, dtype=dtype, device="cuda").cpu(), torch.arange(5, 905, 3, dtype=dtype)
    )


@pytest.mark.parametrize("source", [torch.int64, torch.int32], ids=str)
@pytest.mark.parametrize("target", [torch.int64, torch.int32], ids=str)
def test_casting_copy(source: torch.dtype, target: torch.dtype) -> None:
    host = torch.arange(300, dtype=source)
    assert torch.equal(host.cuda().to(target).cpu(), host.to(target))


def test_integer_arithmetic() -> None:
    host = torch.arange(100, dtype=torch.int64)
    device = host.cuda()
    assert torch.equal((device + 3).cpu(), host + 3)
    device += 7
    assert torch.equal(device.cpu(), host + 7)


def test_item() -> None:
    assert torch.tensor(41, device="cuda").item() == 41


def test_gather_of_rows() -> None:
    table = torch.arange(64, dtype=torch.int64).reshape(16, 4)
    rows = torch.tensor([3, 0, 15])
    assert torch.equal(table.cuda()[rows.cuda()].cpu(), table[rows])


def test_strided_copy() -> None:
    host = torch.arange(64, dtype=torch.int32).reshape(8, 8)
    device = host.cuda()
    assert torch.equal(device[:, 2:5].cpu(), host[:, 2:5])
    assert torch.equal(device.t().contiguous().cpu(), host.t().contiguous())
