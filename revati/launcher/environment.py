"""The environment in which a command finds virtual GPUs: preloaded libraries and search paths, nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from revati.launcher import nvidia_smi, preflight, program, stubs, toolchain
from revati.launcher.interpreter import Interpreter, default_interpreter
from revati.launcher.libraries import NativeLibraries, link_folder
from revati.launcher.session import VARIABLE, Session
from revati.paths import cache_dir

DEFAULT_CUDA_MAJOR = 13


@dataclass(frozen=True)
class Target:
    """What a command will run in, found out before it starts."""

    interpreter: Interpreter | None
    cuda_major: int
    libraries: NativeLibraries
    stubs: Path | None
    cuda: toolchain.CudaToolchain


def inspect(argv: Sequence[str], environment: Mapping[str, str]) -> Target:
    """Resolves a command and checks that it can run on virtual GPUs.

    Raises:
        RevatiError: It cannot, or there is no such command.
    """
    resolved = program.resolve(argv, environment)
    preflight.check_host()
    compiler = toolchain.find_compiler(environment)
    if resolved.python:
        interpreter: Interpreter | None = Interpreter(resolved.python, environment)
        assert interpreter is not None
        preflight.check_interpreter(interpreter, compiler)
    else:
        # A shell script or the like: most probably it calls the Python on its PATH. It may as well call none, so
        # nothing that is missing there is an error yet.
        interpreter = default_interpreter(environment)
    torch = interpreter.torch if interpreter else None
    supported = torch is not None and torch.cuda_major in (12, 13)
    cuda_major = torch.cuda_major if torch and supported and torch.cuda_major else DEFAULT_CUDA_MAJOR
    libraries = NativeLibraries.find(cuda_major)
    stub_library = None
    if interpreter and supported:
        stub_library = stubs.stub_library(interpreter.site_packages, libraries, compiler)
    cuda = toolchain.find_cuda(interpreter, cuda_major, environment)
    return Target(interpreter, cuda_major, libraries, stub_library, cuda)


def compose(
    target: Target, session: Session, gpu: str, base: Mapping[str, str], clock: Path | None = None
) -> dict[str, str]:
    """The whole environment of a command: `base`, and what makes the GPUs virtual.

    Args:
        target: What `inspect` found.
        session: Where libraries and launcher meet.
        gpu: The GPU's catalogue name; the engines' compile caches are kept apart by it.
        base: The user's environment, whose own settings win wherever that is possible.
        clock: The library of the virtual clock, if the session has one.
    """
    environment = dict(base)
    links = link_folder(target.libraries, target.interpreter.site_packages if target.interpreter else ())
    preload = [*([clock] if clock else []), target.libraries.core, *target.libraries.fakes]
    if target.stubs:
        preload.append(target.stubs)
    environment[VARIABLE] = str(session.path)
    own = [str(path) for path in preload]
    theirs = [entry for entry in re.split(r"[ :]+", base.get("LD_PRELOAD", "")) if entry and entry not in own]
    environment["LD_PRELOAD"] = ":".join(own + theirs)
    # LIBRARY_PATH: nvcc and gcc link run-time built kernels against -lcuda -lcudart.
    for name in ("LD_LIBRARY_PATH", "LIBRARY_PATH"):
        _prepend(environment, name, links)
    environment["TRITON_LIBCUDA_PATH"] = str(links)
    # A real nvidia-smi would tell of this machine's own GPUs, or of none.
    environment.setdefault("PATH", os.defpath)
    _prepend(environment, "PATH", nvidia_smi.install(session.path))
    for include in target.cuda.includes:
        _prepend(environment, "CPATH", include)
    if target.cuda.home:
        environment.setdefault("CUDA_HOME", str(target.cuda.home))
    for name, value in _engine_settings(gpu).items():
        environment.setdefault(name, value)
    return environment


def _engine_settings(gpu: str) -> dict[str, str]:
    """Settings of the engines that keep what they learn about virtual GPUs apart from what they know about real ones.

    Their caches hold choices made by timing kernels, and whether two GPUs reach each other; some of them are keyed by
    nothing but the number of GPUs. And figures of virtual GPUs have no place in anybody's usage statistics.
    """
    caches = cache_dir() / "engines" / gpu
    return {
        "VLLM_CACHE_ROOT": str(caches / "vllm"),
        "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"),
        "TRITON_CACHE_DIR": str(caches / "triton"),
        "VLLM_NO_USAGE_STATS": "1",
        "SGLANG_CACHE_DIR": str(caches / "sglang"),
    }


def _prepend(environment: dict[str, str], name: str, folder: Path) -> None:
    before = [
        entry for entry in environment.get(name, "").split(os.pathsep) if entry and entry != str(folder)
    ]
    environment[name] = os.pathsep.join([str(folder), *before])
