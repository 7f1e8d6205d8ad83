"""Metrics of features: shapes are checked before anything is sampled, samples that are not finite refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench import (
    BenchError,
    Extract,
    Extractor,
    FeatureMetric,
    Features,
    FeatureState,
    MetricContext,
    MetricResult,
    Tensor,
)
from bench.metrics.features import check_metric
from tests.support.metrics import metric_context
from tests.support.plugins import empty_registry, hooks, installed


class Brightness(Extractor):
    """The mean of all values, of small images alone."""

    name = "brightness"
    width = 1
    shape = (3, 4, 4)

    def load(self, device: Any) -> Extract:
        return lambda images: Features(images.flatten(1).float().mean(dim=1, keepdim=True))

    def provenance(self) -> dict[str, str]:
        return {"brightness": "0123"}


class _Mean(FeatureState):
    def __init__(self) -> None:
        self.rows: list[Tensor] = []

    def update(self, features: Features) -> None:
        self.rows.append(features.rows)

    def compute(self) -> MetricResult:
        rows = torch.cat(self.rows)
        return MetricResult(float(rows.mean()), len(rows))


class MeanBrightness(FeatureMetric):
    """The mean brightness."""

    name = "mean_brightness"

    def extractor_plugin(self, context: MetricContext) -> Extractor:
        return context.extractor("brightness")

    def begin(self, context: MetricContext) -> FeatureState:
        return _Mean()


@pytest.fixture
def context() -> MetricContext:
    """A context that knows `Brightness`."""
    registry = empty_registry()
    registry.load(hooks("extractors", Brightness), "test", "1")
    return metric_context(registry)


def test_images_become_bytes_by_the_metrics_rounding(context: MetricContext) -> None:
    images = torch.full((2, 3, 4, 4), 0.6 / 255)
    for rounding, expected in (("round", 1.0), ("truncate", 0.0)):
        state = MeanBrightness(rounding=rounding).start(context)  # type: ignore[arg-type]
        state.update(images)
        assert state.compute() == MetricResult(expected, 2)
        assert state.leave_one_out() == []


def test_samples_that_are_not_finite_or_of_another_shape_are_refused(context: MetricContext) -> None:
    state = MeanBrightness().start(context)
    with pytest.raises(BenchError, match="samples are NaN or infinite"):
        state.update(torch.full((2, 3, 4, 4), torch.nan))
    with pytest.raises(BenchError, match="brightness takes 3x4x4 images, not 3x8x8"):
        state.update(torch.zeros(2, 3, 8, 8))


def test_a_shape_is_refused_in_one_line_that_names_the_metric(context: MetricContext) -> None:
    task = installed().build("tasks", "generate", {})
    check_metric(MeanBrightness(), task, (3, 4, 4), 100, context)
    with pytest.raises(BenchError, match=r"^mean_brightness: brightness takes 3x4x4 images, not 3x64x64; ch"):
        check_metric(MeanBrightness(), task, (3, 64, 64), 100, context)


def test_provenance_and_labels(context: MetricContext) -> None:
    assert MeanBrightness().provenance(context) == {"brightness": "0123"}
    assert MeanBrightness().reference_name() == ""
    assert MeanBrightness().label == "mean_brightness"
    assert MeanBrightness(rounding="truncate").label == "mean_brightness-truncate"
    assert Brightness().label == "brightness"
