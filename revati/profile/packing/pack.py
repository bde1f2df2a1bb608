"""`revati profile pack`: makes a set from an installed environment. `scripts/gpu/unpack.py` is its other half.

A set is a folder of parts, each of which goes over in one transfer. Every part holds chunks and the whole manifest. The
chunks of one archive, in order, are one xz stream; one archive holds the small files, every large library is its own.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from revati.errors import UsageError
from revati.profile.packing.fatbin import Report, strip_library
from revati.profile.packing.recipe import Library, Machine, Recipe
from revati.profile.packing.selection import Selection, canonical, python_version, select

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
_DICTIONARY_BYTES: Final = 128 << 20
_THREADS: Final = 2  # a dictionary of 128 MiB costs 1.4 GiB each while compressing


@dataclass(frozen=True)
class Archive:
    """One xz stream and what comes out of it."""

    name: str
    kind: str  # "tar" or "file"
    target: str  # where a file goes; "." for a tar
    data: bytes  # compressed
    sha256: str  # of what comes out

    def manifest(self, chunks: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """As `unpack.py` reads it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "target": self.target,
            "sha256": self.sha256,
            "chunks": list(chunks),
        }


def pack(
    environment: Path, recipe: Recipe, machine: Machine, out: Path, *, preset: int = 6
) -> dict[str, Any]:
    """Makes the set in `out`. Returns its manifest.

    Args:
        environment: A virtual environment with the framework, of the machine's Python version.
        recipe: What to take.
        machine: Where it goes.
        out: A folder; replaced if it is a set.
        preset: xz's effort, 0 to 9.

    Raises:
        UsageError: The environment is not right, or `out` holds something else.
    """
    found = python_version(environment)
    if found != machine.python:
        raise UsageError(
            f"{environment} has Python {found}, the machine {machine.python}: compiled packages would not load; "
            f"make an environment with Python {machine.python} and pack that."
        )
    selection = select(environment, recipe, machine)
    archives = _archives(selection, recipe, machine, preset)
    _clear(out)
    parts = _parts(archives, machine.part_bytes, out)
    manifest = {
        "revati_set": FORMAT,
        "name": recipe.name,
        "python": machine.python,
        "arch": machine.arch,
        "packages": dict(selection.packages),
        "scripts": dict(selection.scripts),
        "parts": len({chunk["part"] for chunks in parts.values() for chunk in chunks}),
        "archives": [archive.manifest(parts[archive.name]) for archive in archives],
    }
    for part in sorted(out.glob("part-*")):
        (part / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def _archives(selection: Selection, recipe: Recipe, machine: Machine, preset: int) -> list[Archive]:
    large = {library.file: library for library in recipe.libraries}
    missing = [file for file in large if file not in selection.files]
    if missing:
        raise UsageError(f"the recipe {recipe.name} names {', '.join(missing)}, which this environment lacks")
    with ThreadPoolExecutor(_THREADS) as pool:
        small = pool.submit(_tar, selection, [f for f in selection.files if f not in large], recipe, preset)
        libraries = [
            pool.submit(_library, selection.site, library, machine, preset) for library in large.values()
        ]
        return [small.result(), *(future.result() for future in libraries)]


def _library(site: Path, library: Library, machine: Machine, preset: int) -> Archive:
    data = bytearray((site / library.file).read_bytes())
    report = strip_library(data, machine.arch, keep_foreign=library.keep_foreign, only=library.only)
    compressed = _compress(bytes(data), preset)
    print(f"{library.file}: {_words(report)}, {len(compressed) / 2**20:.1f} MiB packed", flush=True)
    name = Path(library.file).name
    return Archive(name, "file", library.file, compressed, hashlib.sha256(data).hexdigest())


def _words(report: Report) -> str:
    return (
        f"{report.containers} fat binaries, {report.before / 2**20:.1f} -> {report.after / 2**20:.1f} MiB of code, "
        f"{report.without_arch} without code for this GPU"
    )


def _tar(selection: Selection, names: Sequence[str], recipe: Recipe, preset: int) -> Archive:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            path = selection.site / name
            debug = any(Path(name).match(pattern) for pattern in recipe.strip_debug)
            data = _without_debug(path) if debug else path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755 if path.stat().st_mode & 0o100 else 0o644
            archive.addfile(entry, io.BytesIO(data))
    data = buffer.getvalue()
    compressed = _compress(data, preset)
    print(
        f"{len(names)} files of {len(selection.packages)} packages: {len(compressed) / 2**20:.1f} MiB packed"
    )
    return Archive("site.tar", "tar", ".", compressed, hashlib.sha256(data).hexdigest())


def _without_debug(path: Path) -> bytes:
    """The library less its debug information; whole where binutils is missing."""
    strip = shutil.which("strip")
    if strip is None:
        return path.read_bytes()
    with tempfile.NamedTemporaryFile() as result:
        subprocess.run([strip, "--strip-debug", "-o", result.name, str(path)], check=True)
        return Path(result.name).read_bytes()


def _compress(data: bytes, preset: int) -> bytes:
    dictionary = min(_DICTIONARY_BYTES, max(1 << 20, 1 << (len(data) - 1).bit_length()))
    filters = [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": dictionary}]
    return lzma.compress(data, format=lzma.FORMAT_XZ, check=lzma.CHECK_SHA256, filters=filters)


def _parts(archives: Sequence[Archive], limit: int, out: Path) -> dict[str, list[dict[str, Any]]]:
    """Writes the chunks, filling one part after the other. Returns them by archive."""
    room_for_manifest = 64 << 10
    part, left = 0, limit - room_for_manifest
    written: dict[str, list[dict[str, Any]]] = {}
    for archive in archives:
        chunks = written.setdefault(archive.name, [])
        position = 0
        while position < len(archive.data):
            if left <= 0:
                part, left = part + 1, limit - room_for_manifest
            chunk = archive.data[position : position + left]
            name = f"{canonical(archive.name)}.xz.{len(chunks):02d}"
            folder = out / f"part-{part}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(chunk)
            digest = hashlib.sha256(chunk).hexdigest()
            chunks.append({"part": part, "file": name, "bytes": len(chunk), "sha256": digest})
            position, left = position + len(chunk), left - len(chunk)
    return written


def _clear(out: Path) -> None:
    """Makes room for the set; never deletes anything but an earlier set."""
    if out.exists():
        strange = [p for p in out.iterdir() if not (p.name.startswith("part-") and (p / MANIFEST).is_file())]
        if strange:
            raise UsageError(
                f"{out} holds {strange[0].name}, which is no part of a set; choose another folder."
            )
        for part in out.iterdir():
            shutil.rmtree(part)
    out.mkdir(parents=True, exist_ok=True)
