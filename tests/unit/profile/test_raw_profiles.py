"""What is committed under `profiles/raw` was measured on a real GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from revati.profile import files

RAW = Path(__file__).parents[3] / "profiles" / "raw"
PROFILES = [path for path in sorted(RAW.rglob("*.jsonl*")) if path.is_file()]


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: str(path.relative_to(RAW)))
def test_raw_profiles_are_real_and_readable(path: Path) -> None:
    header, records = files.read(path)
    assert records
    assert not header.notes.get("virtual"), "a dry run of the kit is no measurement"
    assert "virtual" not in header.source


def test_the_folder_is_there() -> None:
    assert (RAW.parent / "README.md").is_file()
