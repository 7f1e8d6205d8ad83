"""The conformance kit passes a sound metric and catches planted mistakes in others."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import pytest

from bench import Metric, MetricContext, MetricResult, MetricState, Tensor, ValueKind, assert_conforms
from tests.support.checks import failures
from tests.support.plugins import installed


class Roughness(Metric):
    """Mean square of differences of neighboring pixels."""

    name = "sound_roughness"
    min_samples = 2
    last_only: ClassVar[bool] = False

    def start(self, context: MetricContext) -> MetricState:
        return RoughnessState(self.last_only)


@dataclasses.dataclass
class RoughnessState(MetricState):
    last_only: bool
    total: float = 0.0
    n: int = 0

    def update(self, images: Tensor) -> None:
        value = float((images[..., 1:] - images[..., :-1]).double().square().mean(dim=(1, 2, 3)).sum())
        self.total = value if self.last_only else self.total + value
        self.n += len(images)

    def compute(self) -> MetricResult:
        return MetricResult(self.total / self.n if self.n else float("nan"), self.n)


class LastBatch(Roughness):
    name = "last_batch"
    last_only = True


class WrongWay(Roughness):
    name = "wrong_way"
    direction = "higher"


class NegativeDistance(Roughness):
    name = "negative_distance"
    value_kind: ClassVar[ValueKind] = "distance"

    def start(self, context: MetricContext) -> MetricState:
        return NegativeState(self.last_only)


class NegativeState(RoughnessState):
    def compute(self) -> MetricResult:
        result = super().compute()
        return dataclasses.replace(result, value=result.value - 1)


class LargeShare(NegativeDistance):
    name = "large_share"
    value_kind = "share"


class OtherKind(Roughness):
    name = "other_kind"
    value_kind = "length"  # type: ignore[assignment]


def test_a_sound_metric_passes() -> None:
    assert_conforms(Roughness, registry=installed())


@pytest.mark.parametrize(
    ("mistaken", "caught"),
    [
        (LastBatch, "order of batches"),
        (WrongWay, "worse samples"),
        (NegativeDistance, "order of batches"),
        (LargeShare, "order of batches"),
        (OtherKind, "declared"),
    ],
)
def test_a_mistaken_metric_is_caught(mistaken: type[Metric], caught: str) -> None:
    assert caught in failures(mistaken)
