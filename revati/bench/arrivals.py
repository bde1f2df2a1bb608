"""Replaying a recorded load: a CSV file of arrivals and lengths, as cloud providers publish them.

Known by their header lines:

- `TIMESTAMP,ContextTokens,GeneratedTokens`: the Azure LLM inference traces (github.com/Azure/AzurePublicDataset)
- `Timestamp,...,Request tokens,Response tokens,...`: BurstGPT (github.com/HPMLL/BurstGPT)
- `arrival_s,input_tokens,output_tokens`: your own
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from revati.errors import UsageError

# Arrival, tokens of the prompt, tokens of the answer.
_FORMATS = (
    ("TIMESTAMP", "ContextTokens", "GeneratedTokens"),
    ("Timestamp", "Request tokens", "Response tokens"),
    ("arrival_s", "input_tokens", "output_tokens"),
)


@dataclass(frozen=True)
class Arrival:
    """One request of a recorded load; `time_s` since the first one."""

    time_s: float
    input_tokens: int
    output_tokens: int


def read(path: Path, most: int | None = None, speed: float = 1.0) -> list[Arrival]:
    """Reads a recorded load, in the order of arrival.

    Args:
        path: The CSV file.
        most: So many of its requests, from the first on; all if left out.
        speed: 2.0 lets them come twice as fast.

    Raises:
        UsageError: It cannot be read, is of no known form, or one of its lines is wrong.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            columns = next((names for names in _FORMATS if set(names) <= set(rows.fieldnames or ())), None)
            if columns is None:
                known = "; ".join(",".join(names) for names in _FORMATS)
                raise UsageError(
                    f"{path}: unknown form of a recorded load; its first line must name the columns of one of: {known}."
                )
            found: list[Arrival] = []
            for row in rows:
                if most is not None and len(found) == most:
                    break
                arrival = _arrival(path, rows.line_num, [row[name] for name in columns])
                if arrival.output_tokens:  # a request that failed when it was recorded has none
                    found.append(arrival)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read as a recorded load: {error}.") from None
    if not found:
        raise UsageError(f"{path}: holds no request; below the names of the columns comes a line for each.")
    found.sort(key=lambda arrival: arrival.time_s)
    begin = found[0].time_s
    return [
        Arrival((arrival.time_s - begin) / speed, arrival.input_tokens, arrival.output_tokens)
        for arrival in found
    ]


def write_timed_trace(arrivals: Sequence[Arrival], path: Path) -> int:
    """Writes `arrivals` in the form of `vllm bench serve --dataset-name timed_trace`.

    Returns:
        Its chunk size: with the longest prompt as the size every prompt is one chunk of its own, so that no two begin alike.
    """
    lines = [
        json.dumps(
            {
                "timestamp": arrival.time_s,
                "input_length": arrival.input_tokens,
                "output_length": arrival.output_tokens,
                "hash_ids": [index],
            }
        )
        for index, arrival in enumerate(arrivals)
    ]
    path.write_text("\n".join(lines) + "\n")
    return max(arrival.input_tokens for arrival in arrivals)


def _arrival(path: Path, line: int, texts: Sequence[str | None]) -> Arrival:
    try:
        time_text, input_text, output_text = (text.strip() for text in texts if text is not None)
        arrival = Arrival(_seconds(time_text), int(float(input_text)), int(float(output_text)))
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{path}, line {line}: not a time and two numbers of tokens ({error}).") from None
    if arrival.input_tokens < 1 or arrival.output_tokens < 0:
        raise UsageError(f"{path}, line {line}: a prompt has at least one token, an answer at least none.")
    return arrival


def _seconds(text: str) -> float:
    """A number of seconds, or a date and time."""
    try:
        return float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
