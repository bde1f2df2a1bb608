"""What torch in the framework's environment sees of the machine that `revati run` describes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from revati import catalogue

from .conftest import run_revati


def torch_says(expression: str, *arguments: str, env: dict[str, str] | None = None) -> str:
    done = run_revati(
        "run", *arguments, "--", sys.executable, "-c", f"import torch\nprint({expression})", env=env
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("gpu", ["h200-sxm", "a100-sxm-80gb"])
def test_the_gpu_that_was_asked_for(gpu: str) -> None:
    properties = "torch.cuda.get_device_properties(1)"
    text = torch_says(
        f"{properties}.name, {properties}.total_memory, torch.cuda.device_count()",
        "--gpu",
        gpu,
        "--gpus",
        "2",
    )
    expected = catalogue.get(gpu)
    assert text == f"{expected.device_name} {expected.memory_bytes} 2"


@pytest.mark.parametrize(("visible", "count"), [("1", 1), ("2,0", 2), ("", 0), ("0,1,2", 3)])
def test_visible_devices(visible: str, count: int) -> None:
    text = torch_says("torch.cuda.device_count()", "--gpus", "3", env={"CUDA_VISIBLE_DEVICES": visible})
    assert text == str(count)


def test_no_gpu_without_revati() -> None:
    """The machine really has none; otherwise the tests above prove nothing."""
    code = "import torch; print(torch.cuda.is_available())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.stdout.strip() == "True":
        pytest.skip("this machine has a GPU")
    assert "libcuda" in done.stderr or done.stdout.strip() == "False"
