"""The conformance kit catches predictors that use states, levels and noise wrongly."""

from __future__ import annotations

from typing import Any

import pytest

from bench import (
    Noise,
    NoiseLevel,
    Prediction,
    Predictor,
    Step,
    Tensor,
    Update,
)
from bench.testing.context import CheckContext
from bench.testing.duties import noiseless_mean
from tests.support.checks import failures
from tests.support.plugins import installed
from tests.support.samplers import Sound
from tests.testing.plants.right_noise import Churn


class ScoreOfTheNextLevel(Sound):
    """Calls the network at the level that the step leads to: off by one, and still of first order."""

    name = "score_of_the_next_level"

    def at(self, step: Step) -> NoiseLevel:
        return NoiseLevel(step.t_next, step.alpha_next, step.sigma_next)


class NoDenoising(Sound):
    """Returns the noisy state as its mean: a run that ends on the mean ends with the last step's noise."""

    name = "no_denoising"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        x = super().step(x, step, p, noise, state).x
        return Update(x, x)


class InPlace(Sound):
    name = "in_place"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        update = super().step(x, step, p, noise, state)
        x.copy_(update.x)
        return update


class Coupled(Sound):
    """Divides its noise by the batch's deviation, undeclared."""

    name = "coupled"

    def draw(self, x: Tensor, noise: Noise) -> Tensor:
        z = noise(x)
        return z / z.std()


class MoreCalls(Sound):
    name = "more_calls"

    def at(self, step: Step) -> NoiseLevel:
        return step

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        p.score(x, step)
        return super().step(x, step, p, noise, state)


MISTAKES: list[tuple[type[Predictor], set[str]]] = [
    (ScoreOfTheNextLevel, {"network at the state's level"}),
    (NoDenoising, {"mean without the noise"}),
    (InPlace, {"input unchanged"}),
    (Coupled, {"batch"}),
    (MoreCalls, {"network calls"}),
]


@pytest.mark.parametrize(("mistaken", "caught"), MISTAKES, ids=[m.name for m, _ in MISTAKES])
def test_a_mistaken_predictor_is_caught(mistaken: type[Predictor], caught: set[str]) -> None:
    assert caught <= failures(mistaken)


class UntoldNoise(Churn):
    """Asks for the clean data of a state with more noise at the level that it had before."""

    name = "untold_noise"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if not step.last:
            return super().step(x, step, p, noise, state)
        clean = p.denoised(x + 0.3 * step.sigma * noise(x), step)
        return Update(clean, clean)


class DifferenceOfDeviations(Churn):
    name = "difference_of_deviations"

    def deviation(self, r: float, raised: float) -> float:
        return raised - r


@pytest.mark.parametrize(
    ("part", "status"), [(Churn, "pass"), (UntoldNoise, "fail"), (DifferenceOfDeviations, "fail")]
)
def test_noise_before_the_network_is_of_the_level_that_it_is_told(part: type[Churn], status: str) -> None:
    (finding,) = noiseless_mean(part(), CheckContext(installed(), ("vp",)))
    assert finding.status == status
