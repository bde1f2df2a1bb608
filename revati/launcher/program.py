"""What a command is: the file that will run, whether libraries can be preloaded into it, and its Python."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from revati.errors import UnsupportedError, UsageError

_PYTHON_NAME = re.compile(r"python[0-9.]*")
_MAX_SHEBANG_DEPTH = 4
# `uv` and `pip` write this where the path of the interpreter is too long for the kernel.
_LONG_SHEBANG = re.compile(rb"'''exec' (\"[^\"]+\"|\S+) ")


@dataclass(frozen=True)
class Program:
    """One command, resolved."""

    path: Path  # what argv[0] means on the command's PATH
    binary: Path  # the ELF file that the kernel will execute: `path`, or the interpreter that its first line names
    python: Path | None  # the Python interpreter, where the command is run by one


def resolve(argv: Sequence[str], environment: Mapping[str, str]) -> Program:
    """Finds out what a command will execute.

    Raises:
        UsageError: There is no command, no such file, or it cannot be executed.
        UnsupportedError: Nothing can be preloaded into it.
    """
    if not argv:
        raise UsageError("no command given; write it after --, for example: revati run -- vllm serve MODEL")
    path = _find(argv[0], environment)
    binary = path
    for _ in range(_MAX_SHEBANG_DEPTH):
        interpreter = _shebang(binary, environment)
        if interpreter is None:
            break
        binary = interpreter
    check_preloadable(binary)
    # The name as called counts, not the file behind its links: `.venv/bin/python` is one, and its place matters.
    python = binary if _PYTHON_NAME.fullmatch(binary.name) else None
    return Program(path, binary, python)


def check_preloadable(binary: Path) -> None:
    """Refuses a file that the dynamic loader will not preload Revati's libraries into.

    Raises:
        UnsupportedError: It is static, written in Go, for another machine, or runs with another user's rights.
    """
    if binary.stat().st_mode & (stat.S_ISUID | stat.S_ISGID):
        raise UnsupportedError(
            f"{binary} runs with another user's rights, so the loader ignores preloaded libraries; "
            "run the program that it starts directly."
        )
    try:
        with binary.open("rb") as file:
            elf = ELFFile(file)
            if elf.get_machine_arch() != "x64":
                raise UnsupportedError(
                    f"{binary} is not an x86-64 program; Revati emulates x86-64 programs only."
                )
            # Before the check for a static file: a Go program is usually both, and this is the reason to name.
            go = any(elf.get_section_by_name(name) for name in (".go.buildinfo", ".note.go.buildid"))
            static = not any(segment["p_type"] == "PT_INTERP" for segment in elf.iter_segments())
    except (ELFError, OSError):
        return  # a script without a first line, or unreadable: execution itself will tell
    if go:
        raise UnsupportedError(
            f"{binary} is a Go program: it bypasses the C library, so no virtual GPU or clock can reach it; "
            "run the Python or C program that it starts directly, or a client that is not written in Go."
        )
    if static:
        raise UnsupportedError(
            f"{binary} is statically linked, so no library can be preloaded into it; "
            "use a dynamically linked build of it."
        )


def _find(name: str, environment: Mapping[str, str]) -> Path:
    found = shutil.which(name, path=environment.get("PATH"))
    if found:
        return Path(os.path.abspath(found))
    if "/" in name and Path(name).is_file():
        raise UsageError(f"{name} is not executable; make it so with: chmod +x {shlex.quote(name)}")
    where = "" if "/" in name else " on PATH; activate the environment that holds it, or give its whole path"
    raise UsageError(f"no command {name!r}{where}.")


def _shebang(path: Path, environment: Mapping[str, str]) -> Path | None:
    """The interpreter that a script's first lines name; None for anything but a script."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}.") from None
    if not head.startswith(b"#!"):
        return None
    lines = head.split(b"\n")
    if len(lines) > 1 and (match := _LONG_SHEBANG.match(lines[1])):
        return _find(os.fsdecode(match[1].strip(b'"')), environment)
    words = shlex.split(os.fsdecode(lines[0][2:]))
    if not words:
        return None
    if Path(words[0]).name == "env":
        names = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        return _find(names[0], environment) if names else None
    if not Path(words[0]).is_file():
        raise UsageError(
            f"{path} names an interpreter that does not exist: {words[0]}; reinstall the package it belongs to."
        )
    return Path(words[0])
