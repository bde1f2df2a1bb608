"""Prices of host work from a recorded session: CPU time of each stretch, explained by the events in it.

Least squares with prices that are not negative, one regression a role. A price is therefore what the code that comes
with an event takes, not what the call itself takes: the wake-up of a server's thread carries the event loop's turn.
Events that always come together share their cost: of all prices that explain the times equally well, the small ones.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from revati.calibration.costs import BYTE_EVENTS, EVENTS, ROLES
from revati.calibration.record import Stretch

# Columns of the regression: one per event, and one per 1024 bytes of those that carry data.
NAMES = (*(f"{event}_ns" for event in EVENTS), *(f"{event}_kib_ns" for event in BYTE_EVENTS))
_BYTE_COLUMNS = tuple(EVENTS.index(event) for event in BYTE_EVENTS)
_MIN_STRETCHES = 200
# A stretch that takes so much longer than the median of those with the same kinds of events (of its role, where there
# are few) is something else: garbage collection, a lazy import, a client that makes up its prompts.
_TOO_LONG = 20
_ENOUGH_ALIKE = 5
_RIDGE = 0.001  # of the sum of squares of each event's counts
_SWEEPS = 20_000
_ENOUGH_NS = 1e-3
_NOTHING_NS = 0.5

# Column and count of what is not zero.
Row = list[tuple[int, float]]


@dataclass(frozen=True)
class RoleFit:
    """The prices of one role, and how well they explain what was recorded.

    Attributes:
        prices_ns: Price name -> nanoseconds; those that came out at nothing are left out.
        stretches: How many there were.
        cpu_s: Their CPU time.
        explained: Share of the variance (R squared).
        total: Sum of what the prices say over the sum of what was recorded.
    """

    prices_ns: Mapping[str, float]
    stretches: int
    cpu_s: float
    explained: float
    total: float

    def as_json(self) -> dict[str, Any]:
        """For the file and `--json`."""
        return {
            "stretches": self.stretches,
            "cpu_s": round(self.cpu_s, 3),
            "explained": round(self.explained, 4),
            "total": round(self.total, 4),
        }


def fit(stretches: Iterable[Stretch]) -> dict[str, RoleFit]:
    """One regression for every role that did anything."""
    tables: dict[str, list[tuple[int, Row]]] = {role: [] for role in ROLES}
    for stretch in stretches:
        tables[stretch.role].append((stretch.cpu_ns, _row(stretch)))
    return {role: _fit_role(table) for role, table in tables.items() if len(table) >= _MIN_STRETCHES}


def ordinary(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Without each thread's first stretch, which began before time was virtual, and without those that are too long."""
    known: set[tuple[int, int]] = set()
    later = []
    for stretch in stretches:
        thread = (stretch.pid, stretch.tid)
        if thread in known:
            later.append(stretch)
        known.add(thread)
    usual = {role: _median(stretch for stretch in later if stretch.role == role) for role in ROLES}
    alike: dict[tuple[str, tuple[int, ...]], list[Stretch]] = {}
    for stretch in later:
        kind = tuple(column for column, _ in _row(stretch))
        alike.setdefault((stretch.role, kind), []).append(stretch)
    kept = []
    for (role, _), group in alike.items():
        limit_ns = _TOO_LONG * (_median(group) if len(group) >= _ENOUGH_ALIKE else usual[role])
        kept += [stretch for stretch in group if stretch.cpu_ns <= limit_ns]
    return kept


def _median(stretches: Iterable[Stretch]) -> float:
    times = [stretch.cpu_ns for stretch in stretches]
    return statistics.median(times) if times else 0.0


def check(stretches: Iterable[Stretch], work_ns: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Role -> CPU time that the prices give over CPU time recorded, for a session that they were not fitted to."""
    said: dict[str, float] = dict.fromkeys(ROLES, 0.0)
    recorded: dict[str, float] = dict.fromkeys(ROLES, 0.0)
    for stretch in stretches:
        prices = work_ns.get(stretch.role, {})
        recorded[stretch.role] += stretch.cpu_ns
        said[stretch.role] += sum(count * prices.get(NAMES[column], 0.0) for column, count in _row(stretch))
    return {role: said[role] / recorded[role] for role in ROLES if recorded[role]}


def _row(stretch: Stretch) -> Row:
    row = [(column, float(count)) for column, count in enumerate(stretch.events) if count]
    row += [
        (len(EVENTS) + index, stretch.bytes[column] / 1024)
        for index, column in enumerate(_BYTE_COLUMNS)
        if stretch.bytes[column]
    ]
    return row


def _fit_role(table: Sequence[tuple[int, Row]]) -> RoleFit:
    size = len(NAMES)
    gram = [[0.0] * size for _ in range(size)]
    right = [0.0] * size
    for cpu_ns, row in table:
        for column, count in row:
            right[column] += count * cpu_ns
            for other, count_of_other in row:
                gram[column][other] += count * count_of_other
    for column in range(size):
        gram[column][column] *= 1 + _RIDGE
    prices = _non_negative(gram, right)
    said = [sum(count * prices[column] for column, count in row) for _, row in table]
    total = sum(cpu_ns for cpu_ns, _ in table)
    mean = total / len(table)
    spread = sum((cpu_ns - mean) ** 2 for cpu_ns, _ in table)
    left = sum((cpu_ns - answer) ** 2 for (cpu_ns, _), answer in zip(table, said, strict=True))
    return RoleFit(
        {name: round(price, 1) for name, price in zip(NAMES, prices, strict=True) if price >= _NOTHING_NS},
        len(table),
        total / 1e9,
        1 - left / spread if spread else 1.0,
        sum(said) / total if total else 0.0,
    )


def _non_negative(gram: list[list[float]], right: list[float]) -> list[float]:
    """Minimises x' gram x / 2 - right' x over x >= 0, a coordinate at a time."""
    columns = [i for i in range(len(right)) if gram[i][i] > 0]
    x = [0.0] * len(right)
    slope = [-value for value in right]
    for _ in range(_SWEEPS):
        moved_ns = 0.0
        for i in columns:
            step = max(-x[i], -slope[i] / gram[i][i])
            if step:
                x[i] += step
                for j in columns:
                    slope[j] += gram[i][j] * step
                moved_ns = max(moved_ns, abs(step))
        if moved_ns < _ENOUGH_NS:
            break
    return x
