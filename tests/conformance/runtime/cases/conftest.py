"""The runtime under test, with a clean last error for every case."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from runtime_api import NATIVE, Kernel, Runtime


@pytest.fixture(scope="session")
def runtime() -> Runtime:
    return Runtime()


@pytest.fixture
def rt(runtime: Runtime) -> Iterator[Runtime]:
    runtime.ok("cudaSetDevice", 0)
    runtime.call("cudaGetLastError")
    yield runtime
    runtime.ok("cudaDeviceSynchronize")
    assert runtime.call("cudaGetLastError") == 0, "a case left an error behind"


@pytest.fixture(scope="session")
def kernel(runtime: Runtime) -> Kernel:
    return Kernel(runtime)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if NATIVE and "virtual_only" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="uses what only programs compiled by nvcc may use"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "virtual_only: cannot run on a real GPU")
