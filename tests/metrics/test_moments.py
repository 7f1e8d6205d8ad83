"""Streaming moments at the size of real features, and the Fréchet distance of whatever covariances."""

from __future__ import annotations

import tracemalloc
import warnings

import numpy as np
import pytest
from scipy.linalg import sqrtm

from bench import Array, BenchError
from bench.metrics.frechet import frechet_distance
from bench.metrics.moments import Moments


def features(n: int, d: int, seed: int = 0, decades: float = 3.0) -> Array:
    """Rows (n, d) as a network's: positive means, correlated, of variances over some powers of ten."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(n, d))
    rows[:, 1:] += 0.7 * rows[:, :-1]
    return rows * 10 ** (-decades / 2 * np.arange(d) / d) + np.abs(generator.normal(size=d))


def relative(found: Array, expected: Array) -> float:
    """The largest difference of covariances beside the standard deviations it belongs to."""
    sd = np.sqrt(np.diag(expected))
    return float(np.abs((found - expected) / np.outer(sd, sd)).max())


@pytest.mark.parametrize("batch", [1, 64, 500, 5000])
def test_streamed_equals_two_pass_whatever_the_order(batch: int) -> None:
    n, d = (600, 64) if batch == 1 else (5000, 512)
    rows = features(n, d)
    covariance = np.cov(rows.T)
    generator = np.random.default_rng(batch)
    for order in (np.arange(n), generator.permutation(n)):
        moments = Moments()
        for first in range(0, n, batch):
            moments.add(rows[order[first : first + batch]].astype(np.float64))
        assert moments.n == n
        np.testing.assert_allclose(moments.mean, rows.mean(axis=0), rtol=1e-10)
        assert relative(moments.covariance(), covariance) < 1e-10
        assert (moments.covariance() == moments.covariance().T).all()


def test_far_from_zero_nothing_cancels() -> None:
    """A mean of 1e6 standard deviations: sums of squares would lose 12 of 16 digits."""
    rows = features(2000, 16)
    moments = Moments()
    for part in np.split(rows + 1e6, 40):
        moments.add(part)
    expected = np.cov((rows + 1e6).T)
    # the rows themselves are rounded to 1e6 eps
    assert relative(moments.covariance(), expected) < 1e-9


def test_rows_taken_out_again() -> None:
    rows = features(300, 20)
    whole, part = Moments(), Moments()
    whole.add(rows)
    part.add(rows[100:150])
    rest = np.delete(rows, np.s_[100:150], axis=0)
    left = whole.without(part)
    assert left.n == 250
    np.testing.assert_allclose(left.mean, rest.mean(axis=0), rtol=1e-12)
    assert relative(left.covariance(), np.cov(rest.T)) < 1e-12


def test_an_empty_batch_changes_nothing() -> None:
    moments = Moments()
    moments.add(np.zeros((0, 3)))
    rows = features(10, 3)
    moments.add(rows)
    moments.add(np.zeros((0, 3)))
    assert moments.n == 10
    np.testing.assert_allclose(moments.covariance(), np.cov(rows.T), rtol=1e-12)


def test_memory_does_not_grow_with_the_samples() -> None:
    rows = features(500, 256)
    peaks = []
    for batches in (2, 100):
        tracemalloc.start()
        moments = Moments()
        for _ in range(batches):
            moments.add(rows)
        moments.covariance()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # some Python objects; one more batch would be a megabyte
    assert peaks[1] < peaks[0] + 20_000


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
    found = frechet_distance(ma, ca, mb, cb)
    assert found == pytest.approx(by_factors(a, b), rel=1e-10)
    assert found == pytest.approx(by_square_root(a, b), rel=1e-6)
    assert frechet_distance(mb, cb, ma, ca) == pytest.approx(found, rel=1e-10)


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
