"""Fréchet distances of parts of a sample: the limit of infinitely many samples, bootstrap intervals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import Array, BenchError, Moments, frechet_distance

SIZES = 15
"""Number of sample sizes that the line is fitted to."""
FEWEST = 20
"""Samples that a fit needs."""
CHUNK = 5000
"""Rows that are converted to float64 at a time."""

Rows = NDArray[np.float32]
Statistic = Callable[[Rows], float]


def distance_to(mean: Array, covariance: Array) -> Statistic:
    """The Fréchet distance of rows (n, d) to a reference, with moments in float64."""

    def distance(rows: Rows) -> float:
        moments = Moments()
        for start in range(0, len(rows), CHUNK):
            moments.add(rows[start : start + CHUNK].astype(np.float64))
        return frechet_distance(moments.mean, moments.covariance(), mean, covariance)

    return distance


@dataclasses.dataclass(frozen=True)
class Line:
    """``D(n) = value + slope / n`` by least squares.

    ``fit_error`` is the standard error of ``value`` from the fit, not over samples: the points share samples.
    """

    value: float
    slope: float
    r2: float
    fit_error: float
    points: list[tuple[int, float]]

    def plain(self) -> dict[str, Any]:
        """As JSON data for the record."""
        return dataclasses.asdict(self) | {"points": [list(point) for point in self.points]}


def sizes(n: int, d: int) -> list[int]:
    """At most ``SIZES`` sample sizes, evenly spaced up to n.

    They begin at n / 10, the paper's 5,000 of 50,000, or at 2 d where that is more, as at smaller sizes the
    distance is not straight in 1/n; at n / 2 where 2 d exceeds it.
    """
    if n < FEWEST:
        raise BenchError(f"an extrapolation to infinitely many samples needs at least {FEWEST}, not {n}")
    first = max(n // 10, min(2 * d, n // 2))
    return sorted({int(size) for size in np.linspace(first, n, SIZES)})


def extrapolate(rows: Rows, distance: Statistic, seed: int = 0) -> Line:
    """The limit of infinitely many samples (Chong and Forsyth 2020, section 4).

    Each point is the mean over all disjoint random subsets of that size, where the paper takes one: the same
    expectation with less noise. Rows (n, d).
    """
    rng = np.random.default_rng(seed)
    points = []
    for size in sizes(*rows.shape):
        order = rng.permutation(len(rows))
        parts = [order[i * size : (i + 1) * size] for i in range(len(rows) // size)]
        points.append((size, float(np.mean([distance(rows[part]) for part in parts]))))
    return fit(points)


def fit(points: list[tuple[int, float]]) -> Line:
    """A straight line in 1/n through (n, value)."""
    n, y = np.array(points, dtype=np.float64).T
    x = 1 / n
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread
    value = float(y.mean() - slope * x.mean())
    residual, total = float(((y - value - slope * x) ** 2).sum()), float(((y - y.mean()) ** 2).sum())
    error = np.sqrt(residual / max(len(points) - 2, 1) * (1 / len(points) + x.mean() ** 2 / spread))
    return Line(value, slope, 1 - residual / total if total else 1.0, float(error), points)


def bootstrap_interval(
    rows: Rows, statistic: Statistic, value: float, replicates: int, seed: int = 0
) -> dict[str, float]:
    """95 % percentile interval over samples (Efron 1979): rows (n, d) resampled with replacement.

    Resampling adds the bias of n samples a second time, so that the replicates are too high by about that
    bias: the interval is moved by ``value - mean of the replicates``; ``shift`` is the excess of that mean
    over the value. It is an interval for the expectation at n samples, whose bias stays in, and too wide
    where that bias is a large part of the value.
    """
    rng = np.random.default_rng(seed)
    draws = (rng.integers(0, len(rows), size=len(rows)) for _ in range(replicates))
    values = np.array([statistic(rows[draw]) for draw in draws])
    shift = float(values.mean() - value)
    low, high = (float(q) - shift for q in np.quantile(values, (0.025, 0.975)))
    return {
        "replicates": replicates,
        "low": low,
        "high": high,
        "sd": float(values.std(ddof=1)),
        "shift": shift,
    }
