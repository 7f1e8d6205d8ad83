"""Time grids: the times that a sampler visits, and the steps between them."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from typing import ClassVar

import numpy as np

from bench.diffusion.levels import NoiseLevel, Step
from bench.diffusion.sde import SDE
from bench.errors import BenchError
from bench.params import Plugin
from bench.types import Array

ROUNDING = 1e-9
"""Relative distance from T or eps within which a grid's time counts as it."""


class Grid(Plugin):
    """A time grid: the times at which a run's steps start, from the prior at T down.

    A plugin defines `times`. Its parameters are fields.
    """

    has_chain: ClassVar[bool] = False
    """Whether the times are those of the SDE's published chain, on which steps have an index: of
    `UniformGrid` alone."""

    @abstractmethod
    def times(self, sde: SDE, steps: int) -> Array:
        """The times of a run, noisiest first. The last step, from the last of them, leads to clean data.

        Args:
            sde: The run's SDE, which defines eps, T, alpha and sigma.
            steps: Number of steps, and of times; at least 1.

        Returns:
            Times (steps,), float64, strictly falling, of which the first is T and none is below eps. T and
            eps may be reached to rounding alone.

        Raises:
            BenchError: The grid is not defined on the SDE, or for this number of steps.
        """


class UniformGrid(Grid):
    """t is evenly spaced from T to eps: the grid of the published chains.

    Samplers whose equation is written for an SDE's discrete chain take its published coefficients here, and
    those of the exact transition on any other grid.

    Source: Song et al. (2021), appendix C; Nichol & Dhariwal (2021) for the strided times of ``vp_cosine``.
    """

    name = "uniform"
    has_chain = True

    def times(self, sde: SDE, steps: int) -> Array:
        return sde.chain_times(steps)[::-1]


UNIFORM = UniformGrid()


def grid_times(grid: Grid, sde: SDE, steps: int) -> Array:
    """A grid's times, checked, in ascending order: ``t[-1] = T``.

    Args:
        grid: The time grid.
        sde: The SDE.
        steps: Number of steps, and of times; at least 1.

    Returns:
        Times (steps,), float64; T alone for one step. Where sigma / alpha is infinite at T, a grid that is
        even in it is so up to T - eps, whose place T takes.

    Raises:
        BenchError: ``steps`` is below 1, or the grid's times break its rules; the message names the grid.
    """
    if steps < 1:
        raise BenchError(f"steps must be at least 1, not {steps}")
    times = grid.times(sde, steps)
    try:
        t = np.array(times, dtype=np.float64)
    except (TypeError, ValueError):
        t = np.empty(0)
    fault = _fault(t, sde, steps)
    if fault:
        raise BenchError(f"the grid {grid.name} is wrong on {sde.name} at {steps} steps: {fault}")
    t = t[::-1].copy()
    t[0] = sde.eps if math.isclose(t[0], sde.eps, rel_tol=ROUNDING) else t[0]
    t[-1] = sde.end
    return t


def _fault(t: Array, sde: SDE, steps: int) -> str:
    """The rule of `Grid.times` that times break, in words; empty if they break none."""
    if t.shape != (steps,):
        return f"its times are no array of {steps} numbers"
    if not np.isfinite(t).all():
        return "a time is not finite"
    rises = np.flatnonzero(np.diff(t) >= 0)
    if rises.size:
        at = int(rises[0])
        return f"time {at + 2}, {t[at + 1]:.6g}, is not below time {at + 1}, {t[at]:.6g}"
    if not math.isclose(t[0], sde.end, rel_tol=ROUNDING):
        return f"it starts at t = {t[0]:.6g}, not at T = {sde.end:g}"
    if t[-1] < sde.eps * (1 - ROUNDING):
        return f"it ends at t = {t[-1]:.6g}, below eps = {sde.eps:g}"
    return ""


def label_levels(sde: SDE, steps: int, count: int) -> list[NoiseLevel]:
    """The levels at which a network of ``count`` noise scales is called on the uniform grid of ``steps``.

    Step i has the label ``floor(i count / steps)``: with half as many noise scales, floor(i / 2), the
    rounding interpolation of Song et al. (2021), Table 4. Length ``steps``, smallest noise first.
    """
    if count > steps:
        raise BenchError(f"label_scales ({count}) must not exceed steps ({steps})")
    t = sde.chain_times(count)
    levels = [dataclasses.replace(sde.at(float(t[k])), index=k, count=count) for k in range(count)]
    return [levels[i * count // steps] for i in range(steps)]


def schedule_of(sde: SDE, steps: int, grid: Grid = UNIFORM, *, chain: bool = True) -> list[Step]:
    """A run's steps, noisiest first, every coefficient computed once.

    On the uniform grid the chain is the published one; on any other it is the exact transition.

    Args:
        sde: The SDE.
        steps: Number of steps.
        grid: The time grid.
        chain: Whether the chain is read; if not, it is the exact transition on every grid.

    Raises:
        BenchError: The grid's times are wrong, or the SDE has no published chain of this number of steps.
    """
    t = grid_times(grid, sde, steps)
    t_next = np.concatenate([[0.0], t[:-1]])
    alpha_next = np.concatenate([[1.0], sde.alpha(t[:-1])])
    sigma_next = np.concatenate([[0.0], sde.sigma(t[:-1])])
    if grid.has_chain and chain:
        a, g = sde.chain(t, steps)
        alpha_ratio = sde.alpha_ratio(t, t_next, steps)
        ancestral_mean, ancestral_std = sde.ancestral_chain(t, t_next, steps)
    else:
        ancestral_mean, ancestral_std = a, g = sde.transition(t, t_next)
        alpha_ratio = a**2
    posterior, ancestral_sigma, v = np.zeros_like(t), np.zeros_like(t), 0.0
    for i in range(steps):
        v_next, v = v, ancestral_mean[i] ** 2 * v + ancestral_std[i] ** 2
        posterior[i] = ancestral_std[i] * math.sqrt(v_next / v)
        ancestral_sigma[i] = math.sqrt(v)
    # in the order of Step's fields
    columns = [t, sde.alpha(t), sde.sigma(t), t - t_next, t_next, alpha_next, sigma_next]
    columns += [sde.drift(t), sde.diffusion(t), a, g, alpha_ratio, ancestral_mean, ancestral_std, posterior]
    columns += [np.cumprod(ancestral_mean), ancestral_sigma, sde.alpha_slope(t), sde.sigma_slope(t)]
    rows = np.stack([np.broadcast_to(c, t.shape) for c in columns], axis=1).tolist()
    count = steps if grid.has_chain else None
    return [
        Step(
            *(t_, alpha_, sigma_, i if grid.has_chain else None, count, *rest),
            steps=steps,
            steps_left=i,
            alpha_slope=alpha_slope,
            sigma_slope=sigma_slope,
        )
        for i, (t_, alpha_, sigma_, *rest, alpha_slope, sigma_slope) in reversed(list(enumerate(rows)))
    ]
