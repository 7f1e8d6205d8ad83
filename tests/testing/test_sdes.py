"""The conformance kit passes a sound SDE and catches planted mistakes in others."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pytest

from bench import SDE, Array, assert_conforms, param
from tests.support.checks import failures
from tests.support.plugins import installed


class Cubic(SDE):
    """sigma(t) = 0.01 + factor t^3, whose prior follows."""

    name = "sound_cubic"
    wrong: ClassVar[float] = 1.0

    eps: float = param(default=1e-3, help="end", above=0, high=1)
    factor: float = param(default=60.0, help="factor of t^3", above=0)
    kind: Literal["plain", "same", "again"] = param(default="plain", help="three names of one function")

    def drift(self, t: Array) -> Array:
        return np.zeros_like(t)

    def diffusion(self, t: Array) -> Array:
        return self.wrong * np.sqrt(2 * self.sigma(t) * 3 * self.factor * t**2)

    def alpha(self, t: Array) -> Array:
        return np.ones_like(t)

    def sigma(self, t: Array) -> Array:
        return 0.01 + self.factor * t**3

    @property
    def prior_std(self) -> float:
        return 0.01 + self.factor


class WrongDiffusion(Cubic):
    """sigma' in place of sqrt(2 sigma sigma')."""

    name = "wrong_diffusion"

    def diffusion(self, t: Array) -> Array:
        return 3 * self.factor * t**2


class WrongTime(Cubic):
    """The cube root's argument without sigma(0)."""

    name = "wrong_time"

    def time_at(self, log_sigma_ratio: Array) -> Array:
        return np.cbrt(np.exp(log_sigma_ratio) / self.factor)


class WrongPrior(Cubic):
    """A tenth too narrow."""

    name = "wrong_prior"

    @property
    def prior_std(self) -> float:
        return 0.9 * super().prior_std


class WrongSlope(Cubic):
    """A slope of its own, 3 % too large, which velocities alone are made of."""

    name = "wrong_slope"

    def sigma_slope(self, t: Array) -> Array:
        return 1.03 * 3 * self.factor * t**2


class WrongEarly(Cubic):
    """3 % too much noise where t is below a fiftieth."""

    name = "wrong_early"

    def diffusion(self, t: Array) -> Array:
        return np.where(t < 0.02, 1.03, 1.0) * super().diffusion(t)


class WrongChain(Cubic):
    """3 % too much noise in its chain."""

    name = "wrong_chain"

    def chain(self, t: Array, count: int) -> tuple[Array, Array]:
        a, g = super().chain(t, count)
        return a, 1.03 * g


class WrongFactor(Cubic):
    """The noise forgets its factor: right at its default."""

    name = "wrong_factor"

    def diffusion(self, t: Array) -> Array:
        return np.sqrt(2 * self.sigma(t) * 180 * t**2)


class WrongThird(Cubic):
    """The third of its choices is wrong."""

    name = "wrong_third"

    def diffusion(self, t: Array) -> Array:
        return super().diffusion(t) * (1.03 if self.kind == "again" else 1.0)


def test_a_sound_sde_passes() -> None:
    assert_conforms(Cubic, registry=installed())


@pytest.mark.parametrize(
    ("mistaken", "caught"),
    [
        (WrongDiffusion, {"moment equations"}),
        (WrongPrior, {"prior"}),
        (WrongTime, {"time of a level"}),
        (WrongSlope, {"slopes"}),
        (WrongEarly, {"moment equations"}),
        (WrongChain, {"chain"}),
        (WrongFactor, {"at factor=90.0"}),
        (WrongThird, {"at kind=again"}),
    ],
)
def test_a_mistaken_sde_is_caught(mistaken: type[SDE], caught: set[str]) -> None:
    assert caught <= failures(mistaken)
