"""The conformance kit catches planted mistakes in SDEs, metrics and executors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from bench import SDE, Array, Executor, Job, Metric, MetricResult, MetricState, Plugin, Tensor, param
from bench.testing import assert_conforms, check


def failed(thing: type[Plugin]) -> set[str]:
    """Names of the failed checks."""
    return {finding.name for finding in check(thing).failures}


class Cubic(SDE):
    """sigma(t) = 0.01 + 60 t^3."""

    name = "sound_cubic"
    wrong: ClassVar[float] = 1.0
    prior: ClassVar[float] = 60.01

    eps: float = param(default=1e-3, help="end", above=0, high=1)

    def drift(self, t: Array) -> Array:
        return np.zeros_like(t)

    def diffusion(self, t: Array) -> Array:
        return self.wrong * np.sqrt(2 * self.sigma(t) * 180 * t**2)

    def alpha(self, t: Array) -> Array:
        return np.ones_like(t)

    def sigma(self, t: Array) -> Array:
        return 0.01 + 60 * t**3

    @property
    def prior_std(self) -> float:
        return self.prior


class WrongDiffusion(Cubic):
    """sigma' in place of sqrt(2 sigma sigma')."""

    name = "wrong_diffusion"

    def diffusion(self, t: Array) -> Array:
        return 180 * t**2


class WrongPrior(Cubic):
    name = "wrong_prior"
    prior = 1.0


def test_a_sound_sde_passes() -> None:
    assert_conforms(Cubic)


@pytest.mark.parametrize(
    ("mistaken", "caught"),
    [(WrongDiffusion, {"moment equations", "chain"}), (WrongPrior, {"prior"})],
)
def test_a_mistaken_sde_is_caught(mistaken: type[SDE], caught: set[str]) -> None:
    assert caught <= failed(mistaken)


class Roughness(Metric):
    """Mean square of differences of neighbouring pixels."""

    name = "sound_roughness"
    min_samples = 2
    last_only: ClassVar[bool] = False

    def start(self, device: Any) -> MetricState:
        return _Rough(self.last_only)


@dataclasses.dataclass
class _Rough(MetricState):
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


def test_a_sound_metric_passes() -> None:
    assert_conforms(Roughness)


@pytest.mark.parametrize(
    ("mistaken", "caught"), [(LastBatch, "order of batches"), (WrongWay, "worse samples")]
)
def test_a_mistaken_metric_is_caught(mistaken: type[Metric], caught: str) -> None:
    assert caught in failed(mistaken)


class InTurn(Executor):
    """One after the other."""

    name = "sound_in_turn"

    def run(self, jobs: Sequence[Job], work: Callable[[Job], None]) -> None:
        for job in jobs:
            work(job)


class DropsTheLast(Executor):
    name = "drops_the_last"

    def run(self, jobs: Sequence[Job], work: Callable[[Job], None]) -> None:
        for job in jobs[:-1]:
            work(job)


class Swallows(Executor):
    name = "swallows"

    def run(self, jobs: Sequence[Job], work: Callable[[Job], None]) -> None:
        for job in jobs:
            try:
                work(job)
            except BaseException:
                continue


def test_a_sound_executor_passes() -> None:
    assert_conforms(InTurn)


@pytest.mark.parametrize(
    ("mistaken", "caught"),
    [(DropsTheLast, {"every job once"}), (Swallows, {"a failing job", "stopped"})],
)
def test_a_mistaken_executor_is_caught(mistaken: type[Executor], caught: set[str]) -> None:
    assert caught <= failed(mistaken)


def test_a_failure_is_told_with_what_was_measured_and_required() -> None:
    with pytest.raises(AssertionError, match=r"drops_the_last:\n  every job once: job 16 was not done"):
        assert_conforms(DropsTheLast)
