"""Inception score and its like: known answers, splits, what it needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench import BenchError, FeatureMetric, Features, MetricResult
from bench.types import Array
from bench_fid.scores import score
from tests.support.metrics import metric_context
from tests.support.plugins import installed


def metric(name: str = "class_score", **parameters: Any) -> FeatureMetric:
    """A metric of the registry."""
    instance: FeatureMetric = installed().build("metrics", name, parameters)
    return instance


def reading(probabilities: Array, **parameters: Any) -> MetricResult:
    """The class score of probabilities (n, classes), which come in three batches."""
    measured = metric(**parameters).begin(metric_context())
    for part in np.array_split(probabilities, 3):
        p = torch.from_numpy(part).float()
        measured.update(Features(torch.zeros(len(p), 64), p))
    return measured.compute()


def sure(labels: NDArray[np.int64]) -> Array:
    """Verdicts without doubt, of ten classes."""
    return np.eye(10)[labels]


def verdicts(n: int, seed: int = 0) -> Array:
    """Random probabilities of five classes."""
    probabilities: Array = np.random.default_rng(seed).dirichlet(np.full(5, 0.4), size=n)
    return probabilities


def test_of_verdicts_all_alike_it_is_one() -> None:
    result = reading(np.full((40, 10), 0.1))
    assert result.value == pytest.approx(1, abs=1e-6)
    assert reading(sure(np.zeros(40, dtype=np.int64))).value == pytest.approx(1, abs=1e-12)


def test_of_sure_and_balanced_verdicts_it_is_the_number_of_classes() -> None:
    assert reading(sure(np.arange(200, dtype=np.int64) % 10)).value == pytest.approx(10, rel=1e-12)
    assert reading(sure(np.arange(200, dtype=np.int64) % 4)).value == pytest.approx(4, rel=1e-12)


def test_it_is_the_mean_of_divergences_summed_by_hand() -> None:
    p = verdicts(30)
    mean = [sum(row[k] for row in p) / 30 for k in range(5)]
    kl = [sum(v * np.log(v / m) for v, m in zip(row, mean, strict=True)) for row in p]
    assert score(p) == pytest.approx(np.exp(sum(kl) / 30), rel=1e-12)


def test_splits_are_consecutive_and_their_spread_is_recorded_under_its_name() -> None:
    p = verdicts(103)
    result = reading(p, splits=4)
    # 103 samples in 4 parts: 25, 26, 26, 26; the batches' limits are elsewhere
    values = [score(p[a:b].astype(np.float32)) for a, b in ((0, 25), (25, 51), (51, 77), (77, 103))]
    assert result.n == 103
    assert result.value == pytest.approx(np.mean(values), rel=1e-6)
    assert result.details["std_over_splits"] == pytest.approx(np.std(values), rel=1e-5)
    assert result.error == pytest.approx(np.std(values, ddof=1) / 2, rel=1e-5)
    assert reading(p, splits=1).error is None


def test_it_is_biased_downwards_at_few_samples_and_the_error_is_that_over_samples() -> None:
    whole = score(verdicts(200_000))
    results = [reading(verdicts(100, seed + 1)) for seed in range(60)]
    values = np.array([one.value for one in results])
    spread = values.std(ddof=1)
    assert values.mean() < whole - 4 * spread / np.sqrt(60)
    errors = np.array([one.error for one in results], dtype=float)
    # a standard deviation of 60 is known to 1/sqrt(118), four times over
    assert np.sqrt((errors**2).mean()) == pytest.approx(spread, rel=4 / np.sqrt(118))


def test_labels_carry_the_extractor() -> None:
    assert metric("inception_score").label == "inception_score"
    assert metric("inception_score", mode="clean", splits=5).label == "inception_score-splits_5-clean"
    assert metric().label == "class_score-cifar10_features"
    assert metric(extractor="pixels").label == "class_score-pixels"
    with pytest.raises(BenchError, match=r"inception_score\.mode must be legacy_tensorflow\|clean"):
        metric("inception_score", mode="legacy_pytorch")
    with pytest.raises(BenchError, match="take that metric"):
        metric(extractor="inception")


def test_what_it_cannot_measure_is_one_line() -> None:
    measured = metric(extractor="pixels").start(metric_context())
    with pytest.raises(BenchError, match=r"class_score needs probabilities.*pixels has not"):
        measured.update(torch.rand(2, 3, 32, 32))
    with pytest.raises(BenchError, match="NaN"):
        reading(np.full((40, 10), np.nan))
    with pytest.raises(BenchError, match="at least 20 samples for 10 splits, not 1"):
        reading(np.full((1, 10), 0.1))


@pytest.mark.parametrize("classes", [2, 10, 1008])
def test_of_equal_uneven_verdicts_it_is_one(classes: int) -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(classes)).astype(np.float32)
    assert score(np.tile(p, (500, 1))) == pytest.approx(1, rel=1e-12)
