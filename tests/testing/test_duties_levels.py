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
from tests.support.checks import failures
from tests.support.samplers import Sound


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
