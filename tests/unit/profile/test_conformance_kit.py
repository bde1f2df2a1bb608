"""Comparing native results of the conformance cases with the virtual GPU's."""

from __future__ import annotations

from pathlib import Path

from revati.profile import conformance


def test_only_what_differs_is_listed() -> None:
    found = {
        "a": {"outcome": "passed", "message": ""},
        "b": {"outcome": "failed", "message": "assert 1 == 2\nmore"},
        "c": {"outcome": "skipped", "message": "one GPU"},
        "d": {"outcome": "failed", "message": "known"},
    }
    lines = conformance.differences(found, {"d": {"outcome": "failed"}})
    assert lines == ["b: failed here, passed on the virtual GPU: assert 1 == 2"]


def test_outcomes_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "test_some.py"
    path.write_text(
        "import pytest\ndef test_good(): pass\ndef test_bad(): assert 1 == 2\n"
        "@pytest.mark.skip(reason='no')\ndef test_left(): pass\n"
    )
    outcomes = conformance.run_file(path, native=False)
    assert {name: result["outcome"] for name, result in outcomes.items()} == {
        "test_good": "passed",
        "test_bad": "failed",
        "test_left": "skipped",
    }
    assert "assert 1 == 2" in outcomes["test_bad"]["message"]


def test_a_file_that_cannot_be_imported_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "test_broken.py"
    path.write_text("raise SystemExit(3)\n")
    assert "error" in {result["outcome"] for result in conformance.run_file(path, native=False).values()}


def test_a_case_that_ends_its_process_costs_that_case_only(tmp_path: Path) -> None:
    path = tmp_path / "test_ends.py"
    path.write_text(
        "import os, time, pytest\ndef test_first(): pass\n@pytest.mark.parametrize('n', [0, 1])\n"
        "def test_middle(n):\n    if n == 0: os.abort()\ndef test_hangs(): time.sleep(60)\ndef test_last(): pass\n"
    )
    outcomes = conformance.run_file(path, native=False, timeout_s=5)
    assert {name: result["outcome"] for name, result in outcomes.items()} == {
        "test_first": "passed",
        "test_middle[0]": "failed",
        "test_middle[1]": "passed",
        "test_hangs": "failed",
        "test_last": "passed",
    }
    assert "killed by signal 6" in outcomes["test_middle[0]"]["message"]
    assert "hung" in outcomes["test_hangs"]["message"]


def test_a_fixture_that_fails_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "test_fixture.py"
    path.write_text(
        "import pytest\n@pytest.fixture\ndef bad(): raise OSError('no library')\ndef test_a(bad): pass\n"
        "@pytest.fixture\ndef late():\n    yield\n    assert False\ndef test_b(late): pass\n"
    )
    outcomes = conformance.run_file(path, native=False)
    assert {name: result["outcome"] for name, result in outcomes.items()} == {
        "test_a": "error",
        "test_b": "error",
    }
    assert "no library" in outcomes["test_a"]["message"]
