"""Time grids that choose noise levels, by ``rho = sigma / alpha``, wherever these lie in time.

Where alpha is 0 at T, rho is infinite there: these grids then begin with T, and go on as if they had begun at
T - eps.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from bench import SDE, Array, BenchError, Grid, param


def log_ratio_ends(sde: SDE) -> tuple[float, float]:
    """``ln(sigma / alpha)`` at T and at eps; where it is infinite at T, that at T - eps stands for it."""
    low, high = sde.log_sigma_ratio_range
    return high, low


def times_at(sde: SDE, log_ratio: Array) -> Array:
    """The times of ``ln(sigma / alpha)``, the first of which is T."""
    t = sde.time_at(log_ratio)
    t[0] = sde.end
    return t


class LogSNR(Grid):
    """``ln(sigma / alpha)`` is evenly spaced from T to eps (Lu et al. 2022, DPM-Solver, section 3.4)."""

    name = "logsnr"

    def times(self, sde: SDE, steps: int) -> Array:
        return times_at(sde, np.linspace(*log_ratio_ends(sde), steps))


class Polynomial(Grid):
    """``(sigma / alpha)^(1 / rho)`` is evenly spaced from T to eps (Karras et al. 2022, eq. 5)."""

    name = "polynomial"

    rho: float = param(
        default=7.0, help="exponent; larger values crowd the steps at small noise", above=0, flag="rho"
    )

    def times(self, sde: SDE, steps: int) -> Array:
        high, low = log_ratio_ends(sde)
        root = np.linspace(math.exp(high / self.rho), math.exp(low / self.rho), steps)
        return times_at(sde, self.rho * np.log(root))


TOLERANCE = 0.01
"""Relative distance from T's sigma / alpha within which the first value of a list stands for T."""


class Sigmas(Grid):
    """A list of noise levels, from T's down: ``-P grid.levels=50,10,1,0.1`` with ``--steps 4``.

    A level is given by its sigma / alpha (sigma itself on an SDE with alpha = 1), or by its time. The first
    one is T's, to one per cent. The last step leads from the last level to clean data: a zero at the
    list's end, as in diffusers, is left out.

    Raises:
        BenchError: The list is empty, does not fall, leaves the SDE's range, or has not ``--steps`` levels.
    """

    name = "sigmas"

    levels: tuple[float, ...] = param(
        default=(), help="falling numbers with commas between them, or @FILE with such numbers", above=0
    )
    variable: Literal["sigma_ratio", "t"] = param(
        default="sigma_ratio", help="what gives a level: sigma / alpha, or its time"
    )

    def times(self, sde: SDE, steps: int) -> Array:
        if not self.levels:
            raise BenchError("the grid sigmas needs its levels: give -P grid.levels=50,10,1,0.1 or @FILE")
        if steps != len(self.levels):
            raise BenchError(
                f"the grid sigmas has {len(self.levels)} levels, not {steps}: give --steps {len(self.levels)}"
            )
        levels = np.array(self.levels)
        if self.variable == "t":
            return levels
        if sde.ends_in_noise:
            raise BenchError(
                f"the grid sigmas starts at T, where sigma / alpha of {sde.name} is infinite: give the "
                "levels by their times, with -P grid.variable=t"
            )
        high, low = (math.exp(end) for end in log_ratio_ends(sde))
        if not math.isclose(levels[0], high, rel_tol=TOLERANCE):
            raise BenchError(
                f"the grid sigmas starts at {levels[0]:g}, but sigma / alpha of {sde.name} is {high:g} at T, "
                f"where runs start: begin the list with {high:g}, or change the parameters of {sde.name}"
            )
        if levels[-1] < low * (1 - 1e-9):
            raise BenchError(
                f"the grid sigmas ends at {levels[-1]:g}, below sigma / alpha of {sde.name} at eps, {low:g}: "
                "leave out such levels, or set a smaller -P sde.eps"
            )
        return times_at(sde, np.log(levels))


LISTS = {
    "sd15": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    "sdxl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
    "svd": (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
}
"""sigma / alpha at the ends of ten steps; research.nvidia.com/labs/toronto-ai/AlignYourSteps/howto.html."""


class AlignYourSteps(Grid):
    """The levels that were optimized for a model at ten steps (Sabour et al. 2024, Align Your Steps).

    For another number of steps, ln(sigma / alpha) is interpolated linearly in the step's number, as
    published. The last of the list's levels, where the authors' sampling ends, is clean data here, as in
    diffusers. T takes the first level's place; the levels between are the list's own on every SDE.

    Raises:
        BenchError: A level lies beyond the SDE's range.
    """

    name = "ays"

    model: Literal["sd15", "sdxl", "svd"] = param(
        default="sd15", help="Stable Diffusion 1.5, Stable Diffusion XL, or Stable Video Diffusion"
    )

    def times(self, sde: SDE, steps: int) -> Array:
        levels = np.log(LISTS[self.model])
        at = np.linspace(0, len(levels) - 1, steps + 1)[:-1]
        log_ratio = np.interp(at, np.arange(len(levels)), levels)
        high, low = log_ratio_ends(sde)
        own = log_ratio[1:]
        if own.size and not low <= own[-1] <= own[0] < high:
            first, last = math.exp(own[0]), math.exp(own[-1])
            raise BenchError(
                f"the grid ays visits sigma / alpha from {first:g} to {last:g}, but {sde.name} has "
                f"{math.exp(high):g} to {math.exp(low):g}: choose another -P grid.model, or another SDE"
            )
        return times_at(sde, log_ratio)
