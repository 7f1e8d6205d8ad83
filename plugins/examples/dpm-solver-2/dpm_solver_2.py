"""DPM-Solver-2 (Lu et al. 2022, DPM-Solver, Algorithm 4): two network calls a step, second order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bench import (
    BenchError,
    Noise,
    Prediction,
    Predictor,
    Register,
    Step,
    Tensor,
    Update,
    hookimpl,
    param,
)


class DPMSolver2(Predictor):
    """The probability flow in half the log signal-to-noise ratio, by its value at an intermediate point.

    With ``lambda = ln(alpha / sigma)``, ``h = lambda' - lambda`` of a step and ``eps = -sigma s``:

        u  = alpha_m / alpha x - sigma_m (e^(r h) - 1) eps(x, lambda),          lambda_m = lambda + r h
        x' = alpha' / alpha x - sigma' (e^h - 1) [eps + (eps(u, lambda_m) - eps) / (2 r)].

    The last step, to clean data, is one call: ``x' = (x - sigma eps) / alpha``. N steps make 2 N - 1 calls.
    """

    name = "my_dpm_solver_2"
    uses_chain = False

    r: float = param(default=0.5, help="position of the second network call in a step", above=0, high=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.r == 1:
            raise BenchError("my_dpm_solver_2.r must be below 1")

    @property
    def convergence_order(self) -> float:
        return 2.0

    @property
    def linear(self) -> bool:
        return True

    def nfe(self, grid: Sequence[Step]) -> int:
        return 2 * len(grid) - 1

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.last:
            clean = (x + step.sigma**2 * p.score(x, step)) / step.alpha
            return Update(clean, clean)
        start = half_log_snr(step.alpha, step.sigma)
        h = half_log_snr(step.alpha_next, step.sigma_next) - start
        between = p.sde.level_at_half_log_snr(start + self.r * h)

        eps = -step.sigma * p.score(x, step)
        u = between.alpha / step.alpha * x - between.sigma * math.expm1(self.r * h) * eps
        eps_between = -between.sigma * p.score(u, between)

        slope = eps + (eps_between - eps) / (2 * self.r)
        x = step.alpha_next / step.alpha * x - step.sigma_next * math.expm1(h) * slope
        return Update(x, x)


def half_log_snr(alpha: float, sigma: float) -> float:
    """lambda = ln(alpha / sigma)."""
    return math.log(alpha / sigma)


@hookimpl
def register_predictors(register: Register) -> None:
    register(DPMSolver2)
