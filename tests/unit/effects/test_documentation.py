"""docs/effects.md names every kernel and functor that the tables in native/effects know."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def known_names() -> list[str]:
    names: set[str] = set()
    for source in sorted((ROOT / "native" / "effects").glob("*.cpp")):
        text = source.read_text()
        names.update(re.findall(r'^\s*\{\s*"(\w+\*?)",', text, flags=re.MULTILINE))
        names.update(re.findall(r'\{"(\w+\*?)", (?:\d|Operation|\w+,)', text))
    return sorted(names)


def test_the_tables_are_found() -> None:
    assert len(known_names()) > 50


@pytest.mark.parametrize("name", known_names())
def test_is_documented(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "effects.md").read_text()
