"""Precision and recall: samples and data, each within the other's neighbourhoods."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench import Array, BenchError, Features, FeatureState, MetricResult, param
from bench_fid.rows import Kept, RowMetric

CHUNK = 500
"""Rows of a distance matrix at once."""


class Manifolds(RowMetric):
    """A share of points within the union of balls about the other side's, each up to its k-th neighbour.

    Keeps features of at most ``most`` samples, 4 d bytes each; distances are in float64. Both metrics of a
    run rest on one computation.
    """

    direction = "higher"
    min_samples = 10_000
    bias = "depends on n of both sides (equal distributions stay below 1): compare at equal n alone"

    k: int = param(default=3, low=1, help="neighbours that a ball reaches to")
    most: int = param(
        default=10_000, low=2, help="points of each side; where there are more, drawn at random"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.most <= self.k:
            raise BenchError(f"{self.name}.most must be more than its k, which is {self.k}, not {self.most}")

    def begin(self) -> FeatureState:
        rows = self.rows()
        if len(rows) <= self.k:
            raise BenchError(
                f"{self.name} needs more rows of the reference than its k, {self.k}, not {len(rows)}"
            )
        if len(rows) > self.most:
            rows = rows[np.random.default_rng(0).permutation(len(rows))[: self.most]]
        return _Shares(rows, self.name, self.k, self.most)


class Precision(Manifolds):
    """Share of samples within the data's k-nearest-neighbour balls (Kynkäänniemi et al. 2019, eq. 1, 2).

    At most ``most`` samples and rows of the reference, 4 d bytes kept of each. The error is the binomial one
    over samples, the reference taken as it is.
    """

    name = "precision"


class Recall(Manifolds):
    """Share of the data within the samples' k-nearest-neighbour balls (Kynkäänniemi et al. 2019, eq. 1, 2).

    At most ``most`` samples and rows of the reference, 4 d bytes kept of each.
    """

    name = "recall"


class _Shares(FeatureState):
    def __init__(self, reference: Array, name: str, k: int, most: int) -> None:
        self._reference, self._name, self._k = reference, name, k
        self._kept = Kept(most)

    def update(self, features: Features) -> None:
        self._kept.update(features)

    def compute(self) -> MetricResult:
        rows = self._kept.rows(self._k + 1, self._name)
        both = precision_and_recall(rows, self._reference, self._k)
        details = {"k": self._k, "rows": len(rows), "reference_rows": len(self._reference)}
        if self._name == Recall.name:
            return MetricResult(both.recall, self._kept.n, details=details)
        p = both.precision
        return MetricResult(p, self._kept.n, (p * (1 - p) / len(rows)) ** 0.5, details=details)


class Shares(NamedTuple):
    """Precision and recall."""

    precision: float
    recall: float


_last: dict[tuple[str, str, int], Shares] = {}
"""The shares of the last sets asked for, by their hashes: of two metrics of a run one computes."""


def precision_and_recall(samples: Array, data: Array, k: int) -> Shares:
    """Shares of ``samples`` (n, d) in the data's manifold and of ``data`` (m, d) in the samples'.

    The manifold of a set is the union of closed balls about its points, each with the distance to the
    point's k-th neighbour, itself not counted, as radius.
    """
    key = (_hash(samples), _hash(data), k)
    if key not in _last:
        centre = data.mean(axis=0)  # float error goes with the squared norms: make them small
        a, b = (_Balls(points, points - centre, k) for points in (samples, data))
        _last.clear()
        _last[key] = Shares(b.share(a), a.share(b))
    return _last[key]


def _hash(points: Array) -> str:
    return hashlib.sha256(repr(points.shape).encode() + points.tobytes()).hexdigest()


class _Balls:
    """Points with the squared radius of each one's ball.

    Squared distances come from matrix products, ``|x|^2 + |y|^2 - 2 x.y``. Where one is as near to what it
    is compared with as its float error, it is taken again from the difference itself, so that ties and
    duplicates count as they should.
    """

    def __init__(self, points: Array, centred: Array, k: int) -> None:
        self.points, self.centred = points, centred
        self.squares = np.einsum("nd,nd->n", centred, centred)
        self.radii = np.concatenate([self._radii(at, k) for at in self.chunks()])

    def chunks(self) -> list[slice]:
        """All points, some at a time."""
        return [slice(i, i + CHUNK) for i in range(0, len(self.points), CHUNK)]

    def _distances(self, other: _Balls, at: slice) -> Array:
        """Squared distances (c, n) of the other's points ``at`` to these."""
        found: Array = (-2 * other.centred[at]) @ self.centred.T
        found += self.squares
        found += other.squares[at, None]
        return found

    def _radii(self, at: slice, k: int) -> Array:
        found = self._distances(self, at)
        rows = np.arange(len(found))
        found[rows, rows + at.start] = np.inf
        near = np.argpartition(found, k - 1, axis=1)[:, :k]
        radii: Array = _squared(self.points[at, None], self.points[near]).max(axis=1)
        return radii

    def share(self, other: _Balls) -> float:
        """Share of the other's points that lie within a ball of these."""
        # squares, product, radius and the distance itself err by d eps (|x|^2 + |y|^2) or less each
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
        """Whether one of these balls holds the point, by the difference itself."""
        parts = (balls[i : i + CHUNK] for i in range(0, len(balls), CHUNK))
        return any((_squared(point, self.points[part]) <= self.radii[part]).any() for part in parts)


def _squared(a: Array, b: Array) -> Array:
    """``sum (a - b)^2`` over the last axis."""
    difference = a - b
    found: Array = np.einsum("...d,...d->...", difference, difference)
    return found
