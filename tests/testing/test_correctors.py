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
        (Push, "invariance, vp"),
        (TwoCalls, "network calls"),
    ],
)
def test_a_mistaken_corrector_is_caught(mistaken: type[Corrector], caught: str) -> None:
    assert caught in failures(mistaken)
