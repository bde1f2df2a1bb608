"""A library under test, called through cffi: the fake one, or the real one with `REVATI_CONFORMANCE_NATIVE=1`.

Used by the files in `*/cases/`, which `test_library_cases.py` runs in processes of their own.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import cffi

from revati.paths import library_dir

NATIVE = os.environ.get("REVATI_CONFORMANCE_NATIVE") == "1"
MAJOR = int(os.environ.get("REVATI_CONFORMANCE_CUDA", "13"))
SOURCES = Path(__file__).resolve().parents[2] / "native" / "cuda"

ffi = cffi.FFI()
NULL = ffi.NULL


class Library:
    """Calls by name; a status of 0 means success."""

    def __init__(self, folder: str, declarations: str) -> None:
        self.folder = folder
        ffi.cdef(declarations, override=True)
        table = tomllib.loads((SOURCES / folder / "symbols.toml").read_text(encoding="utf-8"))
        soname = table["soname"][str(MAJOR)]
        self.symbols: dict[str, list[str]] = {
            kind: sorted(table.get(kind, {})) for kind in ("real", "answer", "refused")
        }
        path = soname if NATIVE else str(library_dir() / f"cuda{MAJOR}" / soname)
        self.lib: Any = ffi.dlopen(path)

    def call(self, name: str, *arguments: Any) -> int:
        """Calls and returns the status."""
        return int(getattr(self.lib, name)(*arguments))

    def ok(self, name: str, *arguments: Any) -> None:
        """The call succeeds."""
        code = self.call(name, *arguments)
        assert code == 0, f"{name} returned {code}"

    def get(self, name: str, kind: str, *arguments: Any) -> Any:
        """Calls a function whose first parameter points to its answer, and returns the answer."""
        out = ffi.new(f"{kind}*")
        self.ok(name, out, *arguments)
        return out[0]

    def get_last(self, name: str, kind: str, *arguments: Any) -> Any:
        """The same for a function whose last parameter points to its answer."""
        out = ffi.new(f"{kind}*")
        self.ok(name, *arguments, out)
        return out[0]

    def text(self, name: str, *arguments: Any) -> str:
        """Calls a function that fills a buffer of 256 characters: `arguments`, buffer, size."""
        out = ffi.new("char[256]")
        self.ok(name, *arguments, out, 256)
        return bytes(ffi.string(out)).decode()

    def with_zeros(self, name: str) -> int:
        """The status of a call all of whose arguments are zero or null."""
        function = ffi.cast(
            "int (*)(void*, void*, void*, void*, void*, void*, void*, void*, void*, void*, void*, void*, void*, "
            "void*, void*, void*, void*, void*, void*, void*, void*, void*, void*, void*)",
            ffi.addressof(self.lib, name) if hasattr(self.lib, name) else self.address(name),
        )
        return int(function(*[NULL] * 24))

    def address(self, name: str) -> Any:
        """Where a symbol lies; no declaration of it is needed."""
        ffi.cdef(f"void {name}();", override=True)
        return ffi.addressof(self.lib, name)
