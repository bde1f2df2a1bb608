"""What a user can get wrong: one clear sentence that says what to do, a non-zero exit, nothing started."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from revati.errors import UnsupportedError
from revati.launcher import preflight

from .conftest import Revati, command, compile_c

HELLO = "int main(void) { return 0; }"


def check(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("revati: ")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr
    assert done.stdout == ""


def torch_build(folder: Path, version: str, cuda: str | None, hip: str | None = None) -> dict[str, str]:
    """A PYTHONPATH on which torch is of that build."""
    package = folder / "site-packages" / "torch"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "version.py").write_text(
        f"from typing import Optional\n__version__ = '{version}'\n"
        f"cuda: Optional[str] = {cuda!r}\nhip: Optional[str] = {hip!r}\n"
    )
    return {"PYTHONPATH": str(package.parent)}


def test_no_command(revati: Revati) -> None:
    check(revati("run"), 2, "no command given", "revati run -- vllm serve")


def test_missing_command(revati: Revati) -> None:
    check(revati("run", "--", "no-such-command"), 2, "'no-such-command'", "PATH")


def test_command_that_is_not_executable(revati: Revati, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\n")
    check(revati("run", "--", str(tmp_path / "script")), 2, "not executable", "chmod +x")


def test_script_whose_interpreter_is_gone(revati: Revati, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/python\n")
    script.chmod(0o755)
    check(revati("run", "--", str(script)), 2, "/no/such/python", "reinstall")


def test_unknown_gpu(revati: Revati) -> None:
    check(revati("run", "--gpu", "h200-smx", "--", "true"), 2, "h200-smx", "h200-sxm", "revati gpus list")


@pytest.mark.parametrize("count", ["0", "17"])
def test_impossible_number_of_gpus(revati: Revati, count: str) -> None:
    check(revati("run", "--gpus", count, "--", "true"), 2, f"{count} GPUs", "from 1 to 16")


def test_unknown_model(revati: Revati) -> None:
    check(
        revati("bench", "--model", "llama-3.1-8bb"), 2, "llama-3.1-8bb", "llama-3.1-8b", "revati models list"
    )


def test_model_folder_without_configuration(revati: Revati, tmp_path: Path) -> None:
    check(revati("bench", "--model", str(tmp_path)), 2, "config.json")


def test_more_ranks_than_gpus(revati: Revati) -> None:
    check(revati("bench", "--model", "llama-3.1-8b", "--tp", "4"), 2, "--gpus 4")


def test_static_binary(revati: Revati, tmp_path: Path) -> None:
    program = compile_c(HELLO, tmp_path / "static", "-static")
    check(revati("run", "--", str(program)), 3, "statically linked", "dynamically linked")


def test_go_binary(revati: Revati, tmp_path: Path) -> None:
    # What tells a Go program is the section that its linker always writes.
    marked = f'__attribute__((section(".go.buildinfo"), used)) static const char go[32] = "\\xff Go buildinf:"; {HELLO}'
    program = compile_c(marked, tmp_path / "go", "-static")
    check(revati("run", "--", str(program)), 3, "Go program", "run the Python or C program")


def test_static_interpreter_of_a_script(revati: Revati, tmp_path: Path) -> None:
    program = compile_c(HELLO, tmp_path / "interpreter", "-static")
    script = tmp_path / "script"
    script.write_text(f"#!{program}\n")
    script.chmod(0o755)
    check(revati("run", "--", str(script)), 3, "statically linked")


def test_setuid_binary(revati: Revati, tmp_path: Path) -> None:
    program = compile_c(HELLO, tmp_path / "setuid")
    program.chmod(0o4755)
    check(revati("run", "--", str(program)), 3, "another user's rights")


def test_limited_address_space(environment: dict[str, str]) -> None:
    limit = 64 * 2**30
    done = subprocess.run(
        command("run", "--", "true"),
        env=environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
    )
    check(done, 3, "64.0 GiB (ulimit -v)", "ulimit -v unlimited")


def test_strict_overcommit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mode").write_text("2\n")
    monkeypatch.setattr(preflight, "OVERCOMMIT", tmp_path / "mode")
    with pytest.raises(UnsupportedError, match=r"vm\.overcommit_memory=2.*sysctl vm\.overcommit_memory=0"):
        preflight.check_host()


@pytest.mark.parametrize(
    ("version", "cuda", "hip", "reason"),
    [
        ("2.13.0+cpu", None, None, "without CUDA"),
        ("2.11.0+rocm6.4", None, "6.4.1", "for ROCm"),
        ("2.3.0+cu118", "11.8", None, "for CUDA 11.8"),
    ],
)
def test_unsupported_torch(
    revati: Revati, tmp_path: Path, version: str, cuda: str | None, hip: str | None, reason: str
) -> None:
    variables = torch_build(tmp_path, version, cuda, hip)
    done = revati("run", "--", sys.executable, "-c", "print('started')", env=variables)
    check(done, 3, version, reason, "CUDA 12 or 13")


def test_no_compiler(revati: Revati, tmp_path: Path) -> None:
    variables = {**torch_build(tmp_path, "2.11.0+cu130", "13.0"), "PATH": str(tmp_path)}
    done = revati("run", "--", sys.executable, "-c", "print('started')", env=variables)
    check(done, 3, "C compiler", "apt-get install gcc")


def test_libraries_that_are_not_installed(revati: Revati, tmp_path: Path) -> None:
    done = revati("run", "--", "true", env={"REVATI_LIBRARY_DIR": str(tmp_path)})
    check(done, 3, "native libraries", "install Revati again")
