"""The sliced Wasserstein distance."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench import Array, BenchError, MetricContext, MetricResult, MetricState, Tensor, jackknife_groups, param
from bench_fid.items import ItemMetric, ItemSample, flat, sizes

MOST_NUMBERS = 2**27
"""Greatest number of coordinates of all directions: 1 GiB."""
CHUNK = 16
"""Directions that are compared at a time."""
PARTS = 16
"""Parts of the samples, each of which the jackknife leaves out."""
SPLITS = 4
"""Parts of the reference whose distances to its rest make the floor, at most."""


class SlicedWasserstein(ItemMetric):
    """``sqrt(mean_k W_2^2(theta_k . x, theta_k . y))`` over K fixed random directions theta_k.

    Samples x and items y of the reference have any shape; on the unit range, not clipped.

    In one dimension the optimal transport pairs quantiles, ``W_2^2 = int_0^1 (F^-1(u) - G^-1(u))^2 du``; it
    is computed exactly, for sides of unequal size too. Per direction, so of the size of one coordinate's
    error: a shift by m adds m^2 / d to the square of the value, in d dimensions.

    Of equal distributions it is above 0 at any n: ``floor`` is the distance of parts of the reference to its
    rest, times ``sqrt((1/n + 1/m) / (1/n' + 1/m'))`` for the number of samples n and of items m. The error is
    that of a jackknife over sixteen parts of the samples, for a fixed reference; it is too large where the
    distributions are equal. Memory: 8 K bytes per sample and item, of ``most`` each.

    Source: Rabin et al. (2011), Bonneel et al. (2015).
    """

    name = "sliced_wasserstein"
    value_kind = "distance"
    min_samples = 100
    bias = "upwards, about as 1/sqrt(n) where distributions are equal: true draws have the floor"

    directions: int = param(default=128, help="K, number of random directions", low=1, high=10_000)
    most: int = param(default=10_000, low=2, help="items of each side; drawn at random where there are more")

    def check_reference(self, shape: tuple[int, ...], context: MetricContext) -> None:
        if math.prod(shape) * self.directions > MOST_NUMBERS:
            raise BenchError(
                f"{self.directions} directions in {sizes(shape)} are more than {MOST_NUMBERS} numbers: lower "
                "-P metric.directions"
            )
        super().check_reference(shape, context)

    def start(self, context: MetricContext) -> MetricState:
        items = self.items(context)
        directions = unit_directions(self.directions, math.prod(items.shape))
        key = (tuple(self.provenance(context).items()), self.directions, self.most)

        def project() -> Array:
            sample = ItemSample(self.most)
            for batch in items:
                sample.update(flat(batch) @ directions.T)
            # parts of the rows must be random parts, whatever their order is
            return np.random.default_rng(1).permutation(sample.rows(self.name))

        return SlicedState(context.share(self.name, key, project), directions, self.most)


def unit_directions(count: int, d: int) -> Array:
    """Directions (count, d), independent and uniform on the unit sphere, the same ones each time."""
    z = np.random.default_rng(0).standard_normal((count, d))
    directions: Array = z / np.linalg.norm(z, axis=1, keepdims=True)
    return directions


class Pairing(NamedTuple):
    """How quantiles of n and of m sorted numbers go together.

    Steps of the two quantile functions: the indices ``a`` and ``b`` of the numbers at each, and its length
    ``weight``; lengths sum to 1.
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    weight: Array


def pairing(n: int, m: int) -> Pairing:
    """The `Pairing` of n and m numbers, in exact integer arithmetic."""
    # the ends of the steps i / n and j / m, as multiples of 1 / (n m)
    ends = np.union1d(np.arange(1, n + 1, dtype=np.int64) * m, np.arange(1, m + 1, dtype=np.int64) * n)
    return Pairing((ends - 1) // m, (ends - 1) // n, np.diff(ends, prepend=0) / (n * m))


def squared_distance(x: Array, y: Array) -> float:
    """``mean_k W_2^2`` of projections x (K, n) and y (K, m), each row sorted."""
    pairs = pairing(x.shape[1], y.shape[1])
    total = 0.0
    for start in range(0, len(x), CHUNK):
        part = slice(start, start + CHUNK)
        total += float((((x[part][:, pairs.a] - y[part][:, pairs.b]) ** 2) @ pairs.weight).sum())
    return total / len(x)


def floor_of(reference: Array, n: int) -> float:
    """What n independent draws of the reference's distribution have: the root of the mean squared distance
    of parts of the reference (m, K), in random order, to its rest, scaled to n and m."""
    m = len(reference)
    size = min(n, m // 2)
    squares = []
    for i in range(min(SPLITS, m // size)):
        inside = np.zeros(m, dtype=bool)
        inside[i * size : (i + 1) * size] = True
        part, rest = (np.sort(reference[chosen].T, axis=1) for chosen in (inside, ~inside))
        squares.append(squared_distance(part, rest))
    rate = (1 / n + 1 / m) / (1 / size + 1 / (m - size))
    return math.sqrt(float(np.mean(squares)) * rate)


class SlicedState(MetricState):
    """`SlicedWasserstein` under way.

    Args:
        reference: Projections of the reference's items, (m, K), in random order.
        directions: The directions, (K, d).
        most: Greatest number of samples that are kept.
    """

    def __init__(self, reference: Array, directions: Array, most: int) -> None:
        self.reference, self.directions = reference, directions
        self.sorted_reference = np.sort(reference.T, axis=1)
        self.sample = ItemSample(most)

    def update(self, images: Tensor) -> None:
        self.sample.update(flat(images) @ self.directions.T)

    def compute(self) -> MetricResult:
        rows = self.sample.rows(SlicedWasserstein.name)
        n = len(rows)
        value = math.sqrt(squared_distance(np.sort(rows.T, axis=1), self.sorted_reference))
        floor = floor_of(self.reference, n)
        error = None
        if n >= 2 * PARTS:
            part = np.arange(n) % PARTS
            without = self._without(rows, [part == i for i in range(PARTS)])
            error = float(np.sqrt((PARTS - 1) * np.var(without)))
        note = f"no more than the {floor:.2g} of true draws" if value <= floor else ""
        details = {"rows": n, "reference_rows": len(self.reference)}
        return MetricResult(value, self.sample.n, error, note, details, floor=floor)

    def leave_one_out(self) -> list[float]:
        batches = self.sample.batches
        if not self.sample.whole or len(batches) < 2:
            return []
        batch = np.repeat(np.arange(len(batches)), batches)
        members = [np.isin(batch, group) for group in jackknife_groups(len(batches))]
        return self._without(self.sample.rows(SlicedWasserstein.name), members)

    def _without(self, rows: Array, members: list[NDArray[np.bool_]]) -> list[float]:
        """The values without each of these sets of rows (n,)."""
        order = np.argsort(rows.T, axis=1)
        ordered = np.take_along_axis(rows.T, order, axis=1)
        values = []
        for member in members:
            if member.all():
                return []
            rest = ordered[~member[order]].reshape(len(ordered), -1)
            values.append(math.sqrt(squared_distance(rest, self.sorted_reference)))
        return values
