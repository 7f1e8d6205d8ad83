"""Benchmarks, not tests: ``pytest tests/benchmarks``. Ratios are within one run."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.benchmarks import overhead


@pytest.mark.parametrize("size", overhead.SIZES, ids=lambda s: "x".join(map(str, s)))
def test_step(benchmark: BenchmarkFixture, size: tuple[int, ...]) -> None:
    """A predictor-corrector step over a free network; ``ratio`` is against the floor."""
    cost = overhead.step_cost(size, rounds=5)
    benchmark.extra_info["ratio"] = cost.ratio
    benchmark.extra_info["allowed"] = overhead.ALLOWED[size[2]]
    benchmark.group = f"step {size}"
    benchmark(overhead.step_loop(size, 25))


@pytest.mark.parametrize("size", overhead.SIZES, ids=lambda s: "x".join(map(str, s)))
def test_floor(benchmark: BenchmarkFixture, size: tuple[int, ...]) -> None:
    """The floor: two normal draws and two fused passes."""
    benchmark.group = f"step {size}"
    benchmark(overhead.floor_loop(size, 25))


@pytest.mark.parametrize("size", overhead.SIZES, ids=lambda s: "x".join(map(str, s)))
def test_plain(benchmark: BenchmarkFixture, size: tuple[int, ...]) -> None:
    """A plain loop over a run's steps; ``ratio`` is the run's, with its hooks and no condition."""
    benchmark.extra_info["ratio"] = overhead.step_cost(size, rounds=5, against=overhead.plain_loop).ratio
    benchmark.group = f"step {size}"
    benchmark(overhead.plain_loop(size, 25))


def test_network_share(benchmark: BenchmarkFixture) -> None:
    """Share of time in cifar10-tiny's network at batch 64."""
    benchmark.extra_info["share"] = benchmark.pedantic(overhead.network_share, rounds=1)
