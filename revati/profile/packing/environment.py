"""Makes the environments that a set needs: the one it is packed from, and one that holds just what the machine holds."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from revati.errors import UsageError
from revati.profile.packing.recipe import Machine, Recipe, names
from revati.profile.packing.selection import canonical


def make(environment: Path, recipe: Recipe, machine: Machine, interpreter: str | None = None) -> None:
    """Makes the environment to pack from: the framework, with everything that the machine holds in its version.

    The machine's versions override what the framework asks for, since it will have to live with them there.

    Raises:
        UsageError: Something is there already, or the installer failed.
    """
    roots = {canonical(name) for name in recipe.root_names}
    overrides = [text for text in machine.present if canonical(names([text])[0]) not in roots]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(overrides))
        file.flush()
        _install(environment, machine, [*recipe.roots, *recipe.also], interpreter, ["--override", file.name])


def make_clean(environment: Path, machine: Machine, interpreter: str | None = None) -> None:
    """Makes an environment of what the machine holds, to try a set in.

    Raises:
        UsageError: Something is there already, or the installer failed.
    """
    _install(environment, machine, machine.present, interpreter, ())


def _install(
    environment: Path,
    machine: Machine,
    wanted: Sequence[str],
    interpreter: str | None,
    options: Sequence[str],
) -> None:
    if environment.exists():
        raise UsageError(f"{environment} exists; remove it first, or leave out the option that makes it.")
    uv = find_uv()
    print(f"{environment}: installing {' '.join(wanted)}", flush=True)
    _run([uv, "venv", "--quiet", "--python", interpreter or machine.python, str(environment)])
    python = str(environment / "bin" / "python")
    _run([uv, "pip", "install", "--quiet", "--python", python, *options, *wanted])


def find_uv() -> str:
    """The installer. One on PATH may be a mere stand-in for one that is not installed, so it has to answer.

    Raises:
        UsageError: There is none.
    """
    for path in (shutil.which("uv"), str(Path(sys.executable).with_name("uv"))):
        try:
            if path and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
                return path
        except OSError:
            continue
    raise UsageError("making an environment needs uv, which is not on PATH; install it (pip install uv).")


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-1000:]}")
