"""The requests of a benchmark, one by one, as its client saw them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from revati.errors import UsageError


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        start_s: When it was sent, since the first one was; None where the client does not tell.
        ttft_s: Time to its first token.
        itls_s: Times between the pieces of its answer. A piece may be several tokens.
        input_tokens: Length of its prompt.
        output_tokens: Length of its answer.
        error: Why it failed; empty if it did not.
    """

    start_s: float | None
    ttft_s: float
    itls_s: tuple[float, ...]
    input_tokens: int
    output_tokens: int
    error: str = ""

    @property
    def e2el_s(self) -> float:
        """End-to-end latency."""
        return self.ttft_s + sum(self.itls_s)

    @property
    def tpot_s(self) -> float | None:
        """Mean time per output token after the first; None for answers of one token."""
        return sum(self.itls_s) / (self.output_tokens - 1) if self.output_tokens > 1 else None


def of_report(report: Mapping[str, Any]) -> tuple[Request, ...]:
    """The requests of a client's own detailed report, in the order of sending; empty where it has no details."""
    ttfts, itls = report.get("ttfts", []), report.get("itls", [])
    count = len(ttfts)
    if len(itls) != count:
        return ()
    starts = report.get("start_times") or [None] * count
    errors = report.get("errors") or [""] * count
    known = [start for start in starts if start is not None]
    first = min(known) if known else 0.0
    return tuple(
        Request(
            None if start is None else start - first, ttft, tuple(itl), input_len, output_len, error or ""
        )
        for start, ttft, itl, input_len, output_len, error in zip(
            starts, ttfts, itls, report["input_lens"], report["output_lens"], errors, strict=True
        )
    )


def read(folder: Path) -> tuple[Request, ...]:
    """The requests of a benchmark's folder (`--out`).

    Raises:
        UsageError: There is no client's report, or it is none.
    """
    path = folder / "client.json"
    try:
        return of_report(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no report of a benchmark client ({error}).") from None
