"""A pytest plugin, there as soon as Revati is installed: tests on virtual GPUs, with everything ended after each.

def test_two_gpus(emulate):
    emulation = emulate(gpu="h100-sxm", gpus=2)
    assert emulation.run([sys.executable, "train.py"]) == 0
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from revati.emulation import Emulation


def _emulate() -> Iterator[Callable[..., Emulation]]:
    from revati.emulation import Emulation  # noqa: PLC0415 (not for tests that do without)

    with contextlib.ExitStack() as stack:

        def start(*args: Any, **options: Any) -> Emulation:
            return stack.enter_context(Emulation(*args, **options))

        yield start


@pytest.fixture
def emulate() -> Iterator[Callable[..., Emulation]]:
    """Starts an `Emulation` that ends with the test; the arguments are those of `revati.Emulation`."""
    yield from _emulate()


@pytest.fixture(scope="module")
def emulate_module() -> Iterator[Callable[..., Emulation]]:
    """As `emulate`, for all tests of a module: a server takes a minute to start."""
    yield from _emulate()


@pytest.fixture(scope="session")
def emulate_session() -> Iterator[Callable[..., Emulation]]:
    """As `emulate`, for all tests."""
    yield from _emulate()
