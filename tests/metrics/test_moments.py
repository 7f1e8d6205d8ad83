"""Streaming moments at the size of real features."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import Array, BenchError, Moments


def features(n: int, d: int, seed: int = 0, decades: float = 3.0) -> Array:
    """Rows (n, d) as a network's: positive means, correlated, of variances over some powers of ten."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(n, d))
    rows[:, 1:] += 0.7 * rows[:, :-1]
    return rows * 10 ** (-decades / 2 * np.arange(d) / d) + np.abs(generator.normal(size=d))


def relative(covariance: Array, expected: Array) -> float:
    """The largest difference of covariances beside the standard deviations it belongs to."""
    sd = np.sqrt(np.diag(expected))
    return float(np.abs((covariance - expected) / np.outer(sd, sd)).max())


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
    remainder = whole.without(part)
    assert remainder.n == 250
    np.testing.assert_allclose(remainder.mean, rest.mean(axis=0), rtol=1e-12)
    assert relative(remainder.covariance(), np.cov(rest.T)) < 1e-12


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


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(1, 199), max_size=6), seed=st.integers(0, 1000))
def test_streamed_moments_equal_two_pass(cuts: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(200, 5)) * [1, 10, 0.1, 1, 1] + [0, 100, 0, 1e3, -5]
    moments = Moments()
    for part in generator.permutation(len(parts := np.split(rows, sorted(set(cuts))))):
        moments.add(parts[part])
    assert moments.n == 200
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0), rtol=1e-10)
    # the covariance of columns of size 1e3 loses (1e3)^2 eps against their spread of one
    np.testing.assert_allclose(moments.covariance(), np.cov(rows.T), rtol=1e-9, atol=1e-9)


def test_one_sample_and_nan_are_refused() -> None:
    moments = Moments()
    moments.add(np.zeros((1, 3)))
    with pytest.raises(BenchError, match="at least 2"):
        moments.covariance()
    with pytest.raises(BenchError, match="NaN"):
        moments.add(np.full((2, 3), np.nan))


def test_merged_moments_are_those_of_all_rows() -> None:
    rows = features(300, 20) + 50
    merged = Moments()
    for part in (rows[:0], rows[:100], rows[100:101], rows[101:]):
        moments = Moments()
        moments.add(part)
        merged.merge(moments)
    assert merged.n == 300
    np.testing.assert_allclose(merged.mean, rows.mean(axis=0), rtol=1e-12)
    assert relative(merged.covariance(), np.cov(rows.T)) < 1e-10
    assert merged.trace() == pytest.approx(299 * np.trace(np.cov(rows.T)), rel=1e-12)
