"""Profiles as tables: what a user has in a spreadsheet or a data frame, one row for each measured duration.

Columns, in any order, in CSV (first line: their names) or parquet:

    family        as in `schema.FAMILIES`
    duration_ns   median of one execution
    spread, count, method, source, gpu, driver, time
                  as in `schema.Record`; may be left out. Without `method`, durations are taken as the device's own
                  time stamps of one kernel (`cupti`), from which nothing is taken off.
    any feature   of the families in the table, e.g. m, n, k, a, b, d. Empty where a row has no such feature

Lists (q_lengths, grid) are numbers separated by spaces, in parquet also lists of integers; flags are true or false. A
column that no family of its row has is an error, so that a misspelt feature is not lost in silence.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from revati.profile.schema import (
    FAMILIES,
    GROUPED_GEMM_FORM,
    LAUNCH_FORM,
    Feature,
    Header,
    ProfileError,
    Record,
    record_from_json,
)

_OWN: Final = ("family", "duration_ns", "spread", "count", "method", "source", "gpu", "driver", "time")
_REQUIRED: Final = ("family", "duration_ns")
_NUMBERS: Final = ("duration_ns", "spread")
_NOT_STATED: Final = "not stated"
MAX_COLUMNS: Final = 256

_FEATURES: Final[frozenset[str]] = frozenset().union(
    *(table.keys() for table in (*FAMILIES.values(), GROUPED_GEMM_FORM, LAUNCH_FORM))
)


def header(source: str) -> Header:
    """What a table does not say of its origin."""
    return Header(
        source=source, gpu=_NOT_STATED, driver=_NOT_STATED, versions={}, method="cupti", time=_NOT_STATED
    )


def csv_rows(path: Path, lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, row) of a CSV file, given its lines.

    Raises:
        ProfileError: A line that is no row of this table; the message has path and line.
    """
    names: list[str] | None = None
    for number, line in lines:
        try:
            values = _csv_values(line)
            if names is None:
                check_columns(values)
            elif len(values) != len(names):
                raise ProfileError(f"{len(values)} values for {len(names)} columns")
        except ProfileError as error:
            raise ProfileError(f"{path}: line {number}: {error}") from None
        if names is None:
            names = values
        else:
            yield number, dict(zip(names, values, strict=True))
    if names is None:
        raise ProfileError(f"{path}: line 1: empty file; a table starts with the names of its columns")


def _csv_values(line: bytes) -> list[str]:
    try:
        text = line.decode("utf-8-sig")
        rows = list(csv.reader([text], strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ProfileError(f"no CSV in UTF-8: {error}") from None
    if len(rows) != 1:
        raise ProfileError("a row must stand on one line")
    return [value.strip() for value in rows[0]]


def check_columns(names: Sequence[str]) -> None:
    """Checks the names of a table's columns.

    Raises:
        ProfileError: One is missing, unknown, or there twice.
    """
    if len(names) > MAX_COLUMNS:
        raise ProfileError(f"{len(names)} columns; a profile has at most {MAX_COLUMNS}")
    for name in names:
        if names.count(name) > 1:
            raise ProfileError(f"column {name[:80]!r} is there twice")
        if name not in _OWN and name not in _FEATURES:
            raise ProfileError(
                f"unknown column {name[:80]!r}; there are {', '.join(_OWN)}, and the features that "
                "`revati/profile/schema.py` lists for each family"
            )
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        raise ProfileError(f"no column {' and no column '.join(missing)}")


def record(row: Mapping[str, Any], shared: Header) -> Record:
    """Checks one row.

    Raises:
        ProfileError: Something in it is not what the format says.
    """
    given = {name: value for name, value in row.items() if not _is_absent(value)}
    family = given.get("family")
    forms = _forms(family)
    line: dict[str, Any] = {
        name: _own(name, value) for name, value in given.items() if name in _OWN and name != "family"
    }
    if "duration_ns" not in line:
        raise ProfileError("the row has no duration_ns")
    line["family"] = family
    line["features"] = {
        name: _feature(name, value, forms) for name, value in given.items() if name not in _OWN
    }
    return record_from_json(line, shared)


def _is_absent(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _forms(family: Any) -> list[Mapping[str, Feature]]:
    """What rows of a family may consist of, the family's own form first."""
    own = FAMILIES.get(family) if isinstance(family, str) else None
    if own is None:
        raise ProfileError(f"unknown family {str(family)[:80]!r}; one of {', '.join(FAMILIES)}")
    return [own, GROUPED_GEMM_FORM, LAUNCH_FORM]


def _own(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        if name in _NUMBERS:
            return float(value)
        return int(value) if name == "count" else value
    except ValueError:
        raise ProfileError(f"{name} is {value[:80]!r}; it must be a number") from None


def _feature(name: str, value: Any, forms: Sequence[Mapping[str, Feature]]) -> Any:
    """A feature's value from its text; whether the family has it is the schema's to say."""
    kind = next((form[name].kind for form in forms if name in form), "text")
    # Data frames turn a column of integers with gaps into floats.
    if kind == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, str):
        return value
    try:
        if kind == "int":
            return int(value.removesuffix(".0"))
        if kind == "float":
            return float(value)
        if kind == "ints":
            return [int(word) for word in value.split()]
    except ValueError:
        raise ProfileError(f"feature {name} is {value[:80]!r}; it must be of kind {kind}") from None
    if kind == "flag" and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return value
