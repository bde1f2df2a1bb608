"""The plots of a report, with plotly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from revati.bench import figures
from revati.bench.figures import RequestLimits
from revati.report import numbers
from revati.report.collect import Run, Subject
from revati.report.numbers import SOURCES, Deadlines

_COLOURS = (
    "#3366cc",
    "#dc3912",
    "#ff9900",
    "#109618",
    "#990099",
    "#0099c6",
    "#dd4477",
    "#66aa00",
    "#b82e2e",
    "#316395",
)
_SOURCE_COLOURS = {"measured": "#2a7f3f", "model": "#6aa84f", "roofline": "#e6a23c", "guess": "#c0392b"}
_TITLES = {
    "ttft_ms": "time to first token, ms",
    "tpot_ms": "time per output token, ms",
    "itl_ms": "inter-token latency, ms",
    "e2el_ms": "end-to-end latency, ms",
}
_HISTOGRAM_BINS = 50
_SHORT = 48


def short(label: str) -> str:
    """A label that fits into a legend."""
    return label if len(label) <= _SHORT else f"{label[: _SHORT - 1]}…"


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]


def _style(chart: go.Figure, height: int) -> go.Figure:
    chart.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 60, "r": 20, "t": 50, "b": 50},
        legend={"orientation": "h", "y": -0.15, "yanchor": "top"},
    )
    return chart


def fronts(subject: Subject, lines: Sequence[dict[str, Any]]) -> go.Figure | None:
    """Throughput and cost against latencies; the line joins what no other configuration beats."""
    if len(lines) < 2:
        return None
    priced = all(line.get("cost_per_million_output_tokens") for line in lines)
    rows: list[tuple[str, str, float]] = [("output_throughput_per_gpu", "output tokens/s per GPU", 1.0)]
    if priced:
        rows.append(("cost_per_million_output_tokens", f"{subject.currency} per million output tokens", -1.0))
    chart = make_subplots(rows=len(rows), cols=2, horizontal_spacing=0.1, vertical_spacing=0.14)
    for row, (key, title, sign) in enumerate(rows, start=1):
        for column, latency in enumerate(("p99_ttft_ms", "median_tpot_ms"), start=1):
            known = [line for line in lines if line.get(key) is not None and line.get(latency) is not None]
            front = [known[i] for i in numbers.pareto([(sign * line[key], line[latency]) for line in known])]
            chart.add_trace(
                go.Scatter(
                    x=[line[latency] for line in front],
                    y=[line[key] for line in front],
                    mode="lines",
                    line={"color": "#999999", "dash": "dot"},
                    name="Pareto front",
                    showlegend=row == 1 and column == 1,
                    hoverinfo="skip",
                ),
                row=row,
                col=column,
            )
            for index, line in enumerate(lines):
                if line not in known:
                    continue
                chart.add_trace(
                    go.Scatter(
                        x=[line[latency]],
                        y=[line[key]],
                        mode="markers",
                        marker={
                            "size": 11,
                            "color": _colour(index),
                            "symbol": "x" if line.get("meets_slo") is False else "circle",
                        },
                        error_x={
                            "type": "data",
                            "symmetric": False,
                            "array": [line[f"{latency}_high95"] - line[latency]],
                            "arrayminus": [line[latency] - line[f"{latency}_low95"]],
                            "thickness": 1,
                        },
                        name=short(line["configuration"]),
                        legendgroup=line["configuration"],
                        showlegend=row == 1 and column == 1,
                    ),
                    row=row,
                    col=column,
                )
            statistic, _, metric = latency.partition("_")
            chart.update_xaxes(title_text=f"{statistic} {_TITLES[metric]}", row=row, col=column)
            chart.update_yaxes(title_text=title, row=row, col=column)
    return _style(chart, 420 * len(rows) + 60)


def distributions(runs: Sequence[Run]) -> go.Figure:
    """Cumulative shares of the four latencies."""
    chart = make_subplots(rows=2, cols=2, subplot_titles=[_TITLES[metric] for metric in figures.METRICS])
    for index, run in enumerate(runs):
        for place, metric in enumerate(figures.METRICS):
            values, shares = numbers.cdf(figures.values_of(run.requests, metric))
            chart.add_trace(
                go.Scatter(
                    x=values,
                    y=shares,
                    mode="lines",
                    line={"color": _colour(index), "shape": "hv"},
                    name=short(run.label),
                    legendgroup=run.label,
                    showlegend=place == 0,
                ),
                row=place // 2 + 1,
                col=place % 2 + 1,
            )
    chart.update_yaxes(range=[0, 1.02], tickformat=".0%")
    return _style(chart, 680)


def histograms(runs: Sequence[Run]) -> go.Figure:
    """How often each latency occurs."""
    chart = make_subplots(rows=2, cols=2, subplot_titles=[_TITLES[metric] for metric in figures.METRICS])
    for place, metric in enumerate(figures.METRICS):
        found = [figures.values_of(run.requests, metric) for run in runs]
        pooled = [value for values in found for value in values]
        if not pooled:
            continue
        # One extreme value must not squeeze all others into one bar.
        low, high = min(pooled), max(figures.percentile(pooled, 99.5), min(pooled) * 1.001, 1e-6)
        width = (high - low) / _HISTOGRAM_BINS or 1.0
        for index, (run, values) in enumerate(zip(runs, found, strict=True)):
            counts = [0] * (_HISTOGRAM_BINS + 1)
            for value in values:
                counts[min(_HISTOGRAM_BINS, int((value - low) / width))] += 1
            chart.add_trace(
                go.Scatter(
                    x=[low + (bin_ + 0.5) * width for bin_ in range(_HISTOGRAM_BINS + 1)],
                    y=[count / len(values) if values else 0 for count in counts],
                    mode="lines",
                    line={"color": _colour(index), "shape": "hvh"},
                    fill="tozeroy" if len(runs) == 1 else None,
                    name=short(run.label),
                    legendgroup=run.label,
                    showlegend=place == 0,
                ),
                row=place // 2 + 1,
                col=place % 2 + 1,
            )
    chart.update_yaxes(tickformat=".0%", rangemode="tozero")
    return _style(chart, 680)


def timelines(runs: Sequence[Run]) -> go.Figure | None:
    """Queue, batch and KV cache over virtual time, of the run that is chosen."""
    known = [(run, found) for run in runs if (found := numbers.timeline(run.requests)) is not None]
    if not known:
        return None
    chart = make_subplots(
        rows=3,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.06,
        subplot_titles=("waiting for the first token", "generating (batch)", "KV cache in use"),
    )
    for index, (run, found) in enumerate(known):
        cache = run.values.get("kv_cache_tokens")
        used = [tokens / cache for tokens in found.kv_tokens] if cache else found.kv_tokens
        for row, series in enumerate((found.queued, found.running, used), start=1):
            chart.add_trace(
                go.Scatter(
                    x=found.time_s,
                    y=series,
                    mode="lines",
                    line={"shape": "hv", "color": _colour(index)},
                    fill="tozeroy",
                    showlegend=False,
                    visible=index == 0,
                    name=short(run.label),
                ),
                row=row,
                col=1,
            )
    if len(known) > 1:
        chart.update_layout(
            updatemenus=[
                {
                    "buttons": [
                        {
                            "label": short(run.label),
                            "method": "update",
                            "args": [{"visible": [place // 3 == index for place in range(3 * len(known))]}],
                        }
                        for index, (run, _) in enumerate(known)
                    ],
                    "x": 0,
                    "xanchor": "left",
                    "y": 1.13,
                    "yanchor": "bottom",
                }
            ]
        )
    chart.update_xaxes(title_text="virtual seconds", row=3, col=1)
    if all(run.values.get("kv_cache_tokens") for run, _ in known):
        chart.update_yaxes(tickformat=".1%", row=3, col=1)
    chart.update_yaxes(rangemode="tozero")
    chart = _style(chart, 700)
    chart.update_layout(margin={"t": 110})
    return chart


def gpu_time(runs: Sequence[Run]) -> go.Figure | None:
    """Virtual GPU time by kernel family, and by where durations come from."""
    known = [run for run in runs if run.values.get("gpu_seconds") or run.values.get("gpu_seconds_by_family")]
    if not known:
        return None
    chart = make_subplots(rows=1, cols=2, subplot_titles=("by kernel family", "by source of the duration"))
    labels = [short(run.label) for run in known]
    families = [run.values.get("gpu_seconds_by_family", {}) for run in known]
    names = list(dict.fromkeys(name for found in families for name in found))
    for index, name in enumerate(names):
        _bar(chart, 1, labels, [found.get(name, 0.0) for found in families], name, _colour(index), "family")
    sources = [run.values.get("duration_sources", {}) for run in known]
    for source in SOURCES:
        seconds = [found.get(source, {}).get("seconds", 0.0) for found in sources]
        if any(seconds):
            _bar(chart, 2, labels, seconds, source, _SOURCE_COLOURS[source], "source")
    chart.update_layout(barmode="stack")
    chart.update_xaxes(title_text="GPU seconds")
    chart.update_yaxes(autorange="reversed")
    chart.update_yaxes(showticklabels=False, row=1, col=2)
    chart = _style(chart, 300 + 40 * len(known))
    chart.update_layout(legend={"orientation": "v", "x": 1.02, "y": 1, "yanchor": "top"})
    return chart


def _bar(
    chart: go.Figure, column: int, labels: list[str], values: list[float], name: str, colour: str, group: str
) -> None:
    bar = go.Bar(x=values, y=labels, name=name, orientation="h", marker={"color": colour}, legendgroup=group)
    chart.add_trace(bar, row=1, col=column)


def fluidity(runs: Sequence[Run], deadlines: Deadlines) -> go.Figure:
    """The index over requests at the given deadlines, and its mean over other deadlines between tokens."""
    chart = make_subplots(
        rows=1,
        cols=2,
        subplot_titles=(
            f"requests, at {deadlines.first_s * 1e3:g} ms and {deadlines.between_s * 1e3:g} ms",
            "mean, over the deadline between tokens",
        ),
    )
    tried = [
        deadlines.between_s * factor
        for factor in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 2)
    ]
    for index, run in enumerate(runs):
        values, shares = numbers.cdf(numbers.fluidity(run, deadlines))
        means = [
            figures.statistic(numbers.fluidity(run, Deadlines(deadlines.first_s, between_s)), "mean")
            for between_s in tried
        ]
        for column, (x, y) in enumerate(((values, shares), ([t * 1e3 for t in tried], means)), start=1):
            chart.add_trace(
                go.Scatter(
                    x=x,
                    y=y,
                    mode="lines",
                    line={"color": _colour(index), "shape": "hv" if column == 1 else "linear"},
                    name=short(run.label),
                    legendgroup=run.label,
                    showlegend=column == 1,
                ),
                row=1,
                col=column,
            )
    chart.update_xaxes(title_text="fluidity index", range=[0, 1.02], row=1, col=1)
    chart.update_xaxes(title_text="ms", row=1, col=2)
    chart.update_yaxes(title_text="share of requests", tickformat=".0%", range=[0, 1.02], row=1, col=1)
    chart.update_yaxes(title_text="mean index", range=[0, 1.02], row=1, col=2)
    return _style(chart, 440)


def goodput(subject: Subject, limits: RequestLimits | None) -> go.Figure | None:
    """The share of good requests, and how many a second."""
    if limits is None:
        return None
    chart = make_subplots(rows=1, cols=2, subplot_titles=("good requests", "good requests per second"))
    labels = [short(run.label) for run in subject.runs]
    shares = [figures.good_share(run.requests, limits) for run in subject.runs]
    rates = [
        share * len(run.requests) / run.values["virtual_seconds"]
        for share, run in zip(shares, subject.runs, strict=True)
    ]
    for column, values in enumerate((shares, rates), start=1):
        bar = go.Bar(x=values, y=labels, orientation="h", marker={"color": _COLOURS[0]}, showlegend=False)
        chart.add_trace(bar, row=1, col=column)
    if subject.slo.goodput is not None:
        chart.add_vline(x=subject.slo.goodput.share, line={"dash": "dot"}, row=1, col=1)
    chart.update_xaxes(tickformat=".0%", range=[0, 1.02], row=1, col=1)
    chart.update_yaxes(autorange="reversed")
    chart.update_yaxes(showticklabels=False, row=1, col=2)
    return _style(chart, 200 + 40 * len(labels))


def capacity(runs: Sequence[Run]) -> go.Figure | None:
    """The trials of each search: which rates met the objectives."""
    searched = [run for run in runs if run.capacity]
    if not searched:
        return None
    chart = go.Figure()
    for met, symbol, name in ((True, "circle", "meets the objectives"), (False, "x", "does not")):
        found = [
            (trial["rate"], short(run.label))
            for run in searched
            if run.capacity
            for trial in run.capacity["trials"]
            if trial["met"] == met
        ]
        chart.add_trace(
            go.Scatter(
                x=[rate for rate, _ in found],
                y=[label for _, label in found],
                mode="markers",
                marker={"symbol": symbol, "size": 10, "color": _COLOURS[0] if met else _COLOURS[1]},
                name=name,
            )
        )
    chart.update_xaxes(type="log", title_text="requests/s")
    chart.update_yaxes(autorange="reversed")
    return _style(chart, 220 + 40 * len(searched))
