"""The fake libraries export what their tables say, and the document is made of the same tables."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from revati.paths import library_dir

CUDA = Path(__file__).parents[2] / "native" / "cuda"


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("revati_symbols_generator", CUDA / "symbols.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


symbols = load_generator()
BUILDS = [(library, major) for library in symbols.load_all() for major in library.sonames]


@pytest.mark.parametrize(("library", "major"), BUILDS, ids=lambda value: getattr(value, "folder", str(value)))
def test_exports_are_those_of_the_table(library: Any, major: int) -> None:
    built = library_dir() / f"cuda{major}" / library.sonames[major]
    assert built.exists(), f"{built.name} is not installed"
    assert symbols.compare_exports(library, major, built) == []


def test_the_document_is_current() -> None:
    assert symbols.main(["docs", "--check"]) == 0, "run: python native/cuda/symbols.py docs"


TABLE = """
[library]
title = "Test"
unsupported_code = 801
[soname]
13 = "libtest.so.13"
12 = "libtest.so.12"
[version_node]
13 = "libtest.so.13"
[real]
testReal = ""
testOld = { cuda = [12] }
[refused]
testStub = { note = "not needed", code = 500 }
testText = { note = "not needed", returns = "pointer" }
"""


def table(tmp_path: Path, text: str) -> Path:
    folder = tmp_path / "test"
    folder.mkdir()
    (folder / "symbols.toml").write_text(text)
    return folder


def test_generated_files(tmp_path: Path) -> None:
    folder, out = table(tmp_path, TABLE), tmp_path / "out"
    assert symbols.main(["generate", "--library", str(folder), "--cuda", "13", "--out", str(out)]) == 0
    script = (out / "version.map").read_text()
    assert script.startswith("libtest.so.13 {")
    assert "testReal;" in script
    assert "testOld" not in script
    stubs = (out / "stubs.cpp").read_text()
    assert 'int testStub() { return revati_unsupported("test", "testStub", 500); }' in stubs
    assert "void* testText()" in stubs
    assert "testReal" not in stubs
    assert '{"testStub", reinterpret_cast<void*>(&testStub), false}' in (out / "table.cpp").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('\n[real]\ntestReal = ""\n', "declare"),
        ('\n[answer]\ntestReal = "twice"\n', "both real and answer"),
        ('\n[answer]\ntestSilent = ""\n', "needs a note"),
        ("\n[colour]\n", "unknown section"),
        ('\n[answer]\ntestMajor = { note = "x", cuda = [11] }\n', "must be among"),
    ],
)
def test_a_wrong_table_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, message: str
) -> None:
    folder = table(tmp_path, TABLE + change)
    assert symbols.main(["soname", "--library", str(folder), "--cuda", "13"]) == 1
    error = capsys.readouterr().err
    assert "symbols.toml" in error
    assert message in error
