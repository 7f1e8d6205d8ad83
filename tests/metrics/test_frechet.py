"""Fréchet distances of covariances of any rank, and per coordinate."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy.linalg import sqrtm

from bench import Array, BenchError, fd_diagonal, frechet_distance
from tests.metrics.test_moments import features


def statistics(rows: Array) -> tuple[Array, Array]:
    return rows.mean(axis=0), np.cov(rows.T)


def by_factors(a: Array, b: Array) -> float:
    """The distance from the rows themselves: no covariance, so nothing is squared on the way."""
    one, two = ((x - x.mean(axis=0)) / np.sqrt(len(x) - 1) for x in (a, b))
    cross = np.linalg.svd(one @ two.T, compute_uv=False).sum()
    mean = a.mean(axis=0) - b.mean(axis=0)
    return float(mean @ mean + (one**2).sum() + (two**2).sum() - 2 * cross)


def by_square_root(a: Array, b: Array) -> float:
    (ma, ca), (mb, cb) = statistics(a), statistics(b)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = np.real(np.trace(sqrtm(ca @ cb)))
    return float((ma - mb) @ (ma - mb) + np.trace(ca) + np.trace(cb) - 2 * root)


CASES = {
    "well-conditioned": (600, 700, 2.0),
    "ill-conditioned": (600, 700, 9.0),
    "singular to rounding": (600, 700, 16.0),
    "fewer samples than features": (80, 90, 2.0),
    "one of them of few samples": (80, 700, 2.0),
    "two samples": (2, 700, 2.0),
    "two samples of each": (2, 2, 2.0),
}


@pytest.mark.parametrize("case", CASES)
def test_distance_whatever_the_rank(case: str) -> None:
    n, m, decades = CASES[case]
    a, b = features(n, 150, 1, decades), 1.2 * features(m, 150, 2, decades)
    (ma, ca), (mb, cb) = statistics(a), statistics(b)
    distance = frechet_distance(ma, ca, mb, cb)
    assert distance == pytest.approx(by_factors(a, b), rel=1e-10)
    assert distance == pytest.approx(by_square_root(a, b), rel=1e-6)
    assert frechet_distance(mb, cb, ma, ca) == pytest.approx(distance, rel=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_same_set_twice_is_zero(case: str) -> None:
    n, _, decades = CASES[case]
    mean, covariance = statistics(features(n, 150, 1, decades))
    assert abs(frechet_distance(mean, covariance, mean, covariance)) < 1e-11 * np.trace(covariance)


def test_features_that_are_zero_or_of_one_set_alone() -> None:
    """Ranges that share some directions and not others: a product whose small eigenvalues are all noise."""
    for first, second in ((60, 40), (40, 80), (0, 30)):
        a, b = features(600, 120, 1), features(600, 120, 2)
        a[:, :first], b[:, second:] = 0, 0
        (ma, ca), (mb, cb) = statistics(a), statistics(b)
        assert frechet_distance(ma, ca, mb, cb) == pytest.approx(by_factors(a, b), rel=1e-10)
    still = np.zeros((30, 30))
    assert frechet_distance(np.ones(30), still, np.zeros(30), still) == 30
    assert frechet_distance(np.ones(30), still, np.zeros(30), np.eye(30)) == pytest.approx(60, rel=1e-12)


def test_gaussians_that_commute_in_closed_form() -> None:
    """``sum (m - m')^2 + (s - s')^2`` along shared axes, over ten decades."""
    generator = np.random.default_rng(0)
    axes = np.linalg.qr(generator.normal(size=(80, 80)))[0]
    one, two = 10 ** generator.uniform(-5, 0, 80), 10 ** generator.uniform(-5, 0, 80)
    mean = generator.normal(size=80)
    expected = mean @ mean + ((one - two) ** 2).sum()
    ca, cb = ((axes * sd**2) @ axes.T for sd in (one, two))
    assert frechet_distance(mean, ca, 0 * mean, cb) == pytest.approx(expected, rel=1e-9)


def test_a_covariance_with_negative_eigenvalues_is_refused() -> None:
    with pytest.raises(BenchError, match="negative eigenvalues"):
        frechet_distance(np.zeros(2), np.array([[1.0, 2.0], [2.0, 1.0]]), np.zeros(2), np.eye(2))


def test_frechet_distance_equals_matrix_square_root() -> None:
    generator = np.random.default_rng(0)
    a, b = (generator.normal(size=(300, 20)) @ generator.normal(size=(20, 20)) for _ in range(2))
    ca, cb = np.cov(a.T), np.cov(b.T)
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(ca + cb - 2 * np.real(sqrtm(ca @ cb)))
    assert frechet_distance(a.mean(0), ca, b.mean(0), cb) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_a_set_to_itself_is_zero_whatever_the_rank() -> None:
    rows = np.random.default_rng(0).normal(size=(10, 30))
    mean, covariance = rows.mean(0), np.cov(rows.T)
    # square roots of eigenvalues that are zero up to 30 eps: 30 of them at sqrt(30 eps) each
    assert abs(frechet_distance(mean, covariance, mean, covariance)) < 30 * np.sqrt(30 * np.finfo(float).eps)


def test_frechet_distance_of_gaussians_in_closed_form() -> None:
    one, two = np.diag([1.0, 4.0]), np.diag([9.0, 1.0])
    assert frechet_distance(np.zeros(2), one, np.array([3.0, 0.0]), two) == pytest.approx(
        9 + 4 + 1, rel=1e-12
    )


def test_statistics_of_other_features_are_refused() -> None:
    with pytest.raises(BenchError, match="not the same extractor"):
        frechet_distance(np.zeros(2), np.eye(2), np.zeros(3), np.eye(3))


def test_the_diagonal_distance_is_unbiased_and_its_error_is_that_of_repeats() -> None:
    """Normal coordinates of other means and spreads than the reference, over repeats of few samples."""
    d, n, repeats = 40, 30, 800
    generator = np.random.default_rng(0)
    shift, sd, variance = 0.3, np.linspace(0.5, 1.5, d), np.ones(d)
    truth = d * shift**2 + float(((sd - 1) ** 2).sum())
    values, errors = [], []
    for _ in range(repeats):
        x = shift + sd * generator.normal(size=(n, d))
        value, error = fd_diagonal(x.mean(axis=0), (x**2).sum(axis=0), n, variance)
        values.append(value)
        errors.append(error)
    spread = float(np.std(values, ddof=1))
    assert abs(np.mean(values) - truth) < 4 * spread / math.sqrt(repeats)
    # a standard deviation of 800 repeats is known to 1 / sqrt(1600) = 2.5 %; the delta method to some more
    assert np.mean(errors) == pytest.approx(spread, rel=0.15)


def test_the_diagonal_distance_needs_two_samples() -> None:
    with pytest.raises(BenchError, match="at least 2 samples, not 1"):
        fd_diagonal(np.zeros(3), np.zeros(3), 1, np.ones(3))


def sums(x: Array) -> tuple[Array, Array]:
    """Mean and sum of squares, row after row as a stream adds them."""
    total, squares = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for row in x:
        total, squares = total + row, squares + row**2
    return total / len(x), squares


@pytest.mark.parametrize("n", [2, 3, 64, 1000, 20_000])
def test_equal_samples_are_as_far_as_their_offset_and_the_reference_s_variance(n: int) -> None:
    """``sum o^2 + sum V``; rounding leaves some variances just below zero, others just above."""
    generator = np.random.default_rng(n)
    offset, variance = generator.normal(size=200), generator.uniform(0.1, 2, 200)
    mean, squares = sums(np.broadcast_to(offset, (n, 200)))
    assert n < 64 or ((squares - n * mean**2) < 0).any()
    value, error = fd_diagonal(mean, squares, n, variance)
    assert value == pytest.approx(float((offset**2).sum() + variance.sum()), rel=1e-12)
    assert error == 0


def test_coordinates_that_do_not_vary_beside_some_that_do() -> None:
    """Half the coordinates are equal in all samples; each half adds its own part."""
    n, d = 64, 50
    generator = np.random.default_rng(1)
    x = generator.normal(0.3, 1.2, size=(n, 2 * d))
    x[:, d:] = generator.normal(size=d)
    variance = generator.uniform(0.5, 2, 2 * d)
    mean, squares = sums(x)
    value, error = fd_diagonal(mean, squares, n, variance)
    varying, its_error = fd_diagonal(mean[:d], squares[:d], n, variance[:d])
    equal = float((x[0, d:] ** 2).sum() + variance[d:].sum())
    assert value == pytest.approx(varying + equal, rel=1e-12)
    assert error == pytest.approx(its_error, rel=1e-12)


def test_variances_of_any_size_have_finite_values_and_errors() -> None:
    for scale in (1e-160, 1e-100, 1e-12, 1e60):
        x = scale * np.random.default_rng(0).normal(size=(30, 5))
        for variance in (np.zeros(5), np.ones(5)):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert np.isfinite(fd_diagonal(*sums(x), 30, variance)).all()


def test_a_small_variance_that_is_not_rounding_counts() -> None:
    """A spread of 1e-5 about an offset of 1, far from a reference whose variance is as small."""
    x = 1 + 1e-5 * np.random.default_rng(0).normal(size=(500, 40))
    value, _ = fd_diagonal(x.mean(axis=0), (x**2).sum(axis=0), 500, np.full(40, 1e-10))
    shift = float((x.mean(axis=0) ** 2).sum())
    assert value - shift == pytest.approx(0, abs=1e-8)


def test_the_unbiased_distance_is_below_zero_about_half_the_time() -> None:
    """Draws of the reference itself: a value that is clipped would be too large on average."""
    generator = np.random.default_rng(0)
    values = []
    for _ in range(400):
        x = generator.normal(size=(50, 10))
        values.append(fd_diagonal(x.mean(axis=0), (x**2).sum(axis=0), 50, np.ones(10))[0])
    assert 0.3 < np.mean(np.array(values) < 0) < 0.8
    assert abs(np.mean(values)) < 4 * np.std(values) / 20


@pytest.mark.parametrize("case", CASES)
def test_the_distance_of_a_set_to_itself_is_not_below_zero(case: str) -> None:
    n, _, decades = CASES[case]
    for seed in range(6):
        mean, covariance = statistics(features(n, 60, seed, decades))
        assert 0 <= frechet_distance(mean, covariance, mean, covariance) < 1e-11 * np.trace(covariance)


def test_an_undefined_distance_stays_undefined() -> None:
    nan = np.array([np.nan, 0.0])
    assert math.isnan(frechet_distance(nan, np.eye(2), np.zeros(2), np.eye(2)))


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_the_distance_of_low_rank_to_the_unit_normal(rank: int) -> None:
    """``|m|^2 + sum (s_j - 1)^2`` with s_j = 0 in all but ``rank`` directions."""
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))[0][:, :rank]
    sd, mean = np.array([0.5, 3.0])[:rank], np.full(12, 0.25)
    expected = 12 * 0.0625 + 12 - rank + float(((sd - 1) ** 2).sum())
    value = frechet_distance(mean, (axes * sd**2) @ axes.T, np.zeros(12), np.eye(12))
    assert value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("ratio", [30, 300])
def test_diagonal_distance_of_means_many_deviations_away(ratio: int) -> None:
    """Sums of squares in float64 lose the digits of ratio^2, of sixteen; float32 would lose them all."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(500, 40)) + ratio).astype(np.float32).astype(np.float64)
    variance = np.exp(rng.normal(size=40))
    value, _ = fd_diagonal(x.mean(axis=0), (x**2).sum(axis=0), len(x), variance)
    moved, centered = ratio + (x - ratio).mean(axis=0), x - ratio
    v = ((centered - centered.mean(axis=0)) ** 2).sum(axis=0) / 499
    c4 = math.sqrt(2 / 499) * math.exp(math.lgamma(250) - math.lgamma(249.5))
    expected = moved**2 - v / 500 + v + variance - 2 * np.sqrt(variance * v) / c4
    spread = value - float((moved**2).sum())
    assert spread == pytest.approx(float((expected - moved**2).sum()), rel=1e-15 * 500 * ratio**2)
