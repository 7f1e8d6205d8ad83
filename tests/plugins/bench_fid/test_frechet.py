"""The Fréchet distance as a metric: its state, its limit, its replicates, its labels."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from bench import BenchError, FeatureMetric, Features, MetricResult, Reference
from bench_fid.extrapolation import Rows
from bench_fid.frechet import FrechetDistance, _PresetDistance
from bench_fid.presets import PRESETS
from tests.plugins.bench_fid.test_extrapolation import D, N, rows
from tests.support.metrics import metric_context
from tests.support.plain import plain
from tests.support.plugins import installed


def standard() -> Reference:
    """The standard normal itself, without sampling noise."""
    return Reference(np.zeros(D), np.eye(D), None, {}, "")


def reading(features: Rows, **parameters: Any) -> MetricResult:
    """The Fréchet distance to the standard normal."""
    measured = FrechetDistance(standard(), **parameters)
    for part in np.array_split(features, 4):
        measured.update(Features(torch.from_numpy(part)))
    return measured.compute()


def test_the_record_has_the_fit_the_plain_value_and_the_interval_under_their_names() -> None:
    x = rows(0)
    bare = reading(x)
    assert (bare.error, bare.details, bare.note) == (None, {}, "")
    limit = reading(x, with_limit=True)
    assert limit.details["at_n"] == bare.value
    line = plain(limit.details)["fit"]
    assert limit.value == line["value"] < bare.value
    assert line["points"][-1] == [N, pytest.approx(bare.value, rel=1e-9)]
    assert limit.error is None
    assert json.loads(json.dumps(limit.details))["fit"]["slope"] == line["slope"]
    spread = reading(x, replicates=40)
    assert spread.value == bare.value
    assert spread.error == plain(spread.details)["interval"]["sd"]
    both = reading(x, with_limit=True, replicates=40)
    assert both.value == limit.value
    # the limit's own replicates, not those of the distance at n
    assert both.error is not None
    assert both.error != spread.error
    assert plain(both.details)["interval"]["low"] < both.value < plain(both.details)["interval"]["high"]
    assert reading(x, with_limit=True) == limit
    assert "4 d = 32" in reading(rows(0, 30), with_limit=True).note


def test_rows_are_kept_only_where_they_are_needed() -> None:
    measured = FrechetDistance(standard())
    measured.update(Features(torch.from_numpy(rows(0))))
    assert measured._rows is None
    measured = FrechetDistance(standard(), with_limit=True)
    measured.update(Features(torch.from_numpy(rows(0))))
    assert measured._rows is not None
    assert measured._rows[0].dtype == np.float32
    assert measured.leave_one_out() == []


def metric(name: str, **parameters: Any) -> FeatureMetric:
    """A metric of the registry."""
    instance: FeatureMetric = installed().build("metrics", name, parameters)
    return instance


def test_the_limit_has_a_column_of_its_own_and_replicates_have_none() -> None:
    assert metric("fid").label == metric("fid", bootstrap=100).label == "fid"
    assert metric("fid", extrapolate="true").label == "fid_inf"
    assert metric("fid", extrapolate="true", bootstrap="100", mode="clean").label == "fid_inf-clean"
    assert metric("fd_cifar10", extrapolate=True, rounding="truncate").label == "fd_cifar10_inf-truncate"
    assert metric("fd", extrapolate=True).label == "fd_inf-pixels"
    with pytest.raises(BenchError, match="0 or at least 40, not 10"):
        metric("fid", bootstrap=10)


def test_leaving_out_batches_is_measuring_without_them() -> None:
    state = FrechetDistance(standard())
    parts = np.array_split(rows(0), 4)
    for part in parts:
        state.update(Features(torch.from_numpy(part)))
    for i, value in enumerate(state.leave_one_out()):
        rest = np.concatenate([part for j, part in enumerate(parts) if j != i])
        assert value == pytest.approx(reading(rest).value, rel=1e-9)


def test_references_and_extractors() -> None:
    context = metric_context()
    for name, extractor in (("fd_cifar10", "cifar10-features"), ("fd", "pixels"), ("fid", "inception")):
        assert metric(name).reference_name() == "cifar10-train"
        assert metric(name).extractor_plugin(context).name == extractor
    assert metric("fid", mode="clean").extractor_plugin(context).label == "inception-clean"
    provenance = metric("fd_cifar10").provenance(context)
    assert set(provenance) == {"cifar10-features", "cifar10-train"}
    with pytest.raises(BenchError, match="on Inception's features the Fréchet distance is called fid"):
        metric("fd", extractor="inception")


def test_bootstrap_replicates_decide_nothing_and_the_limit_has_a_flag() -> None:
    parameters = {parameter.name: parameter for parameter in type(metric("fid")).parameters()}
    assert not parameters["bootstrap"].decides
    assert parameters["extrapolate"].flag == "extrapolate"


def state_of(parts: list[Rows], reference: Reference | None = None) -> FrechetDistance:
    """The distance of these batches to the standard normal."""
    state = FrechetDistance(reference or standard())
    for part in parts:
        state.update(Features(torch.from_numpy(part)))
    return state


@pytest.mark.parametrize("at", [0.0, 0.3, 1e4])
def test_equal_features_are_as_far_as_their_offset_and_the_reference_s_variance(at: float) -> None:
    """``|m|^2 + d`` to the standard normal, whichever batches are left out."""
    equal = np.full((30, D), at, dtype=np.float32)
    expected = D * (float(equal[0, 0]) ** 2 + 1)
    state = state_of([equal] * 4)
    assert state.compute().value == pytest.approx(expected, rel=1e-9)
    assert state.leave_one_out() == pytest.approx([expected] * 4, rel=1e-9)
    limit = reading(np.repeat(equal, 4, axis=0), with_limit=True, replicates=40)
    assert limit.value == pytest.approx(expected, rel=1e-9)
    assert limit.error == pytest.approx(0, abs=1e-9 * expected)


def test_leaving_out_the_only_batch_that_varies_is_measuring_equal_features() -> None:
    """The rest is not a difference of nearly equal covariances, which has negative eigenvalues."""
    for seed in range(20):
        generator = np.random.default_rng(seed)
        equal = np.tile(generator.normal(size=D).astype(np.float32), (50, 1))
        varying = (30 * generator.normal(size=(50, D))).astype(np.float32)
        values = state_of([varying, equal, equal]).leave_one_out()
        assert values[0] == pytest.approx(D + float((equal[0].astype(float) ** 2).sum()), rel=1e-9)
        rest = state_of([varying, equal]).compute().value
        assert values[1:] == pytest.approx([rest, rest], rel=1e-9)


def test_a_set_against_its_own_statistics_is_not_below_zero() -> None:
    for seed in range(20):
        x = rows(seed)
        mean, covariance = x.astype(float).mean(axis=0), np.cov(x.astype(float).T)
        value = state_of([x], Reference(mean, covariance, None, {}, "")).compute().value
        assert 0 <= value < 1e-12 * np.trace(covariance)


def test_the_limit_is_an_estimate_and_is_not_clipped() -> None:
    """Draws of the reference itself: about half of the limits lie below zero."""
    values = [reading(normal(seed), with_limit=True).value for seed in range(12)]
    assert min(values) < 0 < max(values)


def normal(seed: int) -> Rows:
    """400 draws of the standard normal."""
    return np.random.default_rng(seed).normal(size=(400, D)).astype(np.float32)


def test_only_another_count_than_the_preset_s_is_noted() -> None:
    state = _PresetDistance(standard(), PRESETS["edm"], "edm")
    part = np.random.default_rng(0).normal(size=(50_000, D)).astype(np.float32)
    state.update(Features(torch.from_numpy(part)))
    assert (state.compute().n, state.compute().note) == (50_000, "")
    state.update(Features(torch.from_numpy(part[:1])))
    assert state.compute().note == "n is 50001, not the 50000 of the preset edm"
