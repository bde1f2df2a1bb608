"""The report in a real browser: headless Chromium opens it without an error, and a screenshot shows the plots."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from revati.report import collect, numbers
from revati.report import page as page_writer

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
PLOTS = ("pareto", "cdf", "histogram", "goodput", "timeline", "gpu-time", "fluidity")


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    found = os.environ.get("REVATI_TEST_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.skip(
            "no Chromium; install it (Debian: apt-get install chromium-headless-shell), or set REVATI_TEST_CHROMIUM"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
        yield context.new_page()
        browser.close()


@pytest.fixture(scope="module")
def shown(swept: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep's report, with the GPU time that its engine, being a stand-in, does not spend."""
    subject = collect.collect([swept])
    for run in subject.runs:
        run.values["gpu_seconds_by_family"] = {"gemm": 3.0, "attention": 1.0}
        run.values["duration_sources"] = {
            "model": {"share": 0.75, "seconds": 3.0, "count": 10.0},
            "roofline": {"share": 0.25, "seconds": 1.0, "count": 10.0},
        }
    return page_writer.write(subject, numbers.Deadlines(0.03, 0.008), tmp_path_factory.mktemp("shown"), "1")


def test_opens_without_an_error_and_shows_plots(shown: Path, page: Page, tmp_path: Path) -> None:
    complaints: list[str] = []
    requests: list[str] = []
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(shown.as_uri(), timeout=120_000)
    page.wait_for_function(
        "() => document.querySelectorAll('.js-plotly-plot .main-svg').length > 0", timeout=120_000
    )
    assert page.title() == "Sweep shown - Revati"
    assert page.locator("#summary ~ .wide table").first.locator("tr").count() == 4
    for name in PLOTS:
        plot = page.locator(f"#plot-{name}")
        plot.scroll_into_view_if_needed(timeout=60_000)
        image = plot.screenshot(timeout=60_000)
        (tmp_path / f"{name}.png").write_bytes(image)
        assert coloured_share(image) > 0.001, f"the plot {name} shows nothing: {tmp_path}/{name}.png"
    assert not complaints
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


def coloured_share(png: bytes) -> float:
    """Of the pixels: lines and marks have a colour, axes and letters are grey, paper is white."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("HSV").resize((400, 300)))
    return float(((pixels[..., 1] > 90) & (pixels[..., 2] > 90)).mean())


def test_the_share_of_an_empty_plot() -> None:
    blank = io.BytesIO()
    Image.new("RGB", (300, 200), "white").save(blank, "PNG")
    assert coloured_share(blank.getvalue()) == 0
