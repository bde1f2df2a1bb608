"""A launcher without the real native libraries: tiny ones, compiled here, that keep the same contract."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CORE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int revati_unsupported(const char* library, const char* name, int code) {
    const char* session = getenv("REVATI_SESSION");
    if (!session) return code;
    char path[4096];
    snprintf(path, sizeof path, "%s/log.%d", session, getpid());
    FILE* log = fopen(path, "a");
    fprintf(log, "%s: %s is not supported\n", library, name);
    fclose(log);
    return code;
}
"""

Revati = Callable[..., subprocess.CompletedProcess[str]]


def compile_c(source: str, output: Path, *flags: str) -> Path:
    output.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["gcc", "-w", "-x", "c", "-", "-o", str(output), *flags], input=source, text=True, check=True
    )
    return output


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out like `revati/lib`."""
    folder = tmp_path_factory.mktemp("lib")
    compile_c(CORE, folder / "librevati_core.so", "-shared", "-fPIC")
    for major in (12, 13):
        for stem, version in (("libcudart", major), ("libcublas", major), ("libnccl", 2)):
            soname = f"{stem}.so.{version}"
            script = folder / f"{soname}.map"
            script.write_text(f"{soname} {{ global: *; }};\n")
            compile_c(
                f"int cudaKnown_{stem}(void) {{ return 0; }}",
                folder / f"cuda{major}" / soname,
                "-shared",
                "-fPIC",
                f"-Wl,-soname,{soname}",
                f"-Wl,--version-script={script}",
            )
    return folder


@pytest.fixture(scope="session")
def environment(libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which `revati` uses those libraries and a cache of its own."""
    cache = tmp_path_factory.mktemp("cache")
    return {**os.environ, "REVATI_LIBRARY_DIR": str(libraries), "REVATI_CACHE": str(cache)}


@pytest.fixture(scope="session")
def revati(environment: dict[str, str]) -> Revati:
    """Runs `revati ARGUMENTS` to its end."""

    def run(
        *arguments: str, env: dict[str, str] | None = None, check: bool = False
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command(*arguments),
            env={**environment, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done

    return run


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "revati", *arguments]
