"""The energy distance: double sums, closed forms, its error, what changes nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from bench import BenchError, MetricResult
from bench.types import Array
from bench_fid.energy import MMD, EnergyState
from tests.plugins.bench_fid.test_sliced import normal, single
from tests.support.metrics import context_of


def state_of(reference: Array, most: int = 5000) -> EnergyState:
    """The metric under way against items (m, *shape)."""
    state = MMD(most=most).start(context_of(torch.from_numpy(reference)))
    assert isinstance(state, EnergyState)
    return state


def result_of(samples: Array, reference: Array, sizes: int = 1000) -> MetricResult:
    """The metric's result on samples (n, *shape), in batches of a size."""
    state = state_of(reference)
    for part in torch.from_numpy(samples).float().split(sizes):
        state.update(part)
    return state.compute()


@pytest.mark.parametrize("shape", [(1,), (2,), (1, 4, 4), (3, 5, 7)])
def test_it_is_the_double_sum_over_distinct_pairs(shape: tuple[int, ...]) -> None:
    x, y = normal(1, 7, *shape), single(10 + 2 * normal(2, 9, *shape))
    a, b = x.reshape(7, -1), y.reshape(9, -1)
    expected = 2 * cdist(a, b).mean() - cdist(a, a).sum() / 42 - cdist(b, b).sum() / 72
    assert result_of(x, y, sizes=3).value == pytest.approx(expected, rel=1e-9)


def test_of_points_it_is_twice_their_distance() -> None:
    """All samples at one point, all items at another."""
    x, y = np.tile([0.0, 0.0], (6, 1)), np.tile([3.0, 4.0], (5, 1))
    result = result_of(x, y)
    assert result.value == pytest.approx(10, rel=1e-9)
    assert result.error == pytest.approx(0, abs=1e-9)


def test_of_normals_it_is_the_closed_form_without_bias() -> None:
    """In one dimension ``E|N(a, v)| = sqrt(2 v / pi) exp(-a^2 / 2 v) + a erf(a / sqrt(2 v))``, the mean over
    repeats of few samples; also of equal distributions, where the values go below zero."""

    def mean_norm(a: float, v: float) -> float:
        return math.sqrt(2 * v / math.pi) * math.exp(-(a**2) / (2 * v)) + a * math.erf(a / math.sqrt(2 * v))

    for shift, ratio in ((0.7, 1.4), (0.0, 1.0)):
        expected = 2 * mean_norm(shift, 1 + ratio**2) - mean_norm(0, 2 * ratio**2) - mean_norm(0, 2)
        values = [
            result_of(shift + ratio * normal(2 * k, 8, 1), normal(2 * k + 1, 6, 1)).value for k in range(300)
        ]
        assert abs(np.mean(values) - expected) < 4 * np.std(values) / math.sqrt(300)
        assert min(values) < 0


def test_the_error_is_the_spread_over_repeats_or_larger_at_equality() -> None:
    """Its factor at equal distributions is sqrt(2); elsewhere it tends to 1 as n grows."""
    for shift, low, high in ((0.0, 1.0, math.sqrt(2)), (1.0, 1.0, 1.1)):
        results = [result_of(shift + normal(2 * k, 60, 2), normal(2 * k + 1, 80, 2)) for k in range(120)]
        spread = np.std([result.value for result in results], ddof=1)
        mean = math.sqrt(np.mean([float(result.error or 0) ** 2 for result in results]))
        # a deviation of 120 values with the heavy upper tail of a quadratic form is known to a fifth
        assert low - 0.2 < mean / spread < high + 0.3


@given(seed=st.integers(0, 1000), n=st.integers(2, 20), m=st.integers(2, 20))
@settings(max_examples=15, deadline=None)
def test_it_is_symmetric_scales_and_has_no_order(seed: int, n: int, m: int) -> None:
    x, y = normal(seed, n, 2), normal(seed + 5000, m, 2) + 1
    value = result_of(x, y, sizes=7).value
    assert result_of(y, x).value == pytest.approx(value, rel=1e-9, abs=1e-12)
    assert result_of(2 * x, 2 * y).value == pytest.approx(2 * value, rel=1e-9, abs=1e-12)
    assert result_of(x[::-1].copy(), y[::-1].copy()).value == pytest.approx(value, rel=1e-9, abs=1e-12)


def test_values_without_a_group_are_those_measured_without_it() -> None:
    y = normal(0, 50, 2)
    batches = [torch.from_numpy(normal(k, size, 2)).float() for k, size in enumerate((5, 3, 8), start=1)]
    state = state_of(y)
    for batch in batches:
        state.update(batch)
    expected = []
    for i in range(3):
        rest = state_of(y)
        for k, batch in enumerate(batches):
            if k != i:
                rest.update(batch)
        expected.append(rest.compute().value)
    assert state.leave_one_out() == pytest.approx(expected, rel=1e-9)


def test_more_items_than_most_are_drawn() -> None:
    state = state_of(normal(0, 80, 2), most=30)
    for seed in (1, 2):
        state.update(torch.from_numpy(normal(seed, 25, 2)).float())
    result = state.compute()
    assert (result.n, result.details["rows"], result.details["reference_rows"]) == (50, 30, 30)
    assert state.leave_one_out() == []


def test_bad_samples_are_refused() -> None:
    state = state_of(normal(0, 8, 2))
    with pytest.raises(BenchError, match="needs at least 2 samples, not 0"):
        state.compute()
    with pytest.raises(BenchError, match="NaN"):
        state.update(torch.full((3, 2), math.nan))
    with pytest.raises(BenchError, match="its reference mine is of 2 items, the samples are 3"):
        MMD(reference="mine").check_reference((3,), context_of(torch.zeros(4, 2)))
