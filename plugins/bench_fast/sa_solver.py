"""SA-Solver (Xue et al. 2023): a stochastic Adams method with a corrector that costs no network call."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from bench import Array, Noise, NoiseLevel, Prediction, Predictor, Step, Tensor, Update, param
from bench_fast.history import Entry, History, combine, extend, final_order, half_log_snr


class SAState(NamedTuple):
    """What the corrector needs of the last step: where it started, its mean and its amount of noise."""

    history: History
    x: Tensor
    level: Step
    mean: Tensor
    tau: float


class SASolver(Predictor):
    """``x' = sigma' / sigma e^(-tau^2 h) x + alpha' sum_j b_j D_j + sigma' sqrt(1 - e^(-2 tau^2 h)) z``.

    With ``lambda = ln(alpha / sigma)``, ``h = lambda' - lambda``, ``k = (1 + tau^2) h``, u the place along
    the step and l_j Lagrange's polynomials through the values of the expected data,

        b_j = k int_0^1 e^(-k (1 - u)) l_j(u) du.

    The predictor uses the last values; the corrector, once the network has been called at the new state,
    repeats the step with the new value and adds what was added to its mean: the same noise, and the moves of
    a run's corrector. Of two values the integral of u is k / 2, as in the authors' code. The orders fall
    before eps, and the last step is D: where m steps to eps are left, the corrector uses m + 1 values at
    most, as ComfyUI's does; that of the authors and of diffusers uses m + 2. tau is 0 where sigma / alpha at
    the step's end lies outside ``s_tmin`` and ``s_tmax``. One network call a step.

    Source: Xue et al. (2023), eq. 14 to 18 and appendix D, as in ComfyUI's ``sample_sa_solver``; the interval
    of CIFAR-10 is the paper's.
    """

    name = "sa_solver"
    uses_chain = False

    order: int = param(default=3, help="values that the predictor uses", low=1, high=4)
    corrector_order: int = param(default=4, help="values that the corrector uses; 0: none", low=0, high=4)
    tau: float = param(default=1.0, help="amount of noise: 0 none, 1 that of the reverse SDE", low=0)
    s_tmin: float = param(default=0.05, help="sigma / alpha below which no noise is added", low=0)
    s_tmax: float = param(default=1.0, help="sigma / alpha above which no noise is added", low=0)

    @property
    def convergence_order(self) -> float | None:
        if self.tau:
            return None
        return 1.0 if self.order == 1 and self.corrector_order <= 1 else 2.0

    @property
    def linear(self) -> bool:
        return True

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: SAState | None) -> Update:
        clean = p.denoised(x, step)
        if step.last:
            return Update(clean, clean)
        longest = max(self.order, self.corrector_order)
        history = extend(state.history if state else None, Entry(step, clean), longest)
        if state is not None and self.corrector_order:
            order = min(self.corrector_order, step.steps_left + 1)
            added = x - state.mean
            x = adams(state.x, state.level, step, history[:order], state.tau).add_(added)
        end = NoiseLevel(step.t_next, step.alpha_next, step.sigma_next)
        ratio = end.sigma / end.alpha
        tau = self.tau if self.s_tmin <= ratio <= self.s_tmax else 0.0
        mean = adams(x, step, end, history[: final_order(self.order, step.steps_left)], tau)
        after = mean
        if tau:
            h = half_log_snr(end) - half_log_snr(step)
            after = noise(x).mul_(end.sigma * math.sqrt(-math.expm1(-2 * tau**2 * h))).add_(mean)
        return Update(after, mean, SAState(history, x, step, mean, tau))


def adams(x: Tensor, start: NoiseLevel, end: NoiseLevel, history: History, tau: float) -> Tensor:
    """The step's mean from x at ``start`` to ``end``, by the values of ``history``, newest first."""
    here = half_log_snr(start)
    h = half_log_snr(end) - here
    places = tuple((half_log_snr(entry.level) - here) / h for entry in history)
    terms = [
        (end.alpha * b, entry.output)
        for b, entry in zip(integrals((1 + tau**2) * h, places), history, strict=True)
    ]
    return combine((end.sigma / start.sigma * math.exp(-(tau**2) * h), x), *terms)


@functools.lru_cache(maxsize=4096)
def integrals(k: float, places: tuple[float, ...]) -> list[float]:
    """b_j; ``places`` are u of the values, newest first, one of them 0, where the step starts.

    By Gauss-Legendre quadrature: the integrand is smooth, and 32 points leave float error up to k = 30.
    """
    whole = -math.expm1(-k)
    if len(places) == 2:
        other = 0 if places[0] else 1  # the place that is not the start
        b = [whole, whole]
        b[other] = k / 2 / places[other]
        b[1 - other] = whole - b[other]
        return b
    point, weight = np.polynomial.legendre.leggauss(32)
    u = (point + 1) / 2
    density = weight / 2 * k * np.exp(-k * (1 - u))
    return [float(density @ _lagrange(np.array(places), j, u)) for j in range(len(places))]


def _lagrange(places: Array, j: int, u: Array) -> Array:
    """The polynomial that is 1 at place j and 0 at the others, at the points u."""
    others = np.delete(places, j)
    values: Array = np.prod((u[:, None] - others) / (places[j] - others), axis=1)
    return values
