"""Estimators of shipped GPUs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from revati import _native, catalogue

MakeEstimator = Callable[[str], _native.Estimator]


@pytest.fixture
def estimator() -> _native.Estimator:
    return _native.Estimator(catalogue.get("h100-sxm").device_conf(1))


@pytest.fixture
def make_estimator() -> MakeEstimator:
    return lambda name: _native.Estimator(catalogue.get(name).device_conf(1))
