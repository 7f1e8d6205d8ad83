"""The sliced Wasserstein distance: closed forms, quantiles by hand, true draws, what changes nothing."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.special import ndtri

from bench import BenchError, MetricResult
from bench.types import Array
from bench_fid.sliced import (
    SlicedState,
    SlicedWasserstein,
    floor_of,
    pairing,
    squared_distance,
    unit_directions,
)
from tests.support.metrics import context_of


def state_of(reference: Array, directions: int = 16, most: int = 10_000) -> SlicedState:
    """The metric under way against items (m, *shape)."""
    metric = SlicedWasserstein(directions=directions, most=most)
    state = metric.start(context_of(torch.from_numpy(reference)))
    assert isinstance(state, SlicedState)
    return state


def result_of(samples: Array, reference: Array, directions: int = 16, sizes: int = 1000) -> MetricResult:
    """The metric's result on samples (n, *shape), in batches of a size."""
    state = state_of(reference, directions)
    for part in torch.from_numpy(samples).float().split(sizes):
        state.update(part)
    return state.compute()


def normal(seed: int, *shape: int) -> Array:
    """Standard normal numbers, as float32 holds them."""
    return single(np.random.default_rng(seed).normal(size=shape))


def single(x: Array) -> Array:
    """The numbers rounded as float32 holds them."""
    return x.astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("shape", [(1,), (2,), (1, 4, 4), (3, 5, 7)])
def test_of_equal_sizes_it_pairs_sorted_projections(shape: tuple[int, ...]) -> None:
    """Against the best assignment of any, along each direction."""
    x, y = normal(1, 9, *shape), single(0.5 + 2 * normal(2, 9, *shape))
    theta = unit_directions(16, math.prod(shape))
    squares = []
    for direction in theta:
        costs = (x.reshape(9, -1) @ direction)[:, None] - (y.reshape(9, -1) @ direction)[None]
        rows, columns = linear_sum_assignment(costs**2)
        squares.append(float((costs[rows, columns] ** 2).mean()))
    assert result_of(x, y).value == pytest.approx(math.sqrt(np.mean(squares)), rel=1e-9)


@given(n=st.integers(1, 12), m=st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_steps_of_quantile_functions_go_together(n: int, m: int) -> None:
    """In fractions: at the middle of each step, quantile u of n numbers is the number of index floor(u n)."""
    pairs = pairing(n, m)
    inner = {Fraction(i, n) for i in range(1, n)} | {Fraction(j, m) for j in range(1, m)}
    ends = [Fraction(0), *sorted(inner), Fraction(1)]
    middles = [(a + b) / 2 for a, b in itertools.pairwise(ends)]
    assert pairs.a.tolist() == [math.floor(u * n) for u in middles]
    assert pairs.b.tolist() == [math.floor(u * m) for u in middles]
    lengths = [float(b - a) for a, b in itertools.pairwise(ends)]
    assert pairs.weight.tolist() == pytest.approx(lengths, rel=1e-12)


def test_unequal_sizes_are_as_if_each_item_came_as_often() -> None:
    x, y = normal(1, 6, 2), normal(2, 4, 2)
    together = result_of(np.repeat(x, 2, axis=0), np.repeat(y, 3, axis=0)).value
    assert result_of(x, y).value == pytest.approx(together, rel=1e-9)


@pytest.mark.parametrize(("shift", "ratio"), [(0.5, 1.0), (0.0, 1.6), (0.3, 0.7)])
def test_of_gaussians_it_is_the_closed_form(shift: float, ratio: float) -> None:
    """``m^2 + (s - 1)^2`` in one dimension, of n quantiles of N(m, s^2) and of N(0, 1)."""
    n = 4000
    quantiles = ndtri((np.arange(n) + 0.5) / n)[None]
    value = squared_distance(shift + ratio * quantiles, quantiles)
    # the tails beyond the outermost quantiles, a share 1 / n, hold less than 2 ln(n) / n of E x^2
    tails = (ratio - 1) ** 2 * 2 * math.log(n) / n
    assert value == pytest.approx(shift**2 + (ratio - 1) ** 2, abs=tails + 1e-12)


def test_draws_of_gaussians_come_near_the_closed_form() -> None:
    d, n = 3, 2000
    mean, ratio = np.array([0.4, -0.2, 0.1]), 1.3
    value = result_of(mean + ratio * normal(1, n, d), normal(2, n, d), directions=64).value
    theta = unit_directions(64, d)
    expected = float(((theta @ mean) ** 2).mean()) + (ratio - 1) ** 2
    # the error of the two means and the two deviations, by the delta method, four times over
    spread = math.sqrt((1 + ratio**2) / n) * 2 * (np.abs(theta @ mean).mean() + abs(ratio - 1))
    assert abs(value**2 - expected) < 4 * spread


def test_a_shift_adds_its_square_per_dimension() -> None:
    """Over all directions ``E (m . theta)^2 = |m|^2 / d``."""
    theta = unit_directions(20_000, 5)
    shift = np.array([1.0, 2.0, 0.0, -1.0, 0.5])
    squares = (theta @ shift) ** 2
    assert abs(squares.mean() - (shift**2).sum() / 5) < 4 * squares.std() / math.sqrt(len(theta))
    np.testing.assert_allclose(np.linalg.norm(theta, axis=1), 1, rtol=1e-12)


@given(seed=st.integers(0, 1000), n=st.integers(2, 20), m=st.integers(2, 20))
@settings(max_examples=15, deadline=None)
def test_a_distance_is_symmetric_scales_and_has_no_order(seed: int, n: int, m: int) -> None:
    x, y = normal(seed, n, 2), normal(seed + 5000, m, 2) + 1
    value = result_of(x, y, sizes=7).value
    assert result_of(y, x).value == pytest.approx(value, rel=1e-9)
    assert result_of(2 * x, 2 * y).value == pytest.approx(2 * value, rel=1e-9)
    assert result_of(x[::-1].copy(), y[::-1].copy()).value == pytest.approx(value, rel=1e-12)
    assert result_of(x, x).value == 0


def test_true_draws_have_about_the_floor() -> None:
    """The mean square of the values of true draws over repeats, and that of the floors, at three numbers of
    samples; both have expectation about ``J (1/n + 1/m)``."""
    m = 600
    for n in (40, 200):
        squares = {"draws": [], "floor": []}  # type: dict[str, list[float]]
        for seed in range(40):
            result = result_of(normal(2 * seed, n, 2), normal(2 * seed + 1, m, 2), directions=4)
            assert result.floor is not None
            squares["draws"].append(result.value**2)
            squares["floor"].append(result.floor**2)
            assert bool(result.note) == (result.value <= result.floor)
        means = {name: float(np.mean(values)) for name, values in squares.items()}
        errors = [float(np.std(values)) / math.sqrt(40) for values in squares.values()]
        # log log n of the Gaussian's tails changes the rate by less than a tenth between n and m / 2
        assert abs(means["draws"] - means["floor"]) < 4 * math.hypot(*errors) + 0.1 * means["draws"]


def test_the_floor_does_not_see_how_the_reference_is_sorted() -> None:
    """Sorted items, such as classes one after the other, are split at random."""
    rows = normal(3, 400, 2)
    order = np.argsort(rows[:, 0])
    samples = normal(4, 100, 2)
    plain, ordered = (result_of(samples, part).floor for part in (rows, rows[order]))
    assert plain is not None
    assert ordered is not None
    assert 0.5 < ordered / plain < 2
    halves = np.sort(rows[order].T, axis=1)
    assert ordered < 0.2 * math.sqrt(squared_distance(halves[:, :200], halves[:, 200:]))


def test_the_floor_of_two_items_is_their_distance() -> None:
    assert floor_of(np.array([[0.0], [3.0]]), 1) == pytest.approx(3 * math.sqrt((1 + 0.5) / 2))


def test_the_error_is_the_spread_over_repeats() -> None:
    y = normal(0, 500, 2)
    results = [result_of(0.5 + normal(seed, 160, 2), y, directions=8) for seed in range(1, 61)]
    spread = np.std([result.value for result in results], ddof=1)
    errors = np.array([result.error for result in results], dtype=float)
    # a deviation of 60 is known to 1 / sqrt(118); the jackknife's square is unbiased or larger
    assert 1 - 4 / math.sqrt(118) < math.sqrt((errors**2).mean()) / spread < 1.3


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
    assert state.leave_one_out() == pytest.approx(expected, rel=1e-12)


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


def test_what_it_takes_is_checked_before_anything_is_sampled() -> None:
    context = context_of(torch.zeros(4, 2))
    SlicedWasserstein(reference="mine").check_reference((2,), context)
    with pytest.raises(BenchError, match="its reference mine is of 2 items, the samples are 3: name data"):
        SlicedWasserstein(reference="mine").check_reference((3,), context)
    with pytest.raises(
        BenchError, match="10000 directions in 3x128x128 are more than 134217728 numbers: lower"
    ):
        SlicedWasserstein(directions=10_000).check_reference((3, 128, 128), context)


def test_its_label_names_what_differs() -> None:
    assert SlicedWasserstein().label == "sliced_wasserstein"
    assert SlicedWasserstein(reference="eight_gaussians").label == "sliced_wasserstein-eight_gaussians"
    assert SlicedWasserstein(directions=64).label == "sliced_wasserstein-directions_64"
