"""The conformance kit passes a sound metric and catches planted mistakes in others."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import pytest
import torch

from bench import (
    BenchError,
    Metric,
    MetricContext,
    MetricResult,
    MetricState,
    Tensor,
    ValueKind,
    assert_conforms,
)
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


class Summed(Roughness):
    """The sum over samples where the mean is meant."""

    name = "summed"

    def start(self, context: MetricContext) -> MetricState:
        return SummedState(self.last_only)


class SummedState(RoughnessState):
    def compute(self) -> MetricResult:
        return MetricResult(self.total if self.n else float("nan"), self.n)


class MeanOfBatches(Roughness):
    """Weighs batches alike, whatever their sizes."""

    name = "mean_of_batches"

    def start(self, context: MetricContext) -> MetricState:
        return MeanOfBatchesState(self.last_only)


class MeanOfBatchesState(RoughnessState):
    batches: int = 0

    def update(self, images: Tensor) -> None:
        self.batches += 1
        n = self.n
        super().update(images)
        self.total += (1 / len(images) - 1) * float(
            (images[..., 1:] - images[..., :-1]).double().square().mean(dim=(1, 2, 3)).sum()
        )
        self.n = n + len(images)

    def compute(self) -> MetricResult:
        return MetricResult(self.total / self.batches if self.n else float("nan"), self.n)


class Weighted(Roughness):
    """Gives the first samples of each batch more weight."""

    name = "weighted"

    def start(self, context: MetricContext) -> MetricState:
        return WeightedState(self.last_only)


class WeightedState(RoughnessState):
    def update(self, images: Tensor) -> None:
        weight = torch.where(torch.arange(self.n, self.n + len(images)) % 32 < 8, 2.0, 1.0)
        super().update(images * weight.view(-1, 1, 1, 1))


class Cancels(Roughness):
    """``E x^2 - (E x)^2`` in single precision, of values far from zero."""

    name = "cancels"

    def start(self, context: MetricContext) -> MetricState:
        return CancelsState(self.last_only)


class CancelsState(RoughnessState):
    def __post_init__(self) -> None:
        self.sums = torch.zeros(2)

    def update(self, images: Tensor) -> None:
        if not images.isfinite().all():
            raise BenchError("not finite")
        x = images + 100
        self.sums += torch.stack([x.sum(), x.square().sum()])
        self.n += images.numel()

    def compute(self) -> MetricResult:
        mean, square = (self.sums / max(self.n, 1)).tolist()
        return MetricResult(square - mean**2 if self.n else float("nan"), self.n // (3 * 32 * 32))


class Ties(Roughness):
    """Divides by the smallest distance between samples."""

    name = "ties"

    def start(self, context: MetricContext) -> MetricState:
        return TiesState(self.last_only)


class TiesState(RoughnessState):
    def __post_init__(self) -> None:
        self.rows: list[Tensor] = []

    def update(self, images: Tensor) -> None:
        super().update(images)
        self.rows.append(images.double().flatten(1).mean(1))

    def compute(self) -> MetricResult:
        result = super().compute()
        gap = torch.cat(self.rows).sort().values.diff().min() if self.n else torch.tensor(0.0)
        return dataclasses.replace(result, value=float(result.value + 0 * (1 / gap) if gap else math.nan))


class Tolerant(Roughness):
    """Takes a number that is not finite for 0."""

    name = "tolerant"

    def start(self, context: MetricContext) -> MetricState:
        return TolerantState(self.last_only)


class TolerantState(RoughnessState):
    def update(self, images: Tensor) -> None:
        super().update(images.nan_to_num(0.0, 0.0, 0.0) if self.n else images)


class InPlace(Roughness):
    """Clips the images that other metrics receive too."""

    name = "in_place"

    def start(self, context: MetricContext) -> MetricState:
        return InPlaceState(self.last_only)


class InPlaceState(RoughnessState):
    def update(self, images: Tensor) -> None:
        super().update(images.clamp_(0, 1))


class Consumes(Roughness):
    """Starts anew after a result."""

    name = "consumes"

    def start(self, context: MetricContext) -> MetricState:
        return ConsumesState(self.last_only)


class ConsumesState(RoughnessState):
    def compute(self) -> MetricResult:
        result = super().compute()
        self.total, self.n = 0.0, 0
        return result


class WithError(Roughness):
    """The standard error of a mean of rows, times a factor."""

    name = "with_error"
    factor: ClassVar[float] = 1.0

    def start(self, context: MetricContext) -> MetricState:
        return WithErrorState(self.factor)


class WithErrorState(MetricState):
    def __init__(self, factor: float) -> None:
        self.factor, self.rows = factor, list[float]()

    def update(self, images: Tensor) -> None:
        self.rows += (images[..., 1:] - images[..., :-1]).double().square().mean(dim=(1, 2, 3)).tolist()

    def compute(self) -> MetricResult:
        n = len(self.rows)
        if n < 2:
            raise BenchError("too few samples")
        mean = math.fsum(self.rows) / n
        variance = math.fsum((row - mean) ** 2 for row in self.rows) / (n - 1)
        return MetricResult(mean, n, self.factor * math.sqrt(variance / n))


class Deviation(WithError):
    """The deviation of one sample for that of the mean: sqrt(64) times too large where it is looked at."""

    name = "deviation"
    factor = 8.0


class TooSure(WithError):
    """Divided by sqrt(n) twice."""

    name = "too_sure"
    factor = 1 / 8


class Certain(WithError):
    name = "certain"
    factor = 0.0


class OtherKind(Roughness):
    name = "other_kind"
    value_kind = "length"  # type: ignore[assignment]


@pytest.mark.parametrize(
    "name",
    [
        "bits_per_dim", "component_share", "fd_dct", "flow_error", "known_error", "latent_correlation",
        "latent_difference", "latent_fd", "round_trip",
    ],
)  # fmt: skip
def test_built_in_metrics_pass(name: str) -> None:
    """Those that need no statistics; tests of their own check the others."""
    assert_conforms(name, registry=installed())


class Strange(Roughness):
    name = "strange"
    inputs = ("colors",)


def test_a_metric_of_an_unknown_output_is_an_error() -> None:
    with pytest.raises(BenchError, match="takes a task's colors: bench check knows the truth of images"):
        failures(Strange)


@pytest.mark.parametrize("sound", [Roughness, WithError])
def test_a_sound_metric_passes(sound: type[Metric]) -> None:
    assert_conforms(sound, registry=installed())


@pytest.mark.parametrize(
    ("mistaken", "caught"),
    [
        (LastBatch, "order of batches"),
        (WrongWay, "worse samples"),
        (NegativeDistance, "order of batches"),
        (LargeShare, "order of batches"),
        (OtherKind, "declared"),
        (Summed, "number of samples"),
        (MeanOfBatches, "order of batches"),
        (Weighted, "order of batches"),
        (Cancels, "order of batches"),
        (Ties, "equal samples"),
        (Tolerant, "bad input"),
        (InPlace, "input unchanged"),
        (Consumes, "result so far"),
        (Deviation, "standard error"),
        (TooSure, "standard error"),
        (Certain, "standard error"),
    ],
)
def test_a_mistaken_metric_is_caught(mistaken: type[Metric], caught: str) -> None:
    assert caught in failures(mistaken)
