"""The launcher's side of the virtual clock; the clock itself is tested in tests/conformance/clock."""

from __future__ import annotations

import subprocess
import sys

import pytest

import revati
from revati.errors import UsageError

NAP = "import time; start = time.monotonic(); time.sleep(3600); print(time.monotonic() - start)"


@pytest.mark.parametrize("mode", ["modelled", "cpu", "wall"])
def test_an_hour_asleep_passes_in_virtual_time(mode: str) -> None:
    with revati.Emulation(clock=mode) as emulation:
        emulation.arm_clock()
        process = emulation.launch([sys.executable, "-c", NAP], client=True, stdout=subprocess.PIPE)
        assert process.stdout is not None
        # In real time this would run into the time-out of the whole suite.
        assert 3600 <= float(process.stdout.read()) < 3601
        assert process.wait() == 0


def test_the_gpu_waits_in_virtual_time() -> None:
    program = """
import time, torch
left = torch.empty(16384, 16384, dtype=torch.bfloat16, device="cuda")
torch.cuda.synchronize()
start = time.monotonic()
for _ in range(2000):
    left @ left
torch.cuda.synchronize()
print(time.monotonic() - start)
"""
    with revati.Emulation(clock="modelled") as emulation:
        emulation.arm_clock()
        process = emulation.launch([sys.executable, "-c", program], client=True, stdout=subprocess.PIPE)
        assert process.stdout is not None
        # 2000 products of 8.8 TFLOP each at less than 1 PFLOP/s.
        assert float(process.stdout.read()) > 2000 * 2 * 16384**3 / 989e12


def test_an_unknown_clock_is_refused() -> None:
    with pytest.raises(UsageError, match="modelled"):
        revati.Emulation(clock="sundial")
