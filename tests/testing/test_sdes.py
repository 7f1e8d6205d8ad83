"""The conformance kit passes a sound SDE and catches planted mistakes in others."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from bench import SDE, Array, assert_conforms, param
from tests.support.checks import failures
from tests.support.plugins import installed


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


class WrongTime(Cubic):
    """The cube root's argument without sigma(0)."""

    name = "wrong_time"

    def time_at(self, log_sigma_ratio: Array) -> Array:
        return np.cbrt(np.exp(log_sigma_ratio) / 60)


class WrongPrior(Cubic):
    name = "wrong_prior"
    prior = 1.0


def test_a_sound_sde_passes() -> None:
    assert_conforms(Cubic, registry=installed())


@pytest.mark.parametrize(
    ("mistaken", "caught"),
    [
        (WrongDiffusion, {"moment equations"}),
        (WrongPrior, {"prior"}),
        (WrongTime, {"time of a level"}),
    ],
)
def test_a_mistaken_sde_is_caught(mistaken: type[SDE], caught: set[str]) -> None:
    assert caught <= failures(mistaken)
