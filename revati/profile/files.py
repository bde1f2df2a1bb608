"""Reading and writing profiles: JSON lines (plain, gzip, xz) and parquet. The format itself stands in `schema`.

Tables that a user made (CSV, plain or compressed, and parquet with a column for each feature) are read, too; see `tables`.
"""

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

from revati.profile import tables
from revati.profile.schema import (
    MAX_TEXT,
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

_SAFE_PYARROW: Final = 15
_MAX_ROWS: Final = 20_000_000

_PARQUET_HEADER: Final = b"revati_profile"
_PARQUET_COLUMN: Final = "record"
_READ_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, UnicodeDecodeError)


def read(path: Path) -> tuple[Header, list[Record]]:
    """Reads a whole profile.

    Raises:
        ProfileError: The file is missing, damaged, or not a profile; the message has path and line.
    """
    if ".csv" in path.suffixes[-2:]:
        return _read_table(path, tables.csv_rows(path, _lines(path)))
    if path.suffix == ".parquet" and not _holds_json(path):
        return _read_table(path, _parquet_rows(path))
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


def _read_table(path: Path, rows: Iterator[tuple[int, dict[str, Any]]]) -> tuple[Header, list[Record]]:
    header = tables.header(f"imported from {path.name}"[:MAX_TEXT])
    records = []
    for number, row in rows:
        try:
            records.append(tables.record(row, header))
        except ProfileError as error:
            raise ProfileError(f"{path}: line {number}: {error}") from None
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
        importlib.import_module("pyarrow.parquet")  # optional: JSON lines and CSV need nothing
        pyarrow = importlib.import_module("pyarrow")
    except ImportError:
        raise ProfileError("parquet profiles need pyarrow; install it, or use .csv or .jsonl.gz") from None
    if int(pyarrow.__version__.split(".")[0]) < _SAFE_PYARROW:
        raise ProfileError(f"pyarrow {pyarrow.__version__} runs code from files (CVE-2023-47248); update it")
    return pyarrow


def _holds_json(path: Path) -> bool:
    """Whether a parquet file is one of ours, whose rows are JSON lines."""
    pyarrow = _pyarrow()
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            return _PARQUET_HEADER in (file.schema_arrow.metadata or {})
    except (OSError, KeyError, ValueError, pyarrow.ArrowException) as error:
        raise ProfileError(f"{path}: cannot be read: {error}") from None


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row number, row) of a table; rows count from 1."""
    pyarrow = _pyarrow()
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if file.metadata.num_rows > _MAX_ROWS:
                raise ProfileError(f"{file.metadata.num_rows} rows; a profile has at most {_MAX_ROWS}")
            tables.check_columns(file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=4096):
                if batch.nbytes > MAX_FILE_BYTES:
                    raise ProfileError(f"line {number + 1}: too long for a profile")
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}") from None
    except (OSError, KeyError, ValueError, pyarrow.ArrowException) as error:
        raise ProfileError(f"{path}: cannot be read: {error}") from None


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
