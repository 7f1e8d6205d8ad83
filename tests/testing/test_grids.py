"""The conformance kit passes the built-in grids and catches planted mistakes in others."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from bench import SDE, Array, BenchError, Grid, assert_conforms, param
from bench.testing.grids import ddim_loss
from bench.testing.kit import check
from tests.support.checks import failures, report
from tests.support.plugins import installed


class Rising(Grid):
    """From eps up."""

    name = "rising"

    def times(self, sde: SDE, steps: int) -> Array:
        return np.linspace(sde.eps, sde.end, steps)


class Short(Grid):
    """One time too few."""

    name = "short"

    def times(self, sde: SDE, steps: int) -> Array:
        return np.linspace(sde.end, sde.eps, steps)[:-1]


class Restless(Grid):
    """Another grid each time."""

    name = "restless"

    def times(self, sde: SDE, steps: int) -> Array:
        inner = np.sort(np.random.default_rng().uniform(sde.eps, sde.end, max(steps - 2, 0)))[::-1]
        return np.array([sde.end, *inner, sde.eps][:steps])


class Holed(Grid):
    """Uniform, but for a hole in the middle that no number of steps fills."""

    name = "holed"

    def times(self, sde: SDE, steps: int) -> Array:
        low = steps // 2
        upper = np.linspace(sde.end, 0.6 * sde.end, steps - low)
        return np.concatenate([upper, np.linspace(0.3 * sde.end, sde.eps, low)])


class EndsEarly(Grid):
    """Its last step is a long one, at any number of steps."""

    name = "ends_early"

    def times(self, sde: SDE, steps: int) -> Array:
        return np.linspace(sde.end, 0.2 * sde.end, steps)


class Single(Grid):
    """Loses half of its digits."""

    name = "single"

    def times(self, sde: SDE, steps: int) -> Array:
        return np.linspace(sde.end, sde.eps, steps).astype(np.float32)


class BelowEps(Grid):
    """Goes on to t = 0."""

    name = "below_eps"

    def times(self, sde: SDE, steps: int) -> Array:
        return np.linspace(sde.end, 0, steps)


class OnVeAlone(Grid):
    """Takes the eps of VE for that of all."""

    name = "on_ve_alone"

    def times(self, sde: SDE, steps: int) -> Array:
        return np.linspace(sde.end, 1e-5, steps)


class GlobalJitter(Grid):
    """Moves the times by numpy's global generator."""

    name = "global_jitter"

    def times(self, sde: SDE, steps: int) -> Array:
        t = np.linspace(sde.end, sde.eps, steps)
        if steps > 2:
            t[1:-1] += 1e-6 * np.random.rand()
        return t


class Remembers(Grid):
    """Starts from the times of the call before."""

    name = "remembers"
    last: ClassVar[list[int]] = [1]

    def times(self, sde: SDE, steps: int) -> Array:
        t = np.linspace(sde.end, sde.eps, steps)
        if steps > 2:
            t[1] *= 1 - 1e-4 / self.last[0]
        self.last[0] = steps
        return t


class Deaf(Grid):
    """Has a parameter that it does not read."""

    name = "deaf"
    rho: float = param(default=7.0, help="exponent", above=0)

    def times(self, sde: SDE, steps: int) -> Array:
        return np.linspace(sde.end, sde.eps, steps)


class DeafToRounding(Deaf):
    """Does not read it either, and gets eps to rounding alone, as from an inverse."""

    name = "deaf_to_rounding"

    def times(self, sde: SDE, steps: int) -> Array:
        times = super().times(sde, steps)
        times[-1] = np.nextafter(times[-1], sde.end)
        return times


class WrongElsewhere(Grid):
    """Right at its parameter's default alone."""

    name = "wrong_elsewhere"
    rho: float = param(default=1.0, help="exponent", above=0)

    def times(self, sde: SDE, steps: int) -> Array:
        return np.linspace(sde.end, sde.eps, steps) * self.rho


class Never(Grid):
    """Refuses everything."""

    name = "never"

    def times(self, sde: SDE, steps: int) -> Array:
        raise BenchError("not today")


@pytest.mark.parametrize("name", [name for name in installed().names("grids") if name != "sigmas"])
def test_the_built_in_grids_pass(name: str) -> None:
    assert_conforms(name, registry=installed())


def test_a_list_of_levels_is_checked_at_its_own_number_of_steps() -> None:
    result = report("sigmas", sdes=("ve",), levels="50,1,0.1")
    assert result.passed
    (times,) = (finding for finding in result.findings if finding.name == "times")
    assert times.measured.startswith("1 of its grids on ve; ")


@pytest.mark.parametrize(
    ("mistaken", "caught"),
    [
        (Rising, "times"),
        (Short, "times"),
        (Never, "times"),
        (Single, "times"),
        (BelowEps, "times"),
        (Restless, "same each time"),
        (GlobalJitter, "same each time"),
        (Remembers, "same each time"),
        (Deaf, "other parameters"),
        (DeafToRounding, "other parameters"),
        (WrongElsewhere, "other parameters"),
        (Holed, "dense"),
        (EndsEarly, "dense"),
    ],
)
def test_a_mistaken_grid_is_caught(mistaken: type[Grid], caught: str) -> None:
    assert caught in failures(mistaken)


def test_a_grid_that_is_right_on_one_sde_alone_is_caught() -> None:
    assert failures(OnVeAlone, sdes=("ve",)) == set()
    assert {one.name for one in check(OnVeAlone, registry=installed()).failures} >= {"times"}


def test_the_loss_of_ddim_is_that_of_its_recursion() -> None:
    """DDIM's factors from step to step on data N(0, v), against the deviation of the flow."""
    sde = installed().build("sdes", "vp", {})
    t = np.linspace(sde.end, sde.eps, 20)
    deviation = 0.5
    alpha, sigma = sde.alpha(t), sde.sigma(t)
    variance = alpha**2 * deviation**2 + sigma**2
    clean, noise = alpha * deviation**2 / variance, sigma / variance
    factors = alpha[1:] * clean[:-1] + sigma[1:] * noise[:-1]
    share = np.prod(factors) * np.sqrt(variance[0] / variance[-1])
    assert ddim_loss(sde, t) == pytest.approx(1 - share, rel=1e-9)
