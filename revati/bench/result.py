"""The answer of a benchmark: a flat JSON object and a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

# The client's lists with an entry per request or token (they stay in client.json), and what depends on machine or date.
_LEFT_OUT = {
    "date",
    "tokenizer_id",
    "input_lens",
    "output_lens",
    "start_times",
    "ttfts",
    "itls",
    "generated_texts",
    "errors",
}


def merge(report: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """The client's own keys, and ours after them."""
    return {**{key: value for key, value in report.items() if key not in _LEFT_OUT}, **ours}


def write(result: dict[str, Any], path: Path) -> None:
    """Writes the result at once, so that nobody reads half of it."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(result, indent=2) + "\n")
    temporary.replace(path)


def print_table(result: dict[str, Any], console: Console) -> None:
    """Shows the figures that people compare."""
    title = f"{result['model']} on {result['gpus']} x {result['gpu']}, {result['engine']} {result['engine_version']}"
    latencies = Table(title=title, title_justify="left", box=None, pad_edge=False)
    latencies.add_column("milliseconds")
    statistics = ("mean", "median", "p90", "p99")
    for statistic in statistics:
        latencies.add_column(statistic, justify="right")
    for metric, label in (
        ("ttft", "time to first token"),
        ("tpot", "time per output token"),
        ("itl", "inter-token latency"),
        ("e2el", "end to end"),
    ):
        values = [result.get(f"{statistic}_{metric}_ms") for statistic in statistics]
        latencies.add_row(label, *("-" if value is None else f"{value:.2f}" for value in values))
    console.print(latencies)
    figures = Table(box=None, pad_edge=False, show_header=False)
    figures.add_column()
    figures.add_column(justify="right")
    kv_cache = result["kv_cache_tokens"]
    sources = ", ".join(
        f"{source} {entry['share']:.0%}" for source, entry in result["duration_sources"].items()
    )
    for label, value in (
        ("requests completed / failed", f"{result['completed']} / {result['failed']}"),
        ("output tokens per second", f"{result['output_throughput']:.1f}"),
        ("KV cache, tokens", f"{kv_cache:,}" if kv_cache else "unknown"),
        ("durations from", sources or "none recorded"),
        (
            "benchmark, virtual / real seconds",
            f"{result['virtual_seconds']:.1f} / {result['wall_seconds']:.1f}",
        ),
        ("start-up, real seconds", f"{result['startup_wall_seconds']:.1f}"),
    ):
        figures.add_row(label, value)
    console.print(figures)
