"""The HTML file: one page, with plotly inside, that needs no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from revati.bench.figures import RequestLimits
from revati.report import collect, numbers, plots
from revati.report.collect import Subject
from revati.report.numbers import SOURCES, Deadlines


@dataclass(frozen=True)
class _Cell:
    text: str
    detail: str = ""
    kind: str = ""


@dataclass(frozen=True)
class _Section:
    id: str
    title: str
    note: str
    plot: Markup


def write(subject: Subject, deadlines: Deadlines, folder: Path, version: str) -> Path:
    """Writes `report.html`, `report.json`, `summary.csv` and `requests.csv`; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    limits = numbers.limits_of(subject)
    lines = [numbers.summary(run, limits, deadlines) for run in subject.runs]
    numbers.write_csv(lines, folder / "summary.csv")
    numbers.write_csv(numbers.request_lines(subject.runs, deadlines), folder / "requests.csv")
    collect.write_json(_document(subject, lines, deadlines), folder / "report.json")
    path = folder / "report.html"
    path.write_text(_render(subject, lines, limits, deadlines, version), encoding="utf-8")
    return path


def _document(subject: Subject, lines: Sequence[dict[str, Any]], deadlines: Deadlines) -> dict[str, Any]:
    return {
        "title": subject.title,
        "fluidity_deadlines_ms": {
            "first": deadlines.first_s * 1e3,
            "between": deadlines.between_s * 1e3,
        },
        "slo": subject.slo.model_dump(mode="json"),
        "runs": [
            {
                **line,
                "checks": run.checks,
                "capacity": run.capacity,
                "gpu_seconds": run.values.get("gpu_seconds", {}),
                "duration_sources": run.values.get("duration_sources", {}),
                "warnings": run.values.get("warnings", []),
                "timeline": vars(found) if (found := numbers.timeline(run.requests)) else None,
            }
            for line, run in zip(lines, subject.runs, strict=True)
        ],
        "failed": [{"configuration": label, "reason": reason} for label, reason in subject.failed],
    }


def _render(
    subject: Subject,
    lines: Sequence[dict[str, Any]],
    limits: RequestLimits | None,
    deadlines: Deadlines,
    version: str,
) -> str:
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        resources.files("revati.report").joinpath("page.html.j2").read_text()
    )
    columns, rows = _table(subject, lines)
    return template.render(
        title=subject.title,
        version=version,
        plotly_js=Markup(get_plotlyjs()),
        columns=columns,
        rows=rows,
        failed=subject.failed,
        sections=_sections(subject, lines, limits, deadlines),
        sources=SOURCES,
        confidence=[
            {
                "label": run.label,
                "shares": [f"{line[f'time_{source}']:.0%}" for source in SOURCES],
                "requests": len(run.requests),
                "warnings": len(run.values.get("warnings", [])),
            }
            for run, line in zip(subject.runs, lines, strict=True)
        ],
    )


_COLUMNS = (
    ("output_throughput", "tokens/s", 0),
    ("output_throughput_per_gpu", "tokens/s per GPU", 0),
    ("median_ttft_ms", "TTFT median, ms", 1),
    ("p99_ttft_ms", "TTFT p99, ms", 1),
    ("median_tpot_ms", "TPOT median, ms", 2),
    ("p99_tpot_ms", "TPOT p99, ms", 2),
    ("p99_itl_ms", "ITL p99, ms", 2),
    ("fluidity_mean", "fluidity", 3),
    ("good_share", "good requests", 3),
    ("goodput", "goodput, 1/s", 2),
    ("cost_per_million_output_tokens", "per million tokens", 2),
    ("highest_rate", "highest rate, 1/s", 2),
)


def _table(subject: Subject, lines: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[_Cell]]]:
    shown = [entry for entry in _COLUMNS if any(line.get(entry[0]) is not None for line in lines)]
    with_slo = any(line.get("meets_slo") is not None for line in lines)
    rows = []
    for line in lines:
        cells = [_Cell(line["configuration"])]
        for key, _, digits in shown:
            value = line.get(key)
            low, high = line.get(f"{key}_low95"), line.get(f"{key}_high95")
            detail = "" if low is None or high is None else f"{low:.{digits}f} - {high:.{digits}f}"
            sign = subject.currency if key.startswith("cost") else ""
            cells.append(_Cell("-" if value is None else f"{sign}{value:,.{digits}f}", detail))
        if with_slo:
            met = line.get("meets_slo")
            cells.append(_Cell("yes", kind="yes") if met else _Cell("no", kind="no"))
        rows.append(cells)
    return [
        "configuration",
        *(title for _, title, _ in shown),
        *(["meets the SLO"] if with_slo else []),
    ], rows


def _sections(
    subject: Subject, lines: Sequence[dict[str, Any]], limits: RequestLimits | None, deadlines: Deadlines
) -> list[_Section]:
    runs = [run for run in subject.runs if run.metrics_known]
    made: list[tuple[str, str, str, Callable[[], go.Figure | None]]] = [
        (
            "pareto",
            "Trade-offs",
            "Each point is a configuration; those on the dotted line are beaten by no other one in both. Bars: 95 % confidence. "
            "A cross does not meet the objectives.",
            lambda: plots.fronts(subject, lines),
        ),
        (
            "capacity",
            "Highest rate that meets the objectives",
            "Every trial of the search. Rates between the last circle and the first cross were not tried.",
            lambda: plots.capacity(subject.runs),
        ),
        (
            "cdf",
            "Latencies: cumulative",
            "The share of requests (of gaps between tokens for the inter-token latency) at or below a value.",
            lambda: plots.distributions(runs) if runs else None,
        ),
        (
            "histogram",
            "Latencies: distribution",
            "The share of requests or gaps in each of fifty steps; the last one holds everything above.",
            lambda: plots.histograms(runs) if runs else None,
        ),
        (
            "goodput",
            "Goodput",
            _goodput_note(limits),
            lambda: plots.goodput(subject, limits) if runs else None,
        ),
        (
            "timeline",
            "A run over time",
            "As the client saw it. KV cache: tokens of the prompts and answers of the running requests, as a share of what the engine "
            "allotted itself; prefixes that it keeps for later are not in it.",
            lambda: plots.timelines(runs),
        ),
        (
            "gpu-time",
            "Where GPU time went",
            "Virtual time of all GPUs during the load.",
            lambda: plots.gpu_time(subject.runs),
        ),
        (
            "fluidity",
            "Fluidity",
            "The fluidity index of Etalon (arXiv 2407.07000): the share of token deadlines that a request met, 1 - missed / deadlines. "
            f"The first token is due {deadlines.first_s * 1e3:g} ms after the request, every other one {deadlines.between_s * 1e3:g} ms "
            "after the one before; what comes early leaves its slack to those after it; what comes late misses its own deadline and one "
            "more for each period that it is later still, and starts anew without slack.",
            lambda: plots.fluidity(runs, deadlines) if runs else None,
        ),
    ]
    return [
        _Section(name, title, note, _embedded(chart, name))
        for name, title, note, make in made
        if (chart := make()) is not None
    ]


def _goodput_note(limits: RequestLimits | None) -> str:
    if limits is None:
        return ""
    parts = [
        f"{name.removesuffix('_ms').upper()} <= {value:g} ms" for name, value in vars(limits).items() if value
    ]
    return f"A good request keeps {', '.join(parts)}."


def _embedded(chart: go.Figure, name: str) -> Markup:
    config = {"displaylogo": False, "responsive": True}
    return Markup(
        chart.to_html(
            full_html=False,
            include_plotlyjs=False,
            include_mathjax=False,
            div_id=f"plot-{name}",
            config=config,
        )
    )
