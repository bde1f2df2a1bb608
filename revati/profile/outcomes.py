"""A pytest plugin: writes what becomes of each case at once. A case that ends its process then takes no other along."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

VARIABLE = "REVATI_OUTCOMES"

_found: dict[str, tuple[str, str]] = {}


def _write(**line: str) -> None:
    with Path(os.environ[VARIABLE]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def pytest_runtest_logstart(nodeid: str) -> None:
    """A case begins."""
    _found.pop(nodeid, None)
    _write(kind="begin", case=nodeid)


def pytest_runtest_logreport(report: Any) -> None:
    """One of its phases is over; anything but a success in the call itself is an error or a skip."""
    if report.outcome == "passed":
        _found.setdefault(report.nodeid, ("passed", ""))
        return
    outcome = "error" if report.failed and report.when != "call" else report.outcome
    _found[report.nodeid] = (outcome, _reason(report))


def pytest_runtest_logfinish(nodeid: str) -> None:
    """A case is over."""
    outcome, message = _found.get(nodeid, ("error", "no report"))
    _write(kind="end", case=nodeid, outcome=outcome, message=message)


def pytest_collectreport(report: Any) -> None:
    """A file that cannot be imported."""
    if report.failed:
        _write(kind="end", case="(the file)", outcome="error", message=_reason(report))


def pytest_sessionfinish() -> None:
    """Nothing is left to run."""
    _write(kind="over")


def _reason(report: Any) -> str:
    if isinstance(report.longrepr, tuple):  # a skip: file, line, reason
        return str(report.longrepr[2])
    crash = getattr(getattr(report.longrepr, "reprcrash", None), "message", "")
    return f"{crash}\n{report.longreprtext[-1500:]}".strip()
