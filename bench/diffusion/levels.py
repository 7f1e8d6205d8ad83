"""Noise levels, and the steps between them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


@dataclasses.dataclass(frozen=True, slots=True)
class NoiseLevel:
    """A noise level: time t with its marginal ``x(t) = alpha x(0) + sigma noise``.

    ``index`` of ``count`` is the scale's integer position on the published uniform grid (0 is the
    smallest noise); both are None off that grid.
    """

    t: float
    alpha: float
    sigma: float
    index: int | None = None
    count: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Step(NoiseLevel):
    """One scale of a run: its level, the next (less noisy) one, and the chain between the two.

    ``a`` and ``g`` are the discrete forward step ``x_i = a x_{i-1} + g z`` that leads here from the
    next scale; ``drift`` and ``diffusion`` are f(t) and g(t); ``dt = t - t_next > 0``. ``alpha_ratio`` is
    the squared mean factor of the step, the alpha_i of the Langevin corrector. ``ancestral_mean``, ``ancestral_std``
    are the chain that ancestral sampling reverses (the published one, or the exact transition where
    none is published) and ``posterior`` the standard deviation of x_{i-1} given x_i and x_0 on it,
    ``ancestral_std sqrt(v_{i-1} / v_i)`` with ``v_i = ancestral_mean^2 v_{i-1} + ancestral_std^2``; ``ancestral_alpha``, ``ancestral_sigma``
    are that chain's own marginal at this scale. The last scale's next level is t = 0, clean data.
    ``steps`` is the number of scales of the run, whatever its grid.
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

    @property
    def last(self) -> bool:
        """Whether the step from here ends on clean data."""
        return self.sigma_next == 0


CLEAN = NoiseLevel(0.0, 1.0, 0.0)
"""The level of clean data."""
