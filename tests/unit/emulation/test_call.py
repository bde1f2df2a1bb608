"""A function in a child process with virtual GPUs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import revati
from revati.errors import ChildError, ClockError, UsageError


class OwnError(Exception):
    pass


def test_arguments_and_answer_travel() -> None:
    def function(number: int, *, text: str) -> dict[str, Any]:
        return {"pid": os.getpid(), "session": os.environ["REVATI_SESSION"], "said": text * number}

    with revati.Emulation(clock="off") as emulation:
        answer = emulation.call(function, 2, text="ab")
        assert answer["session"] == str(emulation.session.path)
    assert answer["said"] == "abab"
    assert answer["pid"] != os.getpid()


def test_sees_the_gpus() -> None:
    def name() -> str:
        import torch

        return str(torch.cuda.get_device_name())

    with revati.Emulation("h100-sxm") as emulation:
        assert "H100" in emulation.call(name)


def test_an_exception_comes_back() -> None:
    def fails() -> None:
        raise OwnError("so it is")

    with revati.Emulation(clock="off") as emulation, pytest.raises(OwnError, match="so it is") as caught:
        emulation.call(fails)
    assert "in fails" in caught.value.__notes__[0]


def test_a_process_that_ends_has_no_answer() -> None:
    with revati.Emulation(clock="off") as emulation:
        with pytest.raises(ChildError, match="ended with exit code 7"):
            emulation.call(lambda: os._exit(7))
        with pytest.raises(ChildError, match="ended with exit code 3"):
            emulation.call(sys.exit, 3)
        with pytest.raises(TypeError, match="cannot be pickled"):
            emulation.call(lambda: (value for value in [1]))


def test_time_is_virtual_from_the_start() -> None:
    def nap() -> float:
        start = time.monotonic()
        time.sleep(3600)
        return time.monotonic() - start

    with revati.Emulation() as emulation:
        assert 3600 <= emulation.call(nap) < 3601


def test_a_function_can_start_virtual_time_itself() -> None:
    @revati.real_time_start
    def nap() -> tuple[float, float]:
        start = time.monotonic()
        time.sleep(0.2)
        real = time.monotonic() - start
        revati.arm_clock()
        start = time.monotonic()
        time.sleep(3600)
        return real, time.monotonic() - start

    with revati.Emulation() as emulation:
        real, virtual = emulation.call(nap)
    assert real >= 0.2
    assert 3600 <= virtual < 3601


def test_arming_outside_is_refused() -> None:
    with pytest.raises(UsageError, match=r"inside Emulation\.call"):
        revati.arm_clock()


def test_arming_a_clock_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clock").touch()
    monkeypatch.setenv("REVATI_SESSION", str(tmp_path))
    with pytest.raises(ClockError, match="cannot be armed"):
        revati.arm_clock()


def test_run_is_its_own_client() -> None:
    with revati.Emulation() as emulation:
        assert emulation.run([sys.executable, "-c", "import time; time.sleep(3600)"]) == 0


def test_functions_of_scripts(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import revati\n"
        "factor = 3\n"
        "def times(number): return factor * number\n"
        "with revati.Emulation(clock='off') as emulation:\n"
        "    print(emulation.call(times, 5))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == "15\n"


def test_async() -> None:
    async def go() -> tuple[int, str, bool]:
        async with revati.Emulation(clock="off") as emulation:
            ticks = 0

            async def tick() -> None:
                nonlocal ticks
                while True:
                    await asyncio.sleep(0.01)
                    ticks += 1

            ticking = asyncio.create_task(tick())
            code = await emulation.arun(["sh", "-c", "sleep 0.3; exit 4"])
            said = await emulation.acall(str.upper, "ab")
            ticking.cancel()
        return code, said, ticks > 3

    assert asyncio.run(go()) == (4, "AB", True)


@pytest.mark.parametrize("started", [False, True], ids=["while it starts", "while it runs"])
def test_a_cancelled_task_leaves_nothing(tmp_path: Path, started: bool) -> None:
    async def go() -> Path:
        async with revati.Emulation(clock="off") as emulation:
            task = asyncio.create_task(emulation.arun(["sh", "-c", f"touch {tmp_path}/runs; sleep 100000"]))
            await asyncio.sleep(0)
            while started and not (tmp_path / "runs").exists():
                await asyncio.sleep(0.01)
            task.cancel()
            return emulation.session.path

    assert not asyncio.run(go()).exists()
