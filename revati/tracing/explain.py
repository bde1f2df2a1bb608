"""Where virtual time went, and how sure that is."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from revati.tracing.names import short
from revati.tracing.records import Price, Trace
from revati.tracing.steps import PHASES, Step

UNCERTAIN = 10
_LONGEST_PERIOD = 48


@dataclass(frozen=True)
class Uncertain:
    """Launches of one kernel with one shape.

    Attributes:
        price: One of them.
        count: How many.
        total_ns: Their virtual time.
        doubt_ns: The error to expect of it: time x (1 - confidence).
    """

    price: Price
    count: int
    total_ns: int
    doubt_ns: float


@dataclass(frozen=True)
class Line:
    """One launch of a step, or a pattern of launches that comes several times (layers).

    Attributes:
        price: What.
        offset_ns: Since the step's start, the first time.
        duration_ns: Mean of the times.
    """

    price: Price
    offset_ns: int
    duration_ns: float


@dataclass(frozen=True)
class Block:
    """`lines`, `times` times one after the other."""

    lines: list[Line]
    times: int


class Totals:
    """Virtual time by phase, family and source, with the doubtful launches."""

    def __init__(self) -> None:
        self.time_ns: Counter[tuple[str, str, str]] = Counter()
        self.count: Counter[tuple[str, str, str]] = Counter()
        self._by_shape: dict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0, 0, 0.0])
        self._example: dict[tuple[str, str, str], Price] = {}

    def add(self, phase: str, trace: Trace, occurrences: Iterable[int]) -> None:
        """Adds the occurrences at these places of `trace.work`."""
        replays: Counter[int] = Counter()
        for index in occurrences:
            item = trace.work[index]
            if item.price is not None:
                self._add(phase, item.price, 1)
                continue
            replays[item.graph] += 1
            nodes = trace.graphs.get(item.graph, {})
            for node, price in item.changed.items():
                if node in nodes:
                    self._add(phase, price, 1)
                    self._add(phase, nodes[node], -1)
        for graph, times in replays.items():
            for price in trace.graphs.get(graph, {}).values():
                self._add(phase, price, times)

    def _add(self, phase: str, price: Price, times: int) -> None:
        key = (phase, price.family, price.source)
        self.time_ns[key] += times * price.duration_ns
        self.count[key] += times
        shape = (price.label, str(price.shape or ""), price.source)
        entry = self._by_shape[shape]
        entry[0] += times
        entry[1] += times * price.duration_ns
        entry[2] += times * price.duration_ns * (1 - price.confidence)
        self._example[shape] = price

    def uncertain(self, most: int = UNCERTAIN) -> list[Uncertain]:
        """The launches whose doubt weighs most."""
        found = [
            Uncertain(self._example[key], round(count), round(total), doubt)
            for key, (count, total, doubt) in self._by_shape.items()
            if count > 0
        ]
        return sorted(found, key=lambda entry: -entry.doubt_ns)[:most]

    def by(self, part: Callable[[tuple[str, str, str]], str]) -> dict[str, int]:
        """Virtual time by phase, family or source, the largest first."""
        sums: Counter[str] = Counter()
        for key, time_ns in self.time_ns.items():
            sums[part(key)] += time_ns
        return dict(sums.most_common())


def total(traces: Sequence[Trace], steps: Sequence[Step], begin_ns: int | None, end_ns: int | None) -> Totals:
    """Sums up all work in a span of virtual time."""
    totals = Totals()
    phase_of = {id(item): step.phase for step in steps for item in step.work}
    for trace in traces:
        places: dict[str, list[int]] = defaultdict(list)
        for index, item in enumerate(trace.work):
            if (begin_ns is None or item.start_ns >= begin_ns) and (end_ns is None or item.start_ns < end_ns):
                places[phase_of.get(id(item), PHASES[-1])].append(index)
        for phase, indices in places.items():
            totals.add(phase, trace, indices)
    return totals


def typical(steps: Sequence[Step], phase: str) -> Step | None:
    """The step of median length among those of a phase, of the largest process; None if there is none."""
    found = [step for step in steps if step.phase == phase]
    if not found:
        return None
    middle = statistics.median_low([step.end_ns - step.start_ns for step in found])
    return next(step for step in found if step.end_ns - step.start_ns == middle)


def layout(step: Step) -> list[Block]:
    """A step's launches in order; what repeats is shown once."""
    lines = [
        Line(price, start - step.start_ns, price.duration_ns)
        for item in step.work
        for start, price in step.trace.unfold(item)
    ]
    keys = [(line.price.label, str(line.price.shape or "")) for line in lines]
    blocks: list[Block] = []
    index = 0
    while index < len(lines):
        period, times = _repetition(keys, index)
        pattern = [
            Line(
                lines[index + place].price,
                lines[index + place].offset_ns,
                statistics.fmean(lines[index + place + turn * period].duration_ns for turn in range(times)),
            )
            for place in range(period)
        ]
        if times == 1 and blocks and blocks[-1].times == 1:
            blocks[-1].lines.extend(pattern)
        else:
            blocks.append(Block(pattern, times))
        index += period * times
    return blocks


def _repetition(keys: Sequence[tuple[str, str]], index: int) -> tuple[int, int]:
    """The period and number of the repetition at `index` that covers most."""
    best = (1, 1)
    for period in range(1, min(_LONGEST_PERIOD, (len(keys) - index) // 2) + 1):
        times = 1
        while keys[index + times * period : index + (times + 1) * period] == keys[
            index : index + period
        ] and index + (times + 1) * period <= len(keys):
            times += 1
        if times > 1 and period * times > best[0] * best[1]:
            best = (period, times)
    return best


def title(price: Price) -> str:
    """A launch in one line."""
    shape = f"  {price.shape}" if price.shape and str(price.shape) else ""
    return f"{short(price.label)}{shape}"
