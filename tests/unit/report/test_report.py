"""The numbers of a report."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from revati.bench import Request, figures
from revati.bench.answer import BenchResult
from revati.errors import UsageError
from revati.report import collect, numbers
from revati.sweep.schema import Slo

from .conftest import revati


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_same_numbers_everywhere(swept: Path, reported: Path) -> None:
    lines = table(reported / "summary.csv")
    document = json.loads((reported / "report.json").read_text())
    assert [line["configuration"] for line in lines] == [run["configuration"] for run in document["runs"]]
    assert len(lines) == 3
    page = (reported / "report.html").read_text()
    for line, run, folder in zip(lines, document["runs"], _folders(swept), strict=True):
        result = BenchResult.read(folder)
        ttfts = [request.ttft_s * 1e3 for request in result.requests]
        p99 = figures.percentile(ttfts, 99)
        assert float(line["p99_ttft_ms"]) == pytest.approx(p99)
        assert run["p99_ttft_ms"] == pytest.approx(p99)
        assert f">{p99:,.1f} <" in page
        assert run["p99_ttft_ms_low95"] <= p99 <= run["p99_ttft_ms_high95"]
        good = [r for r in result.requests if r.ttft_s <= 0.03 and (r.tpot_s or 0) <= 0.008]
        assert run["good_share"] == pytest.approx(len(good) / 40)
        assert run["goodput"] == pytest.approx(len(good) / result.virtual_seconds)
        assert run["cost_per_hour"] == pytest.approx(3.6 * result.gpus)
        fluid = [figures.fluidity(request, 0.03, 0.008) for request in result.requests]
        assert run["fluidity_mean"] == pytest.approx(sum(fluid) / 40)
    assert len(table(reported / "requests.csv")) == 3 * 40
    (failed,) = document["failed"]
    assert "the model does not fit" in failed["reason"]
    assert "the model does not fit" in page


def _folders(swept: Path) -> list[Path]:
    from revati.sweep.store import Store

    with Store(swept, writing=False) as store:
        return [swept / row.id for row in store.rows() if row.state == "done"]


def test_nothing_from_the_network(reported: Path) -> None:
    page = (reported / "report.html").read_text()
    without_plotly = re.sub(r"<script>/\*\*.*?</script>", "", page, count=1, flags=re.DOTALL)
    assert len(without_plotly) < len(page) / 2
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)""", without_plotly)
    assert "normalized" not in without_plotly.lower()


def test_labels_are_text(tmp_path: Path) -> None:
    from revati.report import page

    values = {"gpus": 1, "output_throughput": 1.0, "virtual_seconds": 1.0}
    run = collect.Run("<b>bold</b>", values, (request(0, 0.1, 0.1),), [], None, None, None)
    subject = collect.Subject("<script>", [run], [("<i>", "<u>")], Slo(), "$")
    text = page.write(subject, numbers.Deadlines(0.5, 0.05), tmp_path, "1").read_text()
    body = text[text.index("</script>") :]
    assert "&lt;b&gt;bold" in body
    for tag in ("<b>bold", "<i>", "<u>"):
        assert tag not in re.sub(r"<script.*?</script>", "", body, flags=re.DOTALL)


def request(start_s: float, ttft_s: float, *itls_s: float) -> Request:
    return Request(start_s, ttft_s, itls_s, 10, len(itls_s) + 1)


def test_timeline() -> None:
    found = numbers.timeline([request(0, 1, 1), request(0.5, 1.0, 1)])
    assert found
    assert found.time_s == [0, 0.5, 1, 1.5, 2, 2.5]
    assert found.queued == [1, 2, 1, 0, 0, 0]
    assert found.running == [0, 0, 1, 2, 1, 0]
    assert found.kv_tokens == [0, 0, 11, 22, 11, 0]
    assert numbers.timeline([Request(None, 1.0, (), 1, 1)]) is None


def test_pareto() -> None:
    points = [(1.0, 1.0), (2.0, 2.0), (3.0, 5.0), (1.5, 3.0), (2.5, 5.0), (0.5, 1.0)]
    assert numbers.pareto(points) == [0, 1, 2]


def test_interval_narrows_with_requests() -> None:
    def width(count: int) -> float:
        found = numbers.figure(
            [request(0, (i * 7919 % 1000) / 1000) for i in range(count)], "ttft_ms", "median"
        )
        assert found
        assert found.low <= found.value <= found.high
        return found.high - found.low

    assert width(1000) < width(20) / 3
    assert numbers.figure([], "ttft_ms", "mean") is None


def test_two_benchmarks(swept: Path, tmp_path: Path) -> None:
    folders = [str(folder) for folder in _folders(swept)[:2]]
    done = revati("report", *folders, "--out", str(tmp_path), "--ttft-ms", "20", "--itl-ms", "5")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads((tmp_path / "report.json").read_text())
    assert document["title"] == "2 benchmarks"
    assert document["fluidity_deadlines_ms"] == {"first": 20, "between": 5}


def test_plotly_is_optional(tmp_path: Path) -> None:
    code = "import sys; sys.modules['plotly'] = None; from revati.cli import main; main()"
    command = [sys.executable, "-P", "-c", code, "report", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 3
    assert "pip install 'revati[report]'" in done.stderr


def test_what_is_no_subject(swept: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a sweep nor a benchmark"):
        collect.collect([tmp_path])
    with pytest.raises(UsageError, match="a report is about one sweep"):
        collect.collect([swept, tmp_path])
    done = revati("report", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("revati: ")
