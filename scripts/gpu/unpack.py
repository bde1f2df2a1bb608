#!/usr/bin/env python3
"""Re-joins a packed set on a machine that has Python and nothing else.

python3 unpack.py DEST PART...       PART: the folders that came over (or one folder above them)

Every chunk and every result is checked against the manifest's hashes. Afterwards DEST goes on PYTHONPATH, DEST/bin on
PATH.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import lzma
import sys
import tarfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description="Re-joins a packed set.")
    parser.add_argument("dest", type=Path)
    parser.add_argument("parts", type=Path, nargs="+")
    parser.add_argument(
        "--any-python", action="store_true", help="unpack even if Python's version is another"
    )
    given = parser.parse_args()
    began = time.monotonic()
    try:
        manifest, chunks = find(given.parts)
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        if manifest["python"] != python and not given.any_python:
            raise SystemExit(f"unpack: the set is for Python {manifest['python']}, this is {python}")
        given.dest.mkdir(parents=True, exist_ok=True)
        jobs = [
            (archive, [chunks[c["file"]] for c in archive["chunks"]], given.dest)
            for archive in manifest["archives"]
        ]
        with ProcessPoolExecutor() as pool:
            for name, seconds in pool.map(restore, jobs):
                print(f"unpack: {name}: {seconds:.1f} s", flush=True)
        write_scripts(manifest["scripts"], given.dest)
    except (OSError, KeyError, ValueError, lzma.LZMAError, tarfile.TarError) as error:
        print(f"unpack: {error}", file=sys.stderr)
        return 1
    print(
        f"unpack: {manifest['name']}: {len(manifest['packages'])} packages in {time.monotonic() - began:.1f} s"
    )
    return 0


def find(places: list[Path]) -> tuple[dict[str, Any], dict[str, Path]]:
    """The manifest, and every chunk by name. Says which parts are missing."""
    manifests = [file for place in places for file in sorted(place.rglob("manifest.json"))]
    if not manifests:
        raise ValueError(f"no manifest.json under {', '.join(map(str, places))}")
    texts = {file.read_text() for file in manifests}
    if len(texts) > 1:
        raise ValueError("these are parts of different sets")
    manifest: dict[str, Any] = json.loads(texts.pop())
    if manifest.get("revati_set") != 1:
        raise ValueError(f"format {manifest.get('revati_set')!r}; this unpacker reads 1")
    chunks: dict[str, Path] = {}
    absent = set()
    for archive in manifest["archives"]:
        for chunk in archive["chunks"]:
            here = [
                file.parent / chunk["file"] for file in manifests if (file.parent / chunk["file"]).is_file()
            ]
            if here:
                chunks[chunk["file"]] = here[0]
            else:
                absent.add(chunk["part"])
    if absent:
        raise ValueError(f"missing: {', '.join(f'part-{number}' for number in sorted(absent))}")
    return manifest, chunks


def restore(job: tuple[dict[str, Any], list[Path], Path]) -> tuple[str, float]:
    """One archive: checks, joins, unpacks, checks again."""
    archive, paths, dest = job
    began = time.monotonic()
    joined = bytearray()
    for chunk, path in zip(archive["chunks"], paths, strict=True):
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != chunk["sha256"]:
            raise ValueError(f"{path} is damaged: its hash differs from the manifest's")
        joined += data
    content = lzma.decompress(joined)
    if hashlib.sha256(content).hexdigest() != archive["sha256"]:
        raise ValueError(f"{archive['name']} does not re-join: its hash differs from the manifest's")
    if archive["kind"] == "tar":
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            tar.extractall(dest, filter="data")
    else:
        target = (dest / archive["target"]).resolve()
        if not target.is_relative_to(dest.resolve()):
            raise ValueError(f"{archive['target']} lies outside of {dest}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(0o755)
    return archive["name"], time.monotonic() - began


def write_scripts(scripts: dict[str, str], dest: Path) -> None:
    """The commands that an installer would have made."""
    folder = dest / "bin"
    folder.mkdir(exist_ok=True)
    for name, value in scripts.items():
        module, _, function = value.partition(":")
        script = folder / name
        script.write_text(
            # Processes that it spawns import the script again.
            f"#!{sys.executable}\nimport sys\nfrom {module} import {function}\n"
            f"if __name__ == '__main__':\n    sys.exit({function}())\n"
        )
        script.chmod(0o755)


if __name__ == "__main__":
    sys.exit(main())
