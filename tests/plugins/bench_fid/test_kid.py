"""KID: against clean-fid's function, a double sum, closed forms; what it refuses; what it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cleanfid.fid import kernel_distance

from bench import BenchError, Extractor, FeatureMetric, Features, MetricResult, Reference
from bench.metrics.reference import write_statistics
from bench.types import Array
from bench_fid.extractors import Cifar10FeaturesExtractor
from bench_fid.kid import over_subsets, squared_mmd
from tests.support.metrics import extractor_of, metric_context
from tests.support.plain import plain
from tests.support.plugins import installed

SMALL = {"extractor": "cifar10-features"}


def metric(name: str, **parameters: Any) -> FeatureMetric:
    """A metric of the registry."""
    instance: FeatureMetric = installed().build("metrics", name, parameters)
    return instance


def reading(name: str, rows: Array, **parameters: Any) -> MetricResult:
    """The metric's reading of rows of features."""
    measured = metric(name, **parameters).begin(metric_context())
    for part in np.array_split(rows, 3):
        measured.update(Features(torch.from_numpy(part).float()))
    return measured.compute()


def reference_rows() -> Array:
    """The shipped rows of cifar10-features."""
    extractor = extractor_of("cifar10-features")
    rows = metric_context().statistics("cifar10-train", extractor).rows
    assert rows is not None
    return rows


def draws(seed: int, n: int, d: int, shift: float = 0.0) -> Array:
    """Normal rows."""
    return np.random.default_rng(seed).normal(shift, size=(n, d))


def test_squared_mmd_is_the_double_sum_over_distinct_pairs() -> None:
    x, y = draws(0, 7, 3), draws(1, 9, 3, 0.5)

    def k(a: Array, b: Array) -> float:
        return (sum(float(i * j) for i, j in zip(a, b, strict=True)) / 3 + 1) ** 3

    xx = [k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j]
    yy = [k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j]
    xy = [k(a, b) for a in x for b in y]
    assert (len(xx), len(yy), len(xy)) == (42, 72, 63)
    expected = sum(xx) / 42 + sum(yy) / 72 - 2 * sum(xy) / 63
    assert squared_mmd(x, y) == pytest.approx(expected, rel=1e-12)


def test_a_subset_of_all_rows_gives_clean_fids_value() -> None:
    x, y = draws(0, 300, 16), draws(1, 300, 16, 0.2)
    ours = over_subsets(x, y, subsets=1, size=300).mean()
    assert ours == pytest.approx(kernel_distance(x, y, num_subsets=1, max_subset_size=300), rel=1e-9)


def test_random_subsets_agree_with_clean_fids() -> None:
    x, y = draws(0, 600, 16), draws(1, 600, 16, 0.2)
    ours = over_subsets(x, y, subsets=200, size=60)
    np.random.seed(0)
    theirs = kernel_distance(x, y, num_subsets=200, max_subset_size=60)
    # given the rows, theirs is a mean of 200 independent values, and ours, from balanced subsets, no worse
    assert abs(ours.mean() - theirs) < 4 * ours.std() * np.sqrt(2 / 200)


def test_of_shifted_normals_it_is_the_closed_form_without_bias() -> None:
    a = 0.5
    # one feature: the squared distance of the moments m_j, weighted binom(3, j)
    expected = 3 * a**2 + 3 * a**4 + (a**3 + 3 * a) ** 2
    values = [squared_mmd(draws(s, 10, 1), draws(s + 4000, 10, 1, a)) for s in range(4000)]
    assert abs(np.mean(values) - expected) < 4 * np.std(values) / np.sqrt(4000)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_error_is_no_less_than_the_spread_over_repeats(shift: float) -> None:
    y = draws(999, 200, 4)
    repeats = [over_subsets(draws(s, 200, 4, shift), y, 40, 20) for s in range(60)]
    spread = np.std([values.mean() for values in repeats], ddof=1)
    errors = np.array([values[:10].std(ddof=1) / np.sqrt(10) for values in repeats])
    # a standard deviation of 60 is known to 1/sqrt(118), four times over
    assert np.sqrt((errors**2).mean()) > spread * (1 - 4 / np.sqrt(118))


def test_the_reading_tells_its_subsets() -> None:
    rows = reference_rows()
    result = reading("kid", rows[:2000], subsets=10, subset_size=500, **SMALL)
    assert result.n == 2000
    assert result.details["disjoint_subsets"] == 4
    assert result.details["reference_rows"] == len(rows)
    # rows of the reference itself: nothing but noise
    assert result.error is not None
    assert abs(result.value) < 4 * result.error
    assert reading("kid", rows[:2000], subsets=10, subset_size=500, **SMALL) == result
    alone = reading("kid", rows[:300] * 1.5, subsets=3, **SMALL)
    assert (alone.details["subset_size"], alone.error) == (300, None)
    assert alone.value > 10 * plain(result.details)["std_over_subsets"]


def test_directions_and_labels() -> None:
    assert metric("kid").label == "kid"
    assert metric("kid", mode="clean").label == "kid-clean"
    assert metric("kid", **SMALL).label == "kid-cifar10_features"
    # two numbers that could be taken for one another
    assert metric("kid", subsets="50").label == "kid-subsets_50"
    assert metric("kid", subset_size="50").label == "kid-subset_size_50"
    assert [
        metric(n).direction for n in ("kid", "precision", "recall", "class_score", "inception_score")
    ] == [
        "lower",
        *["higher"] * 4,
    ]


def test_several_metrics_share_one_pass_over_the_features(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    load = Cifar10FeaturesExtractor.load

    def counted(self: Extractor, device: Any) -> Any:
        extract = load(self, device)  # type: ignore[arg-type]

        def once(images: torch.Tensor) -> Features:
            nonlocal calls
            calls += 1
            return extract(images)

        return once

    monkeypatch.setattr(Cifar10FeaturesExtractor, "load", counted)
    small = {"precision": {"most": 100}, "recall": {"most": 100}, "kid": {"subsets": 2}, "class_score": {}}
    metrics = [metric(name, **SMALL, **more) for name, more in small.items()] + [metric("fd_cifar10")]
    context = metric_context()
    begun = [one.start(context) for one in metrics]
    for seed in range(3):
        images = torch.rand(10, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
        for one in begun:
            one.update(images)
    assert {one.compute().n for one in begun} == {30}
    assert calls == 3
    extractor = metrics[0].extractor_plugin(context)
    assert context.features(extractor) is context.features(metrics[1].extractor_plugin(context))


@pytest.mark.parametrize("name", ["kid", "precision", "recall"])
def test_bad_features_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    rows = np.zeros((6, 64))
    rows[4, 3] = np.nan
    with pytest.raises(BenchError, match="NaN"):
        reading(name, rows, **SMALL)
    with pytest.raises(BenchError, match=f"{name} needs at least .* not 1"):
        reading(name, np.zeros((1, 64)), **SMALL)
    with pytest.raises(BenchError, match=f"{name}.mode is of the extractor inception"):
        metric(name, mode="clean", **SMALL)
    with pytest.raises(BenchError, match=r"unknown extractor 'inceptoin'"):
        metric(name, extractor="inceptoin").provenance(metric_context())
    bare = Reference(np.zeros(64), np.eye(64), None, {}, "")
    write_statistics(tmp_path / "bare.npz", bare)
    with pytest.raises(BenchError, match=r"have no rows: bench stats build IMAGES -o FILE\.npz") as caught:
        metric(name, reference=str(tmp_path / "bare.npz"), **SMALL).provenance(metric_context())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("at", [0.0, 0.7, 30.0])
def test_of_equal_rows_it_is_the_kernels_closed_form(at: float) -> None:
    """All samples at x, all data at y: ``k(x, x) + k(y, y) - 2 k(x, y)``; 0 where x = y."""
    d = 8
    x, y = np.full((50, d), at), np.full((40, d), -0.5)
    expected = (at**2 + 1) ** 3 + 1.25**3 - 2 * (1 - 0.5 * at) ** 3
    values = over_subsets(x, y, subsets=20, size=30)
    assert values == pytest.approx(expected, rel=1e-10)
    scale = (at**2 + 1) ** 3
    assert over_subsets(x, x, subsets=20, size=30) == pytest.approx(0, abs=1e-12 * scale)


def test_the_unbiased_estimate_is_not_clipped() -> None:
    values = [squared_mmd(draws(s, 20, 3), draws(s + 500, 20, 3)) for s in range(100)]
    assert min(values) < 0 < max(values)
