"""Symbols that nobody heard of: an honest error at call time, never an ImportError."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from revati.launcher import stubs
from revati.launcher.libraries import NativeLibraries

from .conftest import Revati, compile_c


@pytest.fixture
def site_packages(tmp_path: Path, libraries: Path) -> Path:
    """A site-packages folder whose extension was linked against a newer CUDA runtime than ours."""
    newer = tmp_path / "newer"
    (newer / "map").parent.mkdir()
    (newer / "map").write_text("libcudart.so.13 { global: *; };\n")
    compile_c(
        "int cudaBrandNew(int a) { return 0; } int cudaKnown_libcudart(void) { return 0; }",
        newer / "libcudart.so.13",
        "-shared",
        "-Wl,-soname,libcudart.so.13",
        f"-Wl,--version-script={newer / 'map'}",
    )
    folder = tmp_path / "site-packages"
    package = folder / "torch"
    compile_c(
        """
        int cudaBrandNew(int); int cudaKnown_libcudart(void); int ncclBrandNew(void); int cuFileNew(void);
        int cublasBrandNew(void);
        const char* cudaGetBrandNewName(int);
        int brand_new(void) { return cudaBrandNew(1); }
        int nccl(void) { return ncclBrandNew(); }
        int cublas(void) { return cublasBrandNew(); }
        const char* text(void) { return cudaGetBrandNewName(1); }
        int known(void) { return cudaKnown_libcudart(); }
        """,
        package / "extension.so",
        "-shared",
        "-fPIC",
        "-Wl,--no-as-needed",
        "-Wl,--allow-shlib-undefined",
        f"-L{newer}",
        "-l:libcudart.so.13",
    )
    (package / "version.py").write_text("__version__ = '99.0+cu130'\ncuda = '13.0'\n")
    (folder / "torch-99.0.dist-info").mkdir()
    return folder


@pytest.fixture
def native(libraries: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> NativeLibraries:
    monkeypatch.setenv("REVATI_LIBRARY_DIR", str(libraries))
    monkeypatch.setenv("REVATI_CACHE", environment["REVATI_CACHE"])
    return NativeLibraries.find(13)


def test_finds_exactly_what_is_missing(site_packages: Path, native: NativeLibraries) -> None:
    missing = {(symbol.name, symbol.version) for symbol in stubs.missing_symbols([site_packages], native)}
    assert missing == {
        ("cudaBrandNew", "libcudart.so.13"),
        ("cudaGetBrandNewName", ""),
        ("ncclBrandNew", ""),
        ("cublasBrandNew", ""),
    }


def test_library_is_cached_until_packages_change(
    site_packages: Path, native: NativeLibraries, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = stubs.stub_library([site_packages], native, "gcc")
    with monkeypatch.context() as context:
        context.setattr(stubs, "missing_symbols", lambda *_: pytest.fail("looked again"))
        assert stubs.stub_library([site_packages], native, "gcc") == first
    (site_packages / "vllm-99.0.dist-info").mkdir()
    assert stubs.stub_library([site_packages], native, "gcc") != first


def test_no_stubs_where_none_are_needed(tmp_path: Path, native: NativeLibraries) -> None:
    (tmp_path / "torch-1.0.dist-info").mkdir()
    assert stubs.stub_library([tmp_path], native, None) is None


def test_code_for_every_library() -> None:
    codes = {
        "cudaNew": 801,
        "__cudaNew": 801,
        "cuNew": 801,
        "cublasNew": 15,
        "cublasLtNew": 15,
        "cudnnNew": 3000,
        "ncclNew": 5,
        "nvmlNew": 3,
    }
    for name, code in codes.items():
        family = stubs.family_of(name)
        assert family is not None
        assert family.unsupported == code, name
    for name in ("cusparseNew", "cufftNew", "cuFileOpen", "curandNew", "cutlassNew", "nvrtcNew", "Cuda"):
        assert stubs.family_of(name) is None, name


def test_command_gets_an_error_and_one_log_line(revati: Revati, site_packages: Path) -> None:
    script = f"""
import ctypes
extension = ctypes.CDLL({str(site_packages / "torch" / "extension.so")!r})
extension.text.restype = ctypes.c_char_p
print(extension.brand_new(), extension.brand_new(), extension.nccl(), extension.cublas(), extension.known())
print(extension.text().decode())
"""
    done = revati("run", "--", sys.executable, "-c", script, env={"PYTHONPATH": str(site_packages)})
    assert done.returncode == 0, done.stderr
    assert done.stdout == "801 801 5 15 0\nnot supported by Revati\n"
    assert "libcudart.so.13: cudaBrandNew is not supported" in done.stderr


def test_without_stubs_the_import_fails(site_packages: Path, libraries: Path) -> None:
    """The reason for all this; if it ever passes, the test above proves nothing."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import ctypes; ctypes.CDLL({str(site_packages / 'torch' / 'extension.so')!r}, 2)",
        ],
        env={"LD_PRELOAD": str(libraries / "cuda13" / "libcudart.so.13")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "cudaBrandNew" in done.stderr or "undefined symbol" in done.stderr
