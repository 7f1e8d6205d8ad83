"""Precision and recall: against distances one by one, ties and duplicates included."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import BenchError, FeatureMetric, Features, MetricContext, MetricResult, Reference, wilson_interval
from bench.metrics.reference import write_statistics
from bench.types import Array
from bench_fid import manifolds
from bench_fid.manifolds import precision_and_recall
from tests.support.metrics import metric_context
from tests.support.plain import plain
from tests.support.plugins import installed


def one_by_one(samples: Array, data: Array, k: int) -> tuple[float, float]:
    """Precision and recall as they are defined: a sorted list of distances per point."""

    def distance(a: Array, b: Array) -> float:
        return math.fsum((i - j) ** 2 for i, j in zip(a.tolist(), b.tolist(), strict=True))

    def share(points: Array, centres: Array) -> float:
        radii = [
            sorted(distance(c, other) for j, other in enumerate(centres) if j != i)[k - 1]
            for i, c in enumerate(centres)
        ]
        inside = [any(distance(p, c) <= r for c, r in zip(centres, radii, strict=True)) for p in points]
        return sum(inside) / len(inside)

    return share(samples, data), share(data, samples)


def rng(seed: int) -> np.random.Generator:
    """Random numbers."""
    return np.random.default_rng(seed)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("d", [1, 2, 20])
def test_normal_points_count_as_one_by_one(d: int, k: int) -> None:
    samples, data = rng(0).normal(size=(60, d)), 0.7 * rng(1).normal(size=(50, d)) + 0.3
    result = precision_and_recall(samples, data, k)
    assert result == one_by_one(samples, data, k)
    if d == 20:  # it is a share of some, not of all or none
        assert 0 < result.precision < 1


def test_ties_and_duplicates_count_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifolds, "CHUNK", 16)
    for seed in range(4):
        # points of a lattice: most of what is compared is equal, and many points are there twice
        samples = rng(seed).integers(0, 4, size=(40, 3)).astype(float)
        data = rng(seed + 9).integers(1, 6, size=(50, 3)).astype(float)
        assert precision_and_recall(samples, data, 3) == one_by_one(samples, data, 3)


def test_points_far_from_the_origin_count_as_one_by_one() -> None:
    # at 1e7 a squared distance by a matrix product of the points as they are would be off by some 1e-1
    samples, data = 1e7 + rng(0).normal(size=(40, 8)), 1e7 + rng(1).normal(size=(40, 8))
    assert precision_and_recall(samples, data, 3) == one_by_one(samples, data, 3)


def test_of_a_set_and_itself_both_are_one() -> None:
    for points in (
        rng(0).normal(size=(700, 30)),
        np.zeros((8, 5)),
        np.repeat(rng(1).normal(size=(5, 4)), 6, 0),
    ):
        assert precision_and_recall(points, points.copy(), 3) == (1.0, 1.0)


def test_one_mode_of_two_has_precision_and_lacks_recall() -> None:
    modes = np.repeat([[-50.0, 0.0], [50.0, 0.0]], 200, axis=0)
    data = modes + rng(0).normal(size=(400, 2))
    result = precision_and_recall(data[:200] + 1e-3, data, 3)
    assert result.precision == 1
    assert result.recall == 0.5
    assert precision_and_recall(data, data[:200] + 1e-3, 3) == (result.recall, result.precision)


def metric(name: str, **parameters: object) -> FeatureMetric:
    """A metric of the registry on cifar10-features."""
    instance: FeatureMetric = installed().build(
        "metrics", name, {"extractor": "cifar10-features", **parameters}
    )
    return instance


@pytest.fixture
def reference(tmp_path: Path) -> str:
    """Statistics whose 900 rows are in the order of three far clusters."""
    rows = np.concatenate([rng(c).normal(100.0 * c, size=(300, 64)) for c in range(3)])
    write_statistics(tmp_path / "clusters.npz", Reference(rows.mean(0), np.cov(rows.T), rows, {}, ""))
    return str(tmp_path / "clusters.npz")


def reading(
    name: str, rows: Array, context: MetricContext | None = None, **parameters: object
) -> MetricResult:
    """The metric's result for rows of features."""
    measured = metric(name, **parameters).begin(metric_context() if context is None else context)
    for part in np.array_split(rows, 4):
        measured.update(Features(torch.from_numpy(part).float()))
    return measured.compute()


def test_both_rest_on_one_computation(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rng(7).normal(size=(200, 64))
    balls, sizes = manifolds._Balls, []

    class Counted(balls):  # type: ignore[valid-type,misc]
        def __init__(self, points: Array, *rest: object) -> None:
            sizes.append(len(points))
            super().__init__(points, *rest)

    monkeypatch.setattr(manifolds, "_Balls", Counted)
    context = metric_context()
    precision, recall = (
        reading(name, rows, context, reference=reference) for name in ("precision", "recall")
    )
    assert sizes == [200, 900]
    assert precision.error == pytest.approx(math.sqrt(precision.value * (1 - precision.value) / 200))
    assert recall.error is None
    assert "interval" not in recall.details
    interval = plain(precision.details)["interval"]
    assert interval == wilson_interval(round(200 * precision.value), 200)
    assert interval["low"] < precision.value < interval["high"]
    # one cluster of three is reached
    assert recall.value <= 1 / 3
    assert recall.details == {"k": 3, "rows": 200, "reference_rows": 900}
    assert precision.details == dict(recall.details) | {"interval": interval}


def test_more_points_than_asked_for_are_drawn_without_bias(reference: str) -> None:
    rows = np.concatenate([rng(c + 5).normal(100.0 * c, size=(300, 64)) for c in range(3)])
    result = reading("recall", rows, reference=reference, most=300)
    assert result.n == 900
    assert result.details["rows"] == result.details["reference_rows"] == 300
    # in order, the first 300 are one cluster of three; drawn, all three are there on both sides
    assert result.value > 0.5


def test_labels_and_limits(reference: str) -> None:
    assert metric("precision").label == "precision-cifar10_features"
    assert metric("recall", k=5, most=2000).label == "recall-cifar10_features-k_5-most_2000"
    with pytest.raises(BenchError, match=r"recall\.most must be more than its k"):
        metric("recall", k=5, most=5)
    with pytest.raises(BenchError, match="more rows of the reference than its k, 900, not 900"):
        metric("recall", k=900, reference=reference).begin(metric_context())


def test_equal_samples_count_as_one_by_one() -> None:
    """Balls of radius zero: samples at a row of the data, elsewhere, and data that are equal too."""
    data = rng(0).normal(size=(30, 4)) + 20
    for point in (data[7], data[7] + 0.01, np.full(4, 1e6)):
        samples = np.tile(point, (40, 1))
        assert precision_and_recall(samples, data, 3) == one_by_one(samples, data, 3)
        assert precision_and_recall(data, samples, 3) == one_by_one(data, samples, 3)
    samples = np.tile(data[7], (40, 1))
    assert precision_and_recall(samples, samples, 3) == (1, 1)
    assert precision_and_recall(samples, data, 3) == (1, 1 / 30)


@pytest.mark.parametrize("rank", [1, 2])
def test_low_rank_points_count_as_one_by_one(rank: int) -> None:
    axes = rng(1).normal(size=(rank, 20))
    samples, data = rng(2).normal(size=(40, rank)) @ axes, rng(3).normal(size=(30, rank)) @ axes + 5
    assert precision_and_recall(samples, data, 3) == one_by_one(samples, data, 3)


def test_uniform_noise_has_the_precision_that_the_documentation_states() -> None:
    """Noise is inside the balls of the data's outliers: precision does not see that it is no image."""
    context = metric_context()
    small = {"extractor": "cifar10-features"}
    metric = installed().build("metrics", "precision", small)
    state = metric.start(context)
    state.update(torch.rand(1000, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    result = state.compute()
    assert result.details["reference_rows"] == 10_000
    assert result.error is not None
    assert abs(result.value - 0.96) < 4 * result.error
