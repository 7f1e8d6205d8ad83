"""What the fitted grids share: their times, and fine trajectories of the probability flow."""

from __future__ import annotations

import itertools
import math

import numpy as np

from bench import SDE, Array, BenchError, Fittable, Grid, NoiseLevel, Prediction, Tensor

RHO = 7.0
"""Exponent of the polynomial spacing of nodes, that of Karras et al. (2022)."""


class FittedGrid(Fittable, Grid):
    """A grid whose artifact has its times; a subclass defines `fit`, which returns them as ``times``."""

    def times(self, sde: SDE, steps: int) -> Array:
        values = self.fit_values().get("times")
        try:
            times = np.array(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise BenchError(f"the artifact of {self.name} holds no times: fit it again") from error
        if times.shape != (steps,):
            raise BenchError(f"the artifact of {self.name} has {times.size} times, not {steps}: fit it again")
        return times


def node_times(sde: SDE, count: int) -> Array:
    """``count`` times from T to eps, with ``(sigma / alpha)^(1 / RHO)`` evenly spaced, (count,); T for one.

    Where sigma / alpha is infinite at T, the spacing is that from T - eps, whose place T takes.
    """
    low, high = sde.log_sigma_ratio_range
    root = np.linspace(math.exp(high / RHO), math.exp(low / RHO), count)
    times = np.array(sde.time_at(RHO * np.log(root)), dtype=np.float64)
    times[-1], times[0] = sde.eps, sde.end
    return times


def move(x: Tensor, clean: Tensor, level: NoiseLevel, end: NoiseLevel) -> Tensor:
    """The state at ``end`` if the expected data stays: ``alpha' D + sigma' / sigma (x - alpha D)``.

    It is DDIM's step, Euler's in ``rho = sigma / alpha`` for ``x / alpha``, and has a limit at alpha = 0.
    """
    ratio = end.sigma / level.sigma
    return x * ratio + clean * (end.alpha - ratio * level.alpha)


def trajectory(prior: Tensor, p: Prediction, times: Array) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """The flow's states at the times by Heun's method, from noise to clean data.

    A step is `move` with the mean of the expected noises of its ends in place of that of its start; two
    network calls, and at the last time one.

    Args:
        prior: Standard normal noise (B, ...).
        p: The network.
        times: The times (n,), from T down.

    Returns:
        The states at the times, the expected data there, and the clean data ``E[x0 | x]`` at the end.
    """
    levels = [p.sde.at(float(t)) for t in times]
    x = prior * p.sde.prior_std
    states, data = [x], [p.denoised(x, levels[0])]
    for level, end in itertools.pairwise(levels):
        ahead = move(x, data[-1], level, end)
        clean = p.denoised(ahead, end)
        if level.alpha > 0:
            noise = (x - level.alpha * data[-1]) / level.sigma
            noise = noise + (ahead - end.alpha * clean) / end.sigma
            slope = noise * ((end.sigma / end.alpha - level.sigma / level.alpha) / 2)
            ahead = end.alpha * (x / level.alpha + slope)
            clean = p.denoised(ahead, end)
        x = ahead
        states.append(x)
        data.append(clean)
    return states, data, data[-1]
