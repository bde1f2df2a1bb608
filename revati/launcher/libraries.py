"""The native libraries that are preloaded into a command, and the folder of links that compilers search."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from revati.errors import UnsupportedError
from revati.paths import cache_dir, library_dir

CORE = "librevati_core.so"

_HASHED_NAME = re.compile(r"(?P<stem>lib[^.]+?)[.-][0-9a-f]{8}\.so\.(?P<major>\d+)[.\d]*")

# In the order of preloading: a library stands behind what it uses.
_ORDER = (
    "libcuda.so",
    "libcudart.so",
    "libcublasLt.so",
    "libcublas.so",
    "libcudnn.so",
    "libnccl.so",
    "libnvidia-ml.so",
    "libcute_dsl_runtime.so",
)


@dataclass(frozen=True)
class NativeLibraries:
    """The fake libraries for one CUDA major version."""

    core: Path
    fakes: tuple[Path, ...]  # named by SONAME

    @classmethod
    def find(cls, cuda_major: int) -> NativeLibraries:
        """The installed libraries for a CUDA major version.

        Raises:
            UnsupportedError: They are not installed.
        """
        core = library_dir() / CORE
        folder = library_dir() / f"cuda{cuda_major}"
        fakes = sorted((path for path in folder.glob("lib*.so*") if path.is_file()), key=_rank)
        if not core.is_file() or not fakes:
            raise UnsupportedError(
                f"the native libraries for CUDA {cuda_major} are missing from {library_dir()}; "
                "install Revati again (make setup, or pip install --force-reinstall revati)."
            )
        return cls(core, tuple(fakes))

    @property
    def identity(self) -> str:
        """Changes whenever one of the files does."""
        return fingerprint((self.core, *self.fakes))


def _rank(path: Path) -> tuple[int, str]:
    stem = path.name.partition(".so")[0] + ".so"
    return (_ORDER.index(stem) if stem in _ORDER else len(_ORDER), path.name)


def fingerprint(paths: tuple[Path, ...]) -> str:
    """A short hash of paths, sizes and times of change."""
    digest = hashlib.sha256()
    for path in paths:
        status = path.stat()
        digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def link_folder(libraries: NativeLibraries, site_packages: Sequence[Path] = ()) -> Path:
    """A folder in which linkers and `dlopen` find the fakes.

    They are found without version number (`libcuda.so`), and under the names of copies that wheels bring along
    (`torchvision.libs/libcudart.faf08d9a.so.13`): such a copy is the real library, which finds no driver. NVRTC, a compiler that
    needs no GPU, is itself found there, as on a machine that has the CUDA toolkit installed: DeepGEMM looks nowhere else.
    """
    links = {}
    for fake in libraries.fakes:
        links[fake.name] = fake
        links[fake.name.partition(".so")[0] + ".so"] = fake
    copies = _bundled_copies(libraries.fakes, site_packages) | _compilers(site_packages)
    names = (
        hashlib.sha256(
            "\n".join(f"{name} {path}" for name, path in sorted(copies.items())).encode()
        ).hexdigest()[:8]
        if copies
        else ""
    )
    return make_links(cache_dir() / "links" / (libraries.identity + names), links | copies)


def _bundled_copies(fakes: Sequence[Path], site_packages: Sequence[Path]) -> dict[str, Path]:
    """Names of libraries in `*.libs` folders, where auditwheel puts them under a name with a hash, and their fakes."""
    by_name = {fake.name: fake for fake in fakes}
    copies = {}
    for folder in (folder for directory in site_packages for folder in directory.glob("*.libs")):
        for library in folder.glob("lib*.so.*"):
            hashed = _HASHED_NAME.fullmatch(library.name)
            if hashed and (fake := by_name.get(f"{hashed['stem']}.so.{hashed['major']}")):
                copies[library.name] = fake
    return copies


def _compilers(site_packages: Sequence[Path]) -> dict[str, Path]:
    """NVRTC of the pip packages, and the library that it opens."""
    return {
        library.name: library
        for directory in site_packages
        for library in sorted(directory.glob("nvidia/*/lib/libnvrtc*.so.*"))
    }


def make_links(folder: Path, links: Mapping[str, Path]) -> Path:
    """Makes a folder of symbolic links at once, or finds it made; returns it."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".links-") as name:
        made = Path(name) / "links"
        made.mkdir()
        for link, target in links.items():
            (made / link).symlink_to(target)
        try:
            os.rename(made, folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was first
                raise
    return folder
