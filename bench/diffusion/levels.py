"""Noise levels, and the steps between them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from bench.types import Array


@dataclasses.dataclass(frozen=True, slots=True)
class NoiseLevel:
    """A point of the forward process: ``x(t) = alpha x(0) + sigma noise`` at time t.

    Args:
        t: Time, from 0 (clean data) to the SDE's end T.
        alpha: Factor of the data in the marginal, 1 for clean data.
        sigma: Standard deviation of the noise, in units of the data range; 0 for clean data.
        index: The level's position on the published uniform grid, 0 for the smallest noise; None off
            that grid.
        count: Number of levels of that grid; None off it.
        alpha_slope: d alpha / dt; None where the level was made without its SDE.
        sigma_slope: d sigma / dt; None likewise.

    Source: Song et al. (2021), section 3.3, the perturbation kernel.
    """

    t: float
    alpha: float
    sigma: float
    index: int | None = None
    count: int | None = None
    # t and the SDE decide them, so that levels are equal without them
    alpha_slope: float | None = dataclasses.field(default=None, kw_only=True, compare=False)
    sigma_slope: float | None = dataclasses.field(default=None, kw_only=True, compare=False)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class RowLevels:
    """A noise level for each state of a batch.

    Args:
        t: Times (B,), float64 on the host.
        alpha: Factors of the data (B,).
        sigma: Standard deviations of the noise (B,).
    """

    t: Array
    alpha: Array
    sigma: Array


@dataclasses.dataclass(frozen=True, slots=True)
class Step(NoiseLevel):
    """One move of a run, from a noise level to the next, less noisy one: ``x_i = a x_{i-1} + g z``.

    The equation is the forward move of the chain: x_i is at this level, x_{i-1} at the next one, and x_{-1}
    is clean data. A run computes every coefficient once, in float64 on the host. Standard deviations are in
    units of the data range. The fields t, alpha, sigma, index, count and slopes are those of `NoiseLevel`.

    Args:
        dt: ``t - t_next``, above 0.
        t_next: Time of the next level; 0, clean data, on the last step.
        alpha_next: alpha of the next level.
        sigma_next: sigma of the next level.
        drift: f(t) of the SDE ``dx = f(t) x dt + g(t) dw``.
        diffusion: g(t) of the SDE.
        a: Mean factor of the chain's forward move.
        g: Standard deviation of the chain's forward move.
        alpha_ratio: Squared mean factor of the move, the alpha_i of the Langevin corrector (Song et al.
            2021, Algorithm 5).
        ancestral_mean: Mean factor of the forward move that ancestral sampling reverses: the published
            chain's, or the exact transition's where no chain is published.
        ancestral_std: Standard deviation of that move.
        posterior: Standard deviation of x_{i-1} given x_i and x_0 on the ancestral chain,
            ``ancestral_std sqrt(v_{i-1} / v_i)`` with ``v_i = ancestral_mean^2 v_{i-1} + ancestral_std^2``.
        ancestral_alpha: alpha of the ancestral chain's own marginal at this level.
        ancestral_sigma: sigma of the ancestral chain's own marginal at this level, ``sqrt(v_i)``.
        steps: Number of steps of the run, on any grid.
        steps_left: Number of the run's steps after this one, 0 on the last.

    Source: Song et al. (2021), appendices E and F; Ho et al. (2020), eq. 7, for ``posterior``.
    """

    dt: float = 0.0
    t_next: float = 0.0
    alpha_next: float = 1.0
    sigma_next: float = 0.0
    drift: float = 0.0
    diffusion: float = 0.0
    a: float = 1.0
    g: float = 0.0
    alpha_ratio: float = 1.0
    ancestral_mean: float = 1.0
    ancestral_std: float = 0.0
    posterior: float = 0.0
    ancestral_alpha: float = 1.0
    ancestral_sigma: float = 0.0
    steps: int = dataclasses.field(default=1, kw_only=True)
    steps_left: int = dataclasses.field(default=0, kw_only=True)

    @property
    def last(self) -> bool:
        """Whether the step ends on clean data."""
        return self.sigma_next == 0


CLEAN_DATA = NoiseLevel(0.0, 1.0, 0.0)
"""The level of clean data."""


def per_sample(values: Array, x: Tensor) -> Tensor:
    """Numbers of the samples of a batch as a tensor that multiplies their states: ``v[i] x[i]`` is ``v * x``.

    For samplers whose samples are at times of their own: coefficients are computed as arrays on the host,
    such as ``sde.alpha(t)`` of times t (B,), and go to the device at once.

    Args:
        values: A number for each sample (B,), float64.
        x: The states (B, ...), used for shape, precision and device alone.

    Returns:
        A tensor (B, 1, ...) with as many axes as x, of its precision and device.
    """
    return x.new_tensor(values).view(-1, *[1] * (x.dim() - 1))
