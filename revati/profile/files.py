"""Reading and writing profiles: JSON lines (plain, gzip, xz) and parquet. The format itself stands in `schema`."""

from __future__ import annotations

import gzip
import importlib
import io
import json
import lzma
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final

from revati.profile.schema import (
    Header,
    ProfileError,
    Record,
    header_from_json,
    record_from_json,
    record_to_json,
)

# A profile of every launch of a day on one GPU stays far below; a small file that unpacks to more is not a profile.
MAX_FILE_BYTES: Final = 1 << 30
MAX_LINE_BYTES: Final = 1 << 20

_PARQUET_HEADER: Final = b"revati_profile"
_PARQUET_COLUMN: Final = "record"
_READ_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, UnicodeDecodeError)


def read(path: Path) -> tuple[Header, list[Record]]:
    """Reads a whole profile.

    Raises:
        ProfileError: The file is missing, damaged, or not a profile; the message has path and line.
    """
    header: Header | None = None
    records: list[Record] = []
    for number, line in _lines(path):
        try:
            if header is None:
                header = header_from_json(_decode(line))
            else:
                records.append(record_from_json(_decode(line), header))
        except ProfileError as error:
            raise ProfileError(f"{path}: line {number}: {error}") from None
    if header is None:
        raise ProfileError(f"{path}: line 1: empty file; a profile starts with a header")
    return header, records


def write(path: Path, header: Header, records: Iterable[Record]) -> None:
    """Writes a profile in the form its suffix names (`.jsonl`, `.jsonl.gz`, `.jsonl.xz`, `.parquet`).

    The same input gives the same bytes.
    """
    lines = [
        _encode(header.to_json()),
        *(_encode(record_to_json(record.check(), header)) for record in records),
    ]
    if path.suffix == ".parquet":
        _write_parquet(path, lines)
        return
    data = "".join(lines).encode()
    if path.suffix == ".gz":
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, filename="") as file:
            file.write(data)
        data = buffer.getvalue()
    elif path.suffix == ".xz":
        data = lzma.compress(data, preset=6)
    path.write_bytes(data)


def append(file: IO[str], header: Header, records: Iterable[Record]) -> None:
    """Adds records to an open, plain profile that starts with `header`."""
    for record in records:
        file.write(_encode(record_to_json(record.check(), header)))
    file.flush()


def begin(file: IO[str], header: Header) -> None:
    """Starts a plain profile."""
    file.write(_encode(header.to_json()))
    file.flush()


def _encode(line: dict[str, Any]) -> str:
    return json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n"


def _decode(line: bytes) -> Any:
    try:
        return json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"not JSON: {error}") from None


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number here")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    if path.suffix == ".parquet":
        yield from enumerate(_parquet_lines(path), 1)
        return
    total = 0
    try:
        with _open(path) as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                total += len(line)
                if len(line) > MAX_LINE_BYTES or total > MAX_FILE_BYTES:
                    raise ProfileError(f"{path}: line {number}: too long for a profile")
                if line.strip():
                    yield number, line
    except _READ_ERRORS as error:
        raise ProfileError(f"{path}: cannot be read: {error}") from None


def _open(path: Path) -> io.BufferedIOBase:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    if path.suffix == ".xz":
        return lzma.open(path, "rb")
    return path.open("rb")


def _pyarrow() -> Any:
    try:
        importlib.import_module("pyarrow.parquet")  # optional: JSON lines need nothing
        return importlib.import_module("pyarrow")
    except ImportError:
        raise ProfileError("parquet profiles need pyarrow; install it, or use .jsonl.gz") from None


def _parquet_lines(path: Path) -> Iterator[bytes]:
    pyarrow = _pyarrow()
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield (file.schema_arrow.metadata or {}).get(_PARQUET_HEADER, b"")
            for batch in file.iter_batches(columns=[_PARQUET_COLUMN]):
                for text in batch.column(0).to_pylist():
                    yield text.encode() if isinstance(text, str) else b""
    except (OSError, KeyError, pyarrow.ArrowException) as error:
        raise ProfileError(f"{path}: cannot be read: {error}") from None


def _write_parquet(path: Path, lines: list[str]) -> None:
    pyarrow = _pyarrow()
    schema = pyarrow.schema(
        [(_PARQUET_COLUMN, pyarrow.string())], metadata={_PARQUET_HEADER: lines[0].encode()}
    )
    table = pyarrow.table({_PARQUET_COLUMN: lines[1:]}, schema=schema)
    pyarrow.parquet.write_table(table, path, compression="zstd")
