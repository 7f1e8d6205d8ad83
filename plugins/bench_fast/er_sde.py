"""Extended reverse-time SDE solvers (Cui et al. 2023)."""

from __future__ import annotations

import functools
import math

import numpy as np

from bench import Noise, Prediction, Predictor, Step, Tensor, Update, param
from bench_fast.history import Entry, History, combine, extend


class ERSDE(Predictor):
    """``y' = r y + (1 - r) D + c_1 D' + c_2 D'' + sqrt(rho'^2 - r^2 rho^2) z``, ``r = phi(rho') / phi(rho)``.

    With ``y = x / alpha``, ``rho = sigma / alpha`` and the noise scale ``phi(rho) = rho (e^(rho^0.3) + 10)``;
    D', D'' are divided differences of the expected data in rho (D'' doubled), and

        c_1 = rho' - rho + phi(rho') int 1 / phi,
        c_2 = (rho' - rho)^2 / 2 + phi(rho') int (u - rho) / phi(u) du,

    integrals from rho' to rho, by sums of ``points`` left ends as the authors' code has them. The first steps
    use as many values as there are. One network call a step; the last step is D. The order, 2 at most, is
    that of the moments on Gaussian data, until the sums' own error, of order 1 and 1 / ``points``, shows.

    Source: Cui et al. (2023), "Elucidating the solution space of extended reverse-time SDE", Algorithms 1 to
    5.
    """

    name = "er_sde"
    uses_chain = False

    order: int = param(default=3, help="values of the expected data that a step uses", low=1, high=3)
    points: int = param(default=100, help="points of the sums that stand for integrals", low=10, high=100_000)

    @property
    def convergence_order(self) -> float:
        # left ends are off by 1 / points of h^2 a step, which at 100 points is most of the error of 500 steps
        return min(self.order, 2.0) if self.points >= 1000 else 1.0

    @property
    def linear(self) -> bool:
        return True

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: History | None) -> Update:
        clean = p.denoised(x, step)
        if step.last:
            return Update(clean, clean)
        history = extend(state, Entry(step, clean), self.order)
        rho = [entry.level.sigma / entry.level.alpha for entry in history]
        end = step.sigma_next / step.alpha_next
        r = noise_scale(end) / noise_scale(rho[0])
        weights = _weights(tuple(rho), end, self.points)
        terms = [(step.alpha_next * w, entry.output) for w, entry in zip(weights, history, strict=True)]
        mean = combine((step.alpha_next / step.alpha * r, x), *terms)
        deviation = step.alpha_next * math.sqrt(max(end**2 - (r * rho[0]) ** 2, 0.0))
        return Update(combine((1.0, mean), (deviation, noise(x))), mean, history)


def noise_scale(rho: float) -> float:
    """phi, the authors' choice of seven."""
    return rho * (math.exp(rho**0.3) + 10)


@functools.lru_cache(maxsize=4096)
def _weights(rho: tuple[float, ...], end: float, points: int) -> list[float]:
    """Factors of D and of its past values, which were predicted at rho, newest first."""
    here = rho[0]
    weights = [1 - noise_scale(end) / noise_scale(here), *[0.0] * (len(rho) - 1)]
    if len(rho) == 1:
        return weights
    width = (here - end) / points
    u = end + width * np.arange(points)
    density = width / (u * (np.exp(u**0.3) + 10))
    c_1 = end - here + noise_scale(end) * float(density.sum())
    slope = c_1 / (here - rho[1])
    if len(rho) == 3:
        c_2 = (end - here) ** 2 / 2 + noise_scale(end) * float(((u - here) * density).sum())
        bend = 2 * c_2 / (here - rho[2])
        slope += bend / (here - rho[1])
        older = bend / (rho[1] - rho[2])
        weights[1] -= older
        weights[2] += older
    weights[0] += slope
    weights[1] -= slope
    return weights
