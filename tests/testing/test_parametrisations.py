"""The conformance kit passes the built-in parametrisations and catches planted mistakes in others."""

from __future__ import annotations

import math

import pytest

from bench import BenchError, NoiseLevel, Parametrisation, Tensor, assert_conforms, param
from bench.testing.parametrisations import LAWS, levels, truth
from bench.testing.probe import GAUSSIAN, MIXTURE
from tests.support.analytic import sde
from tests.support.checks import context, failures, report
from tests.support.plugins import installed


@pytest.mark.parametrize("name", installed().names("parametrisations"))
def test_the_built_in_ones_pass(name: str) -> None:
    assert_conforms(installed().build("parametrisations", name, {}), registry=installed())


def test_the_other_direction_of_a_velocity_passes() -> None:
    velocity = installed().build("parametrisations", "velocity", {"direction": "to_data"})
    assert_conforms(velocity, registry=installed())


def test_its_truth_agrees_with_itself() -> None:
    """Data and noise, of two closed forms, add up to the state: else the bound would hide mistakes."""
    for law in map(sde, LAWS):
        for level in levels(law):
            for checkpoint in (GAUSSIAN, MIXTURE):
                exact = truth(context(), checkpoint, law, level)
                assert float(exact.residual.max()) < 1e-13 * float(exact.x.abs().max())


class Right(Parametrisation):
    """v, which the mistaken ones are made of."""

    name = "right"

    def weights(self, level: NoiseLevel) -> tuple[float, float]:
        return -level.sigma, level.alpha

    def target(self, x0: Tensor, noise: Tensor, level: NoiseLevel) -> Tensor:
        return level.alpha * noise - level.sigma * x0


class WrongSign(Right):
    """One sign of v: at alpha = sigma its output is a multiple of x."""

    def weights(self, level: NoiseLevel) -> tuple[float, float]:
        return level.sigma, level.alpha


class WrongElsewhere(Right):
    """v times a factor, which is forgotten in one place."""

    scale: float = param(default=1.0, help="factor", above=0)

    def target(self, x0: Tensor, noise: Tensor, level: NoiseLevel) -> Tensor:
        return self.scale * super().target(x0, noise, level)


class BothSigns(Right):
    """-v, which its target is not."""

    def weights(self, level: NoiseLevel) -> tuple[float, float]:
        return level.sigma, -level.alpha


class Swapped(Right):
    """alpha and sigma in each other's place, with signs that hide it."""

    def weights(self, level: NoiseLevel) -> tuple[float, float]:
        return -level.alpha, level.sigma


class NoLimit(Parametrisation):
    """noise / alpha, which no number is at alpha = 0."""

    name = "no_limit"

    def weights(self, level: NoiseLevel) -> tuple[float, float]:
        return 0.0, 1 / level.alpha


class Infinite(Parametrisation):
    name = "infinite"

    def weights(self, level: NoiseLevel) -> tuple[float, float]:
        return 0.0, 1 / level.alpha if level.alpha else math.inf


class WrongConversion(Right):
    """A conversion of its own, right for VP alone: ``alpha x - sigma v`` needs alpha^2 + sigma^2 = 1."""

    def denoised(self, output: Tensor, x: Tensor, level: NoiseLevel) -> Tensor:
        return level.alpha * x - level.sigma * output


class Lossy(Right):
    """Right, but by way of the score, which says nothing of the data as alpha falls to 0."""

    def denoised(self, output: Tensor, x: Tensor, level: NoiseLevel) -> Tensor:
        if level.alpha == 0:
            return super().denoised(output, x, level)
        return (x - level.sigma * self.noise(output, x, level)) / level.alpha


class Pretends(Parametrisation):
    """The noise, with clean data at alpha = 0, where it says nothing of them."""

    name = "pretends"

    def weights(self, level: NoiseLevel) -> tuple[float, float]:
        return 0.0, 1.0

    def denoised(self, output: Tensor, x: Tensor, level: NoiseLevel) -> Tensor:
        return super().denoised(output, x, level) if level.alpha else 0 * x


class InPlace(Right):
    def noise(self, output: Tensor, x: Tensor, level: NoiseLevel) -> Tensor:
        right = super().noise(output, x, level)
        x.mul_(2)
        return right


class Doubled(Right):
    def denoised(self, output: Tensor, x: Tensor, level: NoiseLevel) -> Tensor:
        return super().denoised(output, x, level).double()


class Wordy(Right):
    """Refuses levels without slopes in two lines."""

    def weights(self, level: NoiseLevel) -> tuple[float, float]:
        if level.alpha_slope is None:
            raise BenchError("no slopes\nno weights")
        return super().weights(level)


class NoHelp(Right):
    scale: float = param(default=1.0, help="", above=0)


class NoInput(Right):
    def input_factor(self, level: NoiseLevel) -> float:
        return level.alpha


@pytest.mark.parametrize(
    ("mistaken", "caught"),
    [
        (WrongSign, {"data told from noise", "training target", "exact answers"}),
        (WrongElsewhere, {"at scale=0.5"}),
        (BothSigns, {"training target"}),
        (Swapped, {"training target"}),
        (NoLimit, {"weights", "exact answers"}),
        (Infinite, {"weights", "exact answers, float64", "exact answers, float32"}),
        (WrongConversion, {"exact answers, float64", "exact answers, float32"}),
        (Lossy, {"exact answers, float64", "exact answers, float32"}),
        (Pretends, {"exact answers, float64", "exact answers, float32"}),
        (InPlace, {"exact answers, float64", "exact answers, float32", "kinds"}),
        (Doubled, {"kinds"}),
        (Wordy, {"kinds"}),
        (NoHelp, {"parameters"}),
        (NoInput, {"weights"}),
    ],
)
def test_a_mistaken_one_is_caught(mistaken: type[Parametrisation], caught: set[str]) -> None:
    assert failures(mistaken) == caught


def test_what_it_is_at_equal_parts_is_shown() -> None:
    (finding,) = (one for one in report(Right).findings if one.name == "data told from noise")
    assert finding.measured == "at alpha = sigma: -0.707 E[x0 | x] + 0.707 E[noise | x]"
