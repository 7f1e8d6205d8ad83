"""The conformance kit passes a sound corrector and catches wrong noise, direction and counts."""

from __future__ import annotations

import pytest

from bench import (
    Corrector,
    Noise,
    Prediction,
    Step,
    Tensor,
    Update,
    assert_conforms,
)
from tests.support.checks import failures
from tests.support.plugins import installed
from tests.support.samplers import Pull


class NoNoise(Pull):
    name = "pull_without_noise"
    factor = 0.0


class HalfNoise(Pull):
    name = "pull_of_half_the_noise"
    factor = 1.0


class MixedNoise(Pull):
    """Noise mixed with that of another row and column; neighbors' stays independent."""

    name = "pull_of_mixed_noise"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        update = super().step(x, step, p, noise)
        z = update.x - update.mean
        if z.dim() != 4:
            return update
        return Update(update.mean + (z + z.roll((1, 3), (-1, -2))) * 0.5**0.5, update.mean)


class SharedNoise(Pull):
    """The second half of a batch gets the noise of the first."""

    name = "pull_of_shared_noise"
    couples_batch = True

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        update, half = super().step(x, step, p, noise), len(x) // 2
        z = update.x - update.mean
        z[half : 2 * half] = z[:half]
        return Update(update.mean + z, update.mean)


class LoudAtFirst(Pull):
    """Twice the noise at the first level."""

    name = "pull_loud_at_first"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        update = super().step(x, step, p, noise)
        if step.steps_left < step.steps - 1:
            return update
        return Update(2 * update.x - update.mean, update.mean)


class HeldMean(Pull):
    """Takes the mean of a batch's scores away."""

    name = "pull_of_held_mean"
    couples_batch = True

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        update, e = super().step(x, step, p, noise), (0.2 * step.sigma) ** 2
        shared = e * p.score(x, step).mean(0)
        return Update(update.x - shared, update.mean - shared)

    @property
    def calls(self) -> int:
        return 2


class Push(Pull):
    name = "push"
    sign = -1.0


class TwoCalls(Pull):
    name = "pull_of_two_calls"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        p.score(x, step)
        return super().step(x, step, p, noise)


def test_a_sound_corrector_passes() -> None:
    assert_conforms(Pull, registry=installed())


@pytest.mark.parametrize(
    ("mistaken", "caught"),
    [
        (NoNoise, "invariance, vp"),
        (HalfNoise, "invariance, vp"),
        (MixedNoise, "invariance, vp"),
        (SharedNoise, "invariance, vp"),
        (LoudAtFirst, "invariance, vp"),
        (HeldMean, "invariance, vp"),
        (Push, "invariance, vp"),
        (TwoCalls, "network calls"),
    ],
)
def test_a_mistaken_corrector_is_caught(mistaken: type[Corrector], caught: str) -> None:
    assert caught in failures(mistaken)
