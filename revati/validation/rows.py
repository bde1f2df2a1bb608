"""A ground-truth file: one measured serving a row.

The columns are those of a plain CSV file; only `id`, `model`, `gpu`, `num_gpus`, `engine`, `load_kind` and one measured
figure are needed. Milliseconds, tokens, requests and tokens per second.
"""

from __future__ import annotations

import csv
import fnmatch
import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from revati.errors import UsageError

NEEDED = ("id", "model", "gpu", "num_gpus", "engine", "load_kind")
_VERSION = re.compile(r"\d+(\.\d+)+(\.?(post|rc|dev|a|b)\d+)?")


@dataclass(frozen=True)
class Row:
    """One measured serving."""

    cells: dict[str, str]

    @property
    def id(self) -> str:
        """Unique in its file."""
        return self.cells["id"]

    def text(self, column: str) -> str:
        """The cell, empty if there is none."""
        return (self.cells.get(column) or "").strip()

    def number(self, column: str) -> float | None:
        """The cell as a number, None if it is empty.

        Raises:
            UsageError: It is not a number.
        """
        text = self.text(column)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UsageError(f"row {self.id}: column {column} holds {text!r}, which is no number.")
        return value

    def count(self, column: str, default: int) -> int:
        """The cell as a whole number."""
        value = self.number(column)
        return default if value is None else round(value)

    @property
    def engine_version(self) -> str | None:
        """The version that the row names; remarks around it are left out."""
        found = _VERSION.search(self.text("engine_version"))
        return found[0] if found else None

    @property
    def digest(self) -> str:
        """Changes when anything in the row does."""
        text = json.dumps(self.cells, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read(path: Path) -> list[Row]:
    """All rows of a file.

    Raises:
        UsageError: It cannot be read, lacks a column, or names a row twice.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise UsageError(f"{path} has no column {', '.join(missing)}; see docs/accuracy.md.")
            rows = [
                Row({key: value or "" for key, value in cells.items() if isinstance(key, str)})
                for cells in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    names = [row.id for row in rows]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError(f"{path} has more than one row {sorted(twice)[0]!r}; rows need ids of their own.")
    return rows


def choose(rows: Sequence[Row], patterns: Sequence[str], max_gpus: int | None) -> list[Row]:
    """Rows whose id matches one of `patterns` (parts of a name, or with * and ?), of at most `max_gpus` GPUs.

    Raises:
        UsageError: Nothing is left.
    """

    def matches(row: Row) -> bool:
        return not patterns or any(
            fnmatch.fnmatchcase(row.id, pattern) or pattern in row.id for pattern in patterns
        )

    chosen = [
        row for row in rows if matches(row) and (max_gpus is None or row.count("num_gpus", 1) <= max_gpus)
    ]
    if not chosen:
        raise UsageError("no row fits --rows and --max-gpus.")
    return chosen
