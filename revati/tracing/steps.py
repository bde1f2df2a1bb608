"""Engine steps in a trace: which launches belong to one forward pass, and what it was for.

A step is recognised by its attention: all of its layers see the same lengths, and no two steps do. What lies between the last
attention of one step and the first of the next is divided behind the last sampling kernel or copy to the host, else at the
longest pause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from revati.tracing.records import Occurrence, Trace

PHASES = ("prefill", "mixed", "decode", "outside steps")
Lengths = tuple[int, int, int, int]


@dataclass(frozen=True)
class Step:
    """One forward pass of one process.

    Attributes:
        lengths: Decoding sequences, other sequences, query tokens, keys seen.
        work: In the order of their start.
    """

    trace: Trace
    lengths: Lengths
    work: list[Occurrence]

    @property
    def phase(self) -> str:
        """`decode`, `prefill`, or `mixed`."""
        decoding, others = self.lengths[:2]
        return "decode" if others == 0 else "mixed" if decoding else "prefill"

    @property
    def start_ns(self) -> int:
        """Start of its first launch."""
        return self.work[0].start_ns

    @property
    def end_ns(self) -> int:
        """End of its last."""
        return max(occurrence.end_ns for occurrence in self.work)

    @property
    def busy_ns(self) -> int:
        """Time in which any of its launches runs, gaps inside graphs included."""
        busy, until = 0, 0
        for occurrence in self.work:
            busy += max(0, occurrence.end_ns - max(until, occurrence.start_ns))
            until = max(until, occurrence.end_ns)
        return busy


def lengths_of(occurrence: Occurrence) -> Lengths | None:
    """The lengths that the attention in an occurrence sees; None where there is none."""
    prices = [occurrence.price] if occurrence.price is not None else occurrence.changed.values()
    for price in prices:
        if price is not None and price.shape is not None and price.shape.lengths is not None:
            return price.shape.lengths
    return None


def split(trace: Trace, begin_ns: int | None = None, end_ns: int | None = None) -> list[Step]:
    """The steps of a process that began in a span of virtual time; all by default."""
    work = sorted(
        (
            occurrence
            for occurrence in trace.work
            if (begin_ns is None or occurrence.start_ns >= begin_ns)
            and (end_ns is None or occurrence.start_ns < end_ns)
        ),
        key=lambda occurrence: occurrence.start_ns,
    )
    anchors = [
        (index, lengths)
        for index, occurrence in enumerate(work)
        if (lengths := lengths_of(occurrence)) is not None
    ]
    groups: list[tuple[int, int, Lengths]] = []
    for index, lengths in anchors:
        if groups and groups[-1][2] == lengths:
            groups[-1] = (groups[-1][0], index, lengths)
        else:
            groups.append((index, index, lengths))
    steps, begin = [], 0
    for number, (_, last, lengths) in enumerate(groups):
        following = groups[number + 1][0] if number + 1 < len(groups) else len(work)
        end = _boundary(work, last + 1, following) if number + 1 < len(groups) else len(work)
        steps.append(Step(trace, lengths, work[begin:end]))
        begin = end
    return steps


def _boundary(work: Sequence[Occurrence], begin: int, end: int) -> int:
    """Where in work[begin:end] one step ends and the next begins: the index of the next one's first occurrence."""
    for index in range(end - 1, begin - 1, -1):
        price = work[index].price
        if price is None:
            continue
        to_host = price.shape is not None and price.shape.kind == "copy" and price.shape.values[0] == 1
        if price.family == "sampler" or to_host:
            return index + 1
    if begin >= end:
        return end
    pauses = [
        (work[index].start_ns - work[index - 1].end_ns, -index)
        for index in range(begin, end + 1)
        if index < len(work)
    ]
    return -max(pauses)[1] if pauses else end
