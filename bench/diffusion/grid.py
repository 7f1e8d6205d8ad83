"""Time grids: the times that a sampler visits, and the steps between them."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np

from bench.diffusion.levels import NoiseLevel, Step
from bench.diffusion.sde import SDE
from bench.errors import BenchError
from bench.types import Array

GridKind = Literal["uniform", "logsnr", "polynomial"]


def time_grid(sde: SDE, steps: int, kind: GridKind = "uniform", rho: float = 7.0) -> Array:
    """The times at which a run's steps start, ascending: ``t[0] = eps``, ``t[-1] = T``.

    * ``uniform``: t is evenly spaced (Song et al. 2021).
    * ``logsnr``: ``ln(sigma / alpha)`` is evenly spaced.
    * ``polynomial``: ``(sigma / alpha)^(1 / rho)`` is evenly spaced (Karras et al. 2022, eq. 5).

    Args:
        sde: The SDE, which defines eps, T, alpha and sigma.
        steps: Number of steps, and of times; at least 1.
        kind: Which of the three grids.
        rho: Exponent of the polynomial grid.

    Returns:
        Times (steps,), float64; T alone for one step. Where sigma / alpha is infinite at T, a grid that is
        even in it is so up to T - eps, whose place T takes.

    Raises:
        BenchError: ``steps`` is below 1.
    """
    if steps < 1:
        raise BenchError(f"steps must be at least 1, not {steps}")
    if steps == 1:
        return np.array([sde.end])
    if kind == "uniform":
        return sde.snap(np.linspace(sde.eps, sde.end, steps), steps)
    low, high = sde.log_sigma_ratio_range
    if kind == "logsnr":
        log_sigma_ratio = np.linspace(low, high, steps)
    else:
        log_sigma_ratio = rho * np.log(np.linspace(np.exp(low / rho), np.exp(high / rho), steps))
    t = sde.time_at(log_sigma_ratio)
    # bisection finds the ends to rounding: put their own values there
    t[0], t[-1] = sde.eps, sde.end
    return t


def label_levels(sde: SDE, steps: int, count: int) -> list[NoiseLevel]:
    """The levels at which a network of ``count`` noise scales is called on the uniform grid of ``steps``.

    Step i has the label ``floor(i count / steps)``: with half as many noise scales, floor(i / 2), the
    rounding interpolation of Song et al. (2021), Table 4. Length ``steps``, smallest noise first.
    """
    if count > steps:
        raise BenchError(f"label_scales ({count}) must not exceed steps ({steps})")
    t = time_grid(sde, count)
    levels = [dataclasses.replace(sde.at(float(t[k])), index=k, count=count) for k in range(count)]
    return [levels[i * count // steps] for i in range(steps)]


def schedule_of(sde: SDE, steps: int, kind: GridKind = "uniform", rho: float = 7.0) -> list[Step]:
    """A run's steps, noisiest first, every coefficient computed once.

    On the uniform grid the chain is the published one; on any other it is the exact transition.
    """
    t = time_grid(sde, steps, kind, rho)
    t_next = np.concatenate([[0.0], t[:-1]])
    alpha_next = np.concatenate([[1.0], sde.alpha(t[:-1])])
    sigma_next = np.concatenate([[0.0], sde.sigma(t[:-1])])
    uniform = kind == "uniform"
    if uniform:
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
    count = steps if uniform else None
    return [
        Step(
            *(t_, alpha_, sigma_, i if uniform else None, count, *rest),
            steps=steps,
            alpha_slope=alpha_slope,
            sigma_slope=sigma_slope,
        )
        for i, (t_, alpha_, sigma_, *rest, alpha_slope, sigma_slope) in reversed(list(enumerate(rows)))
    ]
