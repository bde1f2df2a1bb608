"""The driver under test, with a current context for each case."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from library import Library


@pytest.fixture(scope="session")
def driver() -> Library:
    library = Library("driver", (Path(__file__).parent / "driver.h").read_text(encoding="utf-8"))
    library.ok("cuInit", 0)
    return library


@pytest.fixture
def cu(driver: Library) -> Iterator[Library]:
    driver.ok("cuCtxSetCurrent", driver.get("cuDevicePrimaryCtxRetain", "void*", 0))
    yield driver
    driver.ok("cuCtxSynchronize")
    driver.ok("cuDevicePrimaryCtxRelease_v2", 0)


@pytest.fixture
def memory(cu: Library) -> Iterator[Any]:
    """64 KiB of device memory."""
    pointer = cu.get("cuMemAlloc_v2", "uint64_t", 1 << 16)
    yield pointer
    cu.ok("cuMemFree_v2", pointer)
