"""The release of an engine that a row was measured with, in an environment of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from revati.errors import RevatiError
from revati.paths import cache_dir

_VERSION = re.compile(r"[0-9][0-9A-Za-z.]*")


class NoSuchEnvironmentError(RevatiError):
    """The release cannot be had; the text says why."""


def installed(engine: str) -> str | None:
    """The version next to Revati."""
    try:
        return metadata.version(engine)
    except metadata.PackageNotFoundError:
        return None


def environment(engine: str, version: str, show: Callable[[str], None]) -> Path:
    """The folder with the programs of that release, made on the first use.

    Args:
        engine: Its name on PyPI.
        version: As the row names it.
        show: Is told what takes long.

    Raises:
        NoSuchEnvironmentError: No uv, no such release, or no network.
    """
    if not _VERSION.fullmatch(version):
        raise NoSuchEnvironmentError(f"{version!r} is no version")
    target = cache_dir() / "environments" / f"{engine}-{version}"
    if (target / "complete").is_file():
        return target / "bin"
    uv = shutil.which(
        "uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    )
    if uv is None:
        raise NoSuchEnvironmentError("uv is not installed (pip install uv)")
    show(f"installing {engine} {version}")
    target.parent.mkdir(parents=True, exist_ok=True)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    # `vllm bench` needs pandas, which some releases leave to an extra.
    for command in (
        [uv, "venv", "--clear", "--quiet", "--python", python, str(target)],
        [
            uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            str(target / "bin" / "python"),
            f"{engine}=={version}",
            "pandas",
            "datasets",
        ],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(target, ignore_errors=True)
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            raise NoSuchEnvironmentError(
                f"uv could not install {engine} {version}: {' '.join(lines[-3:])[-300:]}"
            )
    (target / "complete").touch()
    return target / "bin"
