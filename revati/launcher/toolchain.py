"""What frameworks need to compile at run time: a C compiler, nvcc, CUDA headers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from revati.launcher.interpreter import Interpreter
from revati.launcher.libraries import fingerprint, make_links
from revati.paths import cache_dir


def find_compiler(environment: Mapping[str, str]) -> str | None:
    """The C compiler that the command will use: `$CC`, else gcc, clang or cc on its PATH."""
    wanted = environment.get("CC")
    for name in [wanted] if wanted else ["gcc", "clang", "cc"]:
        if name and shutil.which(name.split()[0], path=environment.get("PATH")):
            return name
    return None


@dataclass(frozen=True)
class CudaToolchain:
    """The CUDA compiler and headers that a command finds."""

    home: Path | None  # what CUDA_HOME should be, where the framework would not find it by itself
    nvcc: Path | None
    includes: tuple[Path, ...]  # what to add to CPATH


def find_cuda(
    interpreter: Interpreter | None, cuda_major: int, environment: Mapping[str, str]
) -> CudaToolchain:
    """The system's nvcc where there is one, else that of the pip packages; with the headers that it lacks.

    A system's nvcc must never see pip's headers of its own parts: another version's `crt` breaks it. So only headers
    that it does not have are added (for example curand.h, which FlashInfer wants and many installations leave out).
    """
    packaged = _packaged_toolkit(interpreter, cuda_major)
    home = environment.get("CUDA_HOME") or environment.get("CUDA_PATH")
    named = Path(home) / "bin" / "nvcc" if home else None
    on_path = shutil.which("nvcc", path=environment.get("PATH"))
    nvcc = named if named and named.is_file() else Path(on_path) if on_path else None
    for fallback in (Path("/usr/local/cuda/bin/nvcc"),):
        if nvcc is None and fallback.is_file():
            nvcc = fallback
    if nvcc is None:
        if packaged and (packaged / "bin" / "nvcc").is_file():
            return CudaToolchain(packaged, packaged / "bin" / "nvcc", ())
        return CudaToolchain(None, None, ())
    system = _include_folder(nvcc)
    if packaged is None or system is None or system == (packaged / "include").resolve():
        return CudaToolchain(None, nvcc, ())
    return CudaToolchain(None, nvcc, _missing_headers(system, packaged / "include"))


def _packaged_toolkit(interpreter: Interpreter | None, cuda_major: int) -> Path | None:
    """`nvidia/cu13` of the CUDA 13 wheels. The CUDA 12 wheels have a folder for each library and no usable nvcc."""
    nvidia = interpreter.package_dir("nvidia") if interpreter else None
    toolkit = nvidia / f"cu{cuda_major}" if nvidia else None
    return toolkit if toolkit and (toolkit / "include").is_dir() else None


def _include_folder(nvcc: Path) -> Path | None:
    """The headers of an nvcc; a script that only calls the real one is looked through."""
    resolved = nvcc.resolve()
    try:
        with resolved.open("rb") as file:
            head = file.read(512)
        if head.startswith(b"#!"):
            words = head.decode(errors="replace").split()
            real = next((word for word in words if word.endswith("/bin/nvcc") and Path(word).is_file()), None)
            resolved = Path(real).resolve() if real else resolved
    except OSError:
        return None
    for folder in ("include", "targets/x86_64-linux/include"):
        if (resolved.parent.parent / folder / "cuda_runtime.h").is_file():
            return resolved.parent.parent / folder
    return None


def _missing_headers(system: Path, packaged: Path) -> tuple[Path, ...]:
    present = {entry.name for entry in system.iterdir()}
    links = {entry.name: entry for entry in packaged.iterdir() if entry.name not in present}
    if not links:
        return ()
    return (make_links(cache_dir() / "include" / fingerprint((system, packaged)), links),)
