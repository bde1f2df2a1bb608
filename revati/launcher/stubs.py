"""Honest stubs for the symbols that the installed framework imports and Revati's libraries do not define.

A table made when Revati is built cannot know what the next release of torch imports, and one missing symbol would be an
ImportError. So the installed shared objects themselves are asked, once per installation: their undefined CUDA symbols,
less what the fake libraries define, become a small library that is preloaded last. Each stub logs its first call and
returns its library's own "not supported".
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from revati.errors import UnsupportedError
from revati.launcher.libraries import NativeLibraries
from revati.paths import cache_dir


@dataclass(frozen=True)
class Family:
    """One replaced library: whose symbols it holds, and how it says that something is not supported."""

    stem: str
    symbols: re.Pattern[str]
    unsupported: int


# The first match counts. Codes: cudaErrorNotSupported, CUDA_ERROR_NOT_SUPPORTED, CUBLAS_STATUS_NOT_SUPPORTED,
# CUDNN_STATUS_NOT_SUPPORTED, ncclInvalidUsage (NCCL has no "not supported"), NVML_ERROR_NOT_SUPPORTED.
FAMILIES = (
    Family("libcudart.so", re.compile(r"(__)?cuda[A-Z]\w*"), 801),
    Family("libcublasLt.so", re.compile(r"cublasLt[A-Z]\w*"), 15),
    Family("libcublas.so", re.compile(r"cublas[A-Z]\w*"), 15),
    Family("libcudnn.so", re.compile(r"cudnn[A-Z]\w*"), 3000),
    Family("libnccl.so", re.compile(r"p?nccl[A-Z]\w*"), 5),
    Family("libnvidia-ml.so", re.compile(r"nvml[A-Z]\w*"), 3),
    Family("libcuda.so", re.compile(r"cu(?!File)[A-Z]\w*"), 801),
)
REPLACED = tuple(family.stem for family in FAMILIES)

# These return text, not a status.
_TEXT = re.compile(r"\w*(Get\w*(String|Name)|GetLastError\w*|StatusString|StatusName)")


@dataclass(frozen=True, order=True)
class Symbol:
    """An undefined symbol: its name and, where it has one, its version node (`libcudart.so.13`)."""

    name: str
    version: str


def stub_library(
    site_packages: Sequence[Path], libraries: NativeLibraries, compiler: str | None
) -> Path | None:
    """The stub library for what is installed in `site_packages`; made when it is not cached yet.

    Returns:
        Its path, or None where no stub is needed.

    Raises:
        UnsupportedError: Stubs are needed and there is no compiler, or it failed.
    """
    folder = cache_dir() / "stubs" / _key(site_packages, libraries)
    if not (folder / "symbols.json").is_file():
        _make(folder, missing_symbols(site_packages, libraries), compiler)
    library = folder / "librevati_stubs.so"
    return library if library.is_file() else None


def missing_symbols(site_packages: Sequence[Path], libraries: NativeLibraries) -> list[Symbol]:
    """CUDA symbols that installed shared objects import and the fake libraries do not define."""
    versions = {fake.name for fake in libraries.fakes}
    objects = [path for directory in site_packages for path in _shared_objects(directory)]
    wanted = {s for s in read_symbols(objects, "--undefined-only") if not s.version or s.version in versions}
    defined = {symbol.name for symbol in read_symbols((libraries.core, *libraries.fakes), "--defined-only")}
    missing = sorted(symbol for symbol in wanted if family_of(symbol.name) and symbol.name not in defined)
    # Some import a symbol with its version, others without: one versioned definition satisfies both.
    return list({symbol.name: symbol for symbol in missing}.values())


def family_of(name: str) -> Family | None:
    """The replaced library that a symbol belongs to, by its name."""
    return next((family for family in FAMILIES if family.symbols.fullmatch(name)), None)


def read_symbols(objects: Iterable[Path], which: str) -> set[Symbol]:
    """Dynamic symbols of many shared objects, by binutils' `nm`. `which` is its flag: undefined or defined only."""
    names = [str(path) for path in objects]
    nm = shutil.which("nm")
    if nm is None:
        raise UnsupportedError("needs nm to read what the framework imports; install binutils.")
    if not names:
        return set()
    with tempfile.NamedTemporaryFile("w", prefix="revati-nm-") as arguments:
        arguments.write("\n".join(f'"{name}"' for name in names))
        arguments.flush()
        # Files that are no shared objects make it grumble and exit non-zero; the others are read all the same.
        done = subprocess.run(
            [nm, "-D", which, "--with-symbol-versions", "--format=posix", f"@{arguments.name}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
        )
    found = set()
    for line in done.stdout.splitlines():
        name, _, rest = line.partition(" ")
        if rest:
            base, _, version = name.partition("@")
            found.add(Symbol(base, version.lstrip("@")))
    return found


def source(symbols: Sequence[Symbol]) -> str:
    """The C text of the stubs."""
    lines = ["int revati_unsupported(const char* library, const char* name, int code);"]
    for symbol in symbols:
        family = family_of(symbol.name)
        assert family is not None
        call = f'revati_unsupported("{symbol.version or family.stem}", "{symbol.name}", {family.unsupported})'
        if _TEXT.fullmatch(symbol.name):
            lines.append(f'const char* {symbol.name}(void) {{ {call}; return "not supported by Revati"; }}')
        else:
            lines.append(f"long {symbol.name}(void) {{ return {call}; }}")
    return "\n".join(lines) + "\n"


def version_script(symbols: Sequence[Symbol]) -> str:
    """The linker's version script: each symbol under the node that its importers ask for."""
    nodes: dict[str, list[str]] = {}
    for symbol in symbols:
        if symbol.version:
            nodes.setdefault(symbol.version, []).append(symbol.name)
    return "".join(f"{node} {{ global: {'; '.join(names)}; }};\n" for node, names in nodes.items())


def _key(site_packages: Sequence[Path], libraries: NativeLibraries) -> str:
    """Changes whenever a package is installed, replaced or removed, or our libraries are."""
    digest = hashlib.sha256(libraries.identity.encode())
    for directory in site_packages:
        digest.update(f"{directory}\0".encode())
        for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
            if entry.name.endswith(".dist-info"):
                digest.update(f"{entry.name}\0{entry.stat().st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _shared_objects(directory: Path) -> Iterable[Path]:
    for folder, _, files in os.walk(directory):
        for name in files:
            if (name.endswith(".so") or ".so." in name) and not name.startswith(REPLACED):
                path = Path(folder, name)
                if path.is_file():
                    yield path


def _make(folder: Path, symbols: Sequence[Symbol], compiler: str | None) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".stubs-") as name:
        made = Path(name) / "stubs"
        made.mkdir()
        if symbols:
            _compile(made, symbols, compiler)
        (made / "symbols.json").write_text(
            json.dumps([[s.version, s.name] for s in symbols], indent=0) + "\n"
        )
        try:
            os.rename(made, folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was first
                raise


def _compile(folder: Path, symbols: Sequence[Symbol], compiler: str | None) -> None:
    if compiler is None:
        raise UnsupportedError(
            "needs a C compiler (as Triton and torch.compile do at run time); "
            "install one (Debian, Ubuntu: apt-get install gcc g++) or set CC."
        )
    (folder / "stubs.c").write_text(source(symbols))
    (folder / "stubs.map").write_text(version_script(symbols))
    command = [
        *compiler.split(),
        "-shared",
        "-fPIC",
        "-O1",
        "-w",
        "-fno-builtin",
        "-o",
        "librevati_stubs.so",
        "stubs.c",
    ]
    if (folder / "stubs.map").stat().st_size:
        command.append("-Wl,--version-script=stubs.map")
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        reason = next((line for line in lines if "error" in line), lines[-1])
        raise UnsupportedError(
            f"the C compiler {compiler} cannot build a shared library ({reason}); repair it or set CC."
        )
