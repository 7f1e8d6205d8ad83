"""Statistics of paired differences, against scipy, against theory, and calibrated by simulation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench import Array
from bench.reporting.compare.statistics import (
    Estimate,
    holm,
    jackknife_error,
    no_difference,
    over_batches,
    over_seeds,
    over_unpaired_batches,
    over_unpaired_seeds,
    reach,
    single,
)


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("n", [2, 3, 9])
def test_seeds_are_a_paired_t_test(n: int) -> None:
    a, b = np.random.default_rng(n).normal([[3.0], [3.5]], 1.0, (2, n))
    estimate, theirs = over_seeds(list(a), list(b)), stats.ttest_rel(b, a)
    limits = theirs.confidence_interval(0.95)
    assert (estimate.n, estimate.over, estimate.paired) == (n, "seeds", True)
    assert estimate.difference == near(np.mean(b - a))
    assert estimate.p == near(theirs.pvalue)
    assert estimate.interval == (near(limits.low), near(limits.high))


@pytest.mark.parametrize("n", [2, 3, 9])
def test_seeds_without_common_noise_are_welchs_t_test(n: int) -> None:
    a, b = np.random.default_rng(n).normal([[3.0], [3.5]], [[1.0], [4.0]], (2, n))
    estimate, theirs = over_unpaired_seeds(list(a), list(b)), stats.ttest_ind(b, a, equal_var=False)
    limits = theirs.confidence_interval(0.95)
    assert (estimate.n, estimate.over, estimate.paired) == (n, "seeds", False)
    assert estimate.p == near(theirs.pvalue)
    assert estimate.interval == (near(limits.low), near(limits.high))


def leave_out(metric: Callable[[Array], float], x: Array, groups: int) -> list[float]:
    """A metric of samples without each of so many equal groups of neighbors."""
    parts = np.split(x, groups)
    return [metric(np.concatenate(parts[:k] + parts[k + 1 :])) for k in range(groups)]


def test_batches_without_common_noise_are_welchs_t_test_of_group_means() -> None:
    generator = np.random.default_rng(5)
    a, b = generator.normal(size=60), generator.normal(0.4, 2.0, 60)
    estimate = over_unpaired_batches(
        mean(a), mean(b), leave_out(mean, a, 6), leave_out(mean, b, 4), [10] * 6, [15] * 4
    )
    groups = a.reshape(6, 10).mean(axis=1), b.reshape(4, 15).mean(axis=1)
    theirs = stats.ttest_ind(groups[1], groups[0], equal_var=False)
    assert (estimate.n, estimate.over, estimate.paired) == (4, "batches", False)
    assert estimate.p == near(theirs.pvalue)
    own = jackknife_error(mean(a), leave_out(mean, a, 6), [10] * 6)
    assert own == near(groups[0].std(ddof=1) / math.sqrt(6))


def test_the_reach_of_an_error_is_that_of_t_or_of_the_normal() -> None:
    assert reach(2.0, 3) == near(2 * stats.t.ppf(0.975, 3))
    assert reach(2.0) == near(2 * stats.norm.ppf(0.975))


def jackknifed(metric: Callable[[Array], float], a: Array, b: Array, sizes: list[int]) -> Estimate:
    """`over_batches` of a metric of samples (n,) in neighboring groups."""
    cuts = np.cumsum(sizes)[:-1]
    parts = [np.split(x, cuts) for x in (a, b)]
    x, y = ([metric(np.concatenate(p[:k] + p[k + 1 :])) for k in range(len(sizes))] for p in parts)
    return over_batches(metric(a), metric(b), x, y, sizes)


def mean(x: Array) -> float:
    return float(np.mean(x))


def test_the_jackknife_of_a_mean_is_the_t_test_of_group_means() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 60))
    estimate = jackknifed(mean, a, b, [10] * 6)
    differences = (b - a).reshape(6, 10).mean(axis=1)
    assert estimate.error == near(differences.std(ddof=1) / math.sqrt(6))
    assert estimate.p == near(stats.ttest_1samp(differences, 0).pvalue)
    assert (estimate.n, estimate.over, estimate.paired) == (6, "batches", True)


def test_groups_of_unequal_sizes_give_an_unbiased_variance() -> None:
    sizes, generator = [16, 16, 16, 5], np.random.default_rng(1)
    squares = []
    for _ in range(4000):
        x = generator.normal(0, 2, sum(sizes))
        squares.append((jackknifed(mean, np.zeros_like(x), x, sizes).error or 0.0) ** 2)
    # the mean of 53 samples of variance 4; five standard errors of the average
    assert abs(np.mean(squares) - 4 / 53) < 5 * np.std(squares) / math.sqrt(len(squares))


def simulated_seeds(generator: np.random.Generator, effect: float) -> Estimate:
    prior = generator.normal(size=5)
    a, b = (prior + generator.normal(shift, 0.7, 5) for shift in (0, effect))
    return over_seeds(list(a), list(b))


def simulated_unpaired_seeds(generator: np.random.Generator, effect: float) -> Estimate:
    a, b = (generator.normal(shift, sd, 12) for shift, sd in ((0, 1.0), (effect, 1.3)))
    return over_unpaired_seeds(list(a), list(b))


def simulated_batches(generator: np.random.Generator, effect: float) -> Estimate:
    """The standard deviation of samples that start from the same noise: smooth, not linear."""
    prior = generator.normal(size=800)
    a, b = ((1 + shift) * (prior + generator.normal(0, 0.3, 800)) for shift in (0, effect))
    return jackknifed(lambda x: float(np.std(x)), a, b, [100] * 8)


@pytest.mark.parametrize("simulated", [simulated_seeds, simulated_unpaired_seeds, simulated_batches])
def test_without_a_difference_p_is_uniform(
    simulated: Callable[[np.random.Generator, float], Estimate],
) -> None:
    generator = np.random.default_rng(2)
    estimates = [simulated(generator, 0.0) for _ in range(1500)]
    p = np.array([e.p for e in estimates], dtype=float)
    for level in (0.05, 0.2, 0.5, 0.8):
        low, high = stats.binom(len(p), level).interval(1 - 1e-4)
        assert low <= np.count_nonzero(p < level) <= high, level
    covered = [e.interval is not None and e.interval[0] <= 0 <= e.interval[1] for e in estimates]
    assert sum(covered) == np.count_nonzero(p >= 0.05)  # interval and p are one test


def test_a_difference_is_found_as_often_as_theory_says() -> None:
    generator, n, trials = np.random.default_rng(3), 5, 1500
    p_values = [simulated_seeds(generator, 1.5).p or 0.0 for _ in range(trials)]
    shift, reach = 1.5 / (0.7 * math.sqrt(2)) * math.sqrt(n), stats.t.ppf(0.975, n - 1)
    power = stats.nct.sf(reach, n - 1, shift) + stats.nct.cdf(-reach, n - 1, shift)
    low, high = stats.binom(trials, power).interval(1 - 1e-4)
    assert 0.5 < power < 0.99
    assert low <= sum(p < 0.05 for p in p_values) <= high


def test_no_spread_is_taken_at_its_word() -> None:
    for estimate in (
        over_seeds([1.5, 3.5], [1.5, 3.5]),
        over_batches(2.0, 2.0, [1.0, 3.0], [1.0, 3.0], [8, 8]),
    ):
        assert (estimate.difference, estimate.error, estimate.interval, estimate.p, estimate.n) == (
            0,
            0,
            (0, 0),
            1,
            2,
        )
    for always in (over_seeds, over_unpaired_seeds):
        estimate = always([30.0, 30.0], [60.0, 60.0])
        assert (estimate.difference, estimate.interval, estimate.p) == (30.0, (30.0, 30.0), 0.0)
    assert single(1.0, 3.0) == Estimate(2.0, 1)
    assert single(3.0, 3.0) == Estimate(0.0, 1)  # equal by chance, for all that is known
    assert (no_difference().interval, no_difference().p) == ((0.0, 0.0), 1.0)


def test_holm() -> None:
    assert holm([0.01, 0.04, None, 0.03]) == [near(0.03), near(0.06), None, near(0.06)]
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
