"""A Python interpreter and the frameworks installed for it, found out without importing them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from revati.errors import UnsupportedError

_QUERY = """
import importlib.metadata, json, sys, sysconfig
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
print(json.dumps({
    "version": sys.version_info[:3], "path": sys.path, "include": sysconfig.get_path("include"),
    "packages": {name: version(name) for name in ("vllm", "sglang", "torch", "triton", "transformers")},
}))
"""
_QUERY_TIMEOUT_S = 60
SUPPORTED_CUDA = (12, 13)


@dataclass(frozen=True)
class TorchBuild:
    """What `torch/version.py` says."""

    version: str
    cuda: str | None
    hip: str | None

    @property
    def cuda_major(self) -> int | None:
        """13 for a build of CUDA 13.0, None for one without CUDA."""
        return int(self.cuda.split(".")[0]) if self.cuda else None

    def check_supported(self) -> None:
        """Refuses builds that Revati has no libraries for.

        Raises:
            UnsupportedError: A build for CPU, ROCm, or another CUDA than 12 and 13.
        """
        advice = (
            "install a build for CUDA 12 or 13 (pip install torch, or the version that your framework pins)."
        )
        if self.hip:
            raise UnsupportedError(
                f"torch {self.version} is built for ROCm, and Revati emulates NVIDIA GPUs; {advice}"
            )
        if self.cuda_major is None:
            raise UnsupportedError(
                f"torch {self.version} is built without CUDA, so it cannot see a GPU; {advice}"
            )
        if self.cuda_major not in SUPPORTED_CUDA:
            raise UnsupportedError(f"torch {self.version} is built for CUDA {self.cuda}; {advice}")


class Interpreter:
    """One Python interpreter. Everything is asked for once, by running it for an instant."""

    def __init__(self, executable: Path, environment: Mapping[str, str]) -> None:
        """`environment` is what the command will get: PYTHONPATH and the like count."""
        self.executable = executable
        self._environment = {k: v for k, v in environment.items() if k != "LD_PRELOAD"}

    @cached_property
    def _facts(self) -> dict[str, object]:
        try:
            done = subprocess.run(
                [str(self.executable), "-c", _QUERY],
                env=self._environment,
                capture_output=True,
                text=True,
                timeout=_QUERY_TIMEOUT_S,
                check=True,
            )
            facts: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
        except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
            detail = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
            reason = f" ({detail[-1]})" if detail else ""
            raise UnsupportedError(
                f"{self.executable} does not run{reason}; repair that Python, or use another."
            ) from None
        return facts

    @property
    def version(self) -> tuple[int, int, int]:
        """For example (3, 11, 7)."""
        major, minor, micro = self._facts["version"]  # type: ignore[misc]
        return (major, minor, micro)  # type: ignore[has-type]

    @property
    def packages(self) -> dict[str, str]:
        """Versions of the frameworks that are installed: vllm, sglang, torch, triton, transformers."""
        packages = self._facts["packages"]
        assert isinstance(packages, dict)
        return {name: version for name, version in packages.items() if version}

    @property
    def has_headers(self) -> bool:
        """Whether C extensions can be built for it, as Triton does at run time."""
        return (Path(str(self._facts["include"])) / "Python.h").is_file()

    @cached_property
    def site_packages(self) -> tuple[Path, ...]:
        """The directories of `sys.path` that hold installed packages."""
        paths = self._facts["path"]
        assert isinstance(paths, list)
        found = (Path(path) for path in paths if path)
        return tuple(
            path for path in found if path.name in ("site-packages", "dist-packages") and path.is_dir()
        )

    def package_dir(self, name: str) -> Path | None:
        """The folder of an installed package, for example `torch`."""
        for directory in self.site_packages:
            if (directory / name).is_dir():
                return directory / name
        return None

    @cached_property
    def torch(self) -> TorchBuild | None:
        """The torch build installed for it, or None."""
        directory = self.package_dir("torch")
        if directory is None or not (directory / "version.py").is_file():
            return None
        text = (directory / "version.py").read_text()

        def value(name: str) -> str | None:
            match = re.search(rf"^{name}\b[^=\n]*=\s*['\"]([^'\"]+)['\"]", text, re.MULTILINE)
            return match[1] if match else None

        return TorchBuild(value("__version__") or "unknown", value("cuda"), value("hip"))


def default_interpreter(environment: Mapping[str, str]) -> Interpreter | None:
    """The Python that a shell script would find, for commands that are not Python themselves."""
    for name in ("python3", "python"):
        found = shutil.which(name, path=environment.get("PATH"))
        if found:
            return Interpreter(Path(found), environment)
    return None
