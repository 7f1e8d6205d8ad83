"""Benchmarks, not tests: ``pytest tests/benchmarks``. Ratios are within one run."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from tests.benchmarks import networks

NARROW = {
    name: dataclasses.replace(config, width=32, blocks=1)
    for name, config in networks.FULL.items()
    if not isinstance(config, networks.TinyConfig)
}
EAGER = [variant for variant in networks.ON_CPU if not variant.compile]


@pytest.mark.parametrize("variant", EAGER, ids=lambda variant: variant.name)
@pytest.mark.parametrize("name", NARROW)
def test_network(benchmark: BenchmarkFixture, name: str, variant: networks.Variant) -> None:
    """One predictor-corrector step, two network calls, of eight images on a narrow network."""
    model = networks.load(NARROW[name], variant, torch.device("cpu"))
    like = torch.empty(8, 3, 32, 32)
    benchmark.group = name
    benchmark.pedantic(networks.once, (model, variant, like, 1), rounds=5, warmup_rounds=1)
