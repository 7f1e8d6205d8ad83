"""Precision and recall: samples and data, each within the other's neighborhoods."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench import (
    Array,
    BenchError,
    Features,
    FeatureState,
    MetricContext,
    MetricResult,
    param,
    share_error,
    wilson_interval,
)
from bench_fid.rows import RowMetric, RowSample

CHUNK = 500
"""Rows of a distance matrix that are computed at a time."""


class Manifolds(RowMetric):
    """A share of points within the union of balls about the other side's, each up to its k-th neighbor.

    Stores features of at most ``most`` samples, 4 d bytes each; distances are in float64. The two metrics of
    a run share one computation.
    """

    direction = "higher"
    value_kind = "share"
    axis = "linear"
    min_samples = 10_000
    bias = "depends on n of both sides (equal distributions stay below 1): compare at equal n alone"

    k: int = param(default=3, low=1, help="neighbors that a ball reaches to")
    most: int = param(default=10_000, low=2, help="points of each side; drawn at random where there are more")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.most <= self.k:
            raise BenchError(f"{self.name}.most must be more than its k, which is {self.k}, not {self.most}")

    @property
    def fewest_samples(self) -> int:
        return self.k + 1

    def begin(self, context: MetricContext) -> FeatureState:
        rows = self.rows(context)
        if len(rows) <= self.k:
            raise BenchError(
                f"{self.name} needs more rows of the reference than its k, {self.k}, not {len(rows)}"
            )
        if len(rows) > self.most:
            rows = rows[np.random.default_rng(0).permutation(len(rows))[: self.most]]
        return _ManifoldShare(rows, self.name, self.k, self.most, context)


class Precision(Manifolds):
    """Share of samples within the data's k-nearest-neighbor balls (Kynkäänniemi et al. 2019, eq. 1, 2).

    At most ``most`` samples and rows of the reference, 4 d bytes each. The error is the binomial one over
    samples, for a fixed reference; the interval is Wilson's.

    It does not see whether samples look like data. An outlier of the data has a large ball, and balls that
    large hold much that is far from all data: on ``cifar10-features`` uniform noise has a precision of 0.96.
    Nor does it see how often a sample comes: equal copies of one good image have a precision of 1. Read it
    beside recall and a Fréchet distance.
    """

    name = "precision"


class Recall(Manifolds):
    """Share of the data within the samples' k-nearest-neighbor balls (Kynkäänniemi et al. 2019, eq. 1, 2).

    At most ``most`` samples and rows of the reference, 4 d bytes each.

    It does not see the quality of samples: a few far ones have large balls, which hold much of the data. Nor
    does it see how often a sample comes. It has no error: the balls depend on all samples at once.
    """

    name = "recall"


class _ManifoldShare(FeatureState):
    def __init__(self, reference: Array, name: str, k: int, most: int, context: MetricContext) -> None:
        self._reference, self._name, self._k, self._context = reference, name, k, context
        self._sample = RowSample(most)

    def update(self, features: Features) -> None:
        self._sample.update(features)

    def compute(self) -> MetricResult:
        rows, k = self._sample.rows(self._k + 1, self._name), self._k
        # of the two metrics of a run the first one computes both
        both = self._context.share(
            "precision and recall",
            (_hash(rows), _hash(self._reference), k),
            lambda: precision_and_recall(rows, self._reference, k),
        )
        details: dict[str, object] = {"k": k, "rows": len(rows), "reference_rows": len(self._reference)}
        if self._name == Recall.name:
            return MetricResult(both.recall, self._sample.n, details=details)
        hits = round(both.precision * len(rows))
        details |= {"interval": wilson_interval(hits, len(rows))}
        return MetricResult(both.precision, self._sample.n, share_error(hits, len(rows)), details=details)


class Shares(NamedTuple):
    """Precision and recall."""

    precision: float
    recall: float


def precision_and_recall(samples: Array, data: Array, k: int) -> Shares:
    """Shares of ``samples`` (n, d) in the data's manifold and of ``data`` (m, d) in the samples'.

    The manifold of a set is the union of closed balls about its points; a ball's radius is the distance to
    the k-th neighbor, the point itself not counted.
    """
    center = data.mean(axis=0)  # rounding errors grow with the squared norms: make them small
    a, b = (_Balls(points, points - center, k) for points in (samples, data))
    return Shares(b.share(a), a.share(b))


def _hash(points: Array) -> str:
    return hashlib.sha256(repr(points.shape).encode() + points.tobytes()).hexdigest()


class _Balls:
    """Points with the squared radius of each point's ball.

    Squared distances come from matrix products, ``|x|^2 + |y|^2 - 2 x.y``. One that differs from its radius
    by no more than its rounding error is computed again from the difference, so that ties and duplicates
    count correctly.
    """

    def __init__(self, points: Array, centered: Array, k: int) -> None:
        self.points, self.centered = points, centered
        self.squares = np.einsum("nd,nd->n", centered, centered)
        self.radii = np.concatenate([self._radii(at, k) for at in self.chunks()])

    def chunks(self) -> list[slice]:
        """All points, in parts of `CHUNK`."""
        return [slice(i, i + CHUNK) for i in range(0, len(self.points), CHUNK)]

    def _distances(self, other: _Balls, at: slice) -> Array:
        """Squared distances (c, n) of the other's points ``at`` to these."""
        distances: Array = (-2 * other.centered[at]) @ self.centered.T
        distances += self.squares
        distances += other.squares[at, None]
        return distances

    def _radii(self, at: slice, k: int) -> Array:
        distances = self._distances(self, at)
        rows = np.arange(len(distances))
        distances[rows, rows + at.start] = np.inf
        near = np.argpartition(distances, k - 1, axis=1)[:, :k]
        radii: Array = _squared(self.points[at, None], self.points[near]).max(axis=1)
        return radii

    def share(self, other: _Balls) -> float:
        """Share of the other's points that lie within a ball of these."""
        # squares, product, radius and the distance itself err by d eps (|x|^2 + |y|^2) at most, each
        slack = (4 * self.points.shape[1] + 16) * np.finfo(np.float64).eps
        inside = 0
        for at in other.chunks():
            beyond = self._distances(other, at)
            beyond -= self.radii
            error = slack * (other.squares[at] + self.squares.max())
            nearest = beyond.min(axis=1)
            inside += int((nearest < -error).sum())
            for i in np.flatnonzero(np.abs(nearest) <= error):
                inside += self._holds(other.points[at][i], np.flatnonzero(beyond[i] <= error[i]))
        return inside / len(other.points)

    def _holds(self, point: Array, balls: NDArray[np.int64]) -> bool:
        """Whether one of these balls holds the point, computed from differences."""
        parts = (balls[i : i + CHUNK] for i in range(0, len(balls), CHUNK))
        return any((_squared(point, self.points[part]) <= self.radii[part]).any() for part in parts)


def _squared(a: Array, b: Array) -> Array:
    """``sum (a - b)^2`` over the last axis."""
    difference = a - b
    squares: Array = np.einsum("...d,...d->...", difference, difference)
    return squares
