"""iPNDM (Liu et al. 2022, as improved by Zhang and Chen 2023): DDIM with Adams-Bashforth weights, and its
variant with weights of uneven steps (Zhou et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from bench import Noise, Prediction, Predictor, Step, Tensor, Update, param
from bench_fast.history import Entry, History, combine, extend

WEIGHTS = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
"""Adams-Bashforth weights by the number of predictions, newest first."""


class IPNDM(Predictor):
    """``x' / alpha' = x / alpha + (rho' - rho) sum_j w_j eps_j``, w of the Adams-Bashforth method.

    With ``rho = sigma / alpha``. The weights are those of even steps in rho on every grid. Where the steps
    shrink smoothly, as on the logsnr grid, the error's first two orders are those of DDIM times the steps'
    relative change, itself of the order of a step: second order in all. The first steps use as many
    predictions as there are (Zhang and Chen 2023, appendix), where PNDM took Runge-Kutta steps; the last step
    is the expected data.
    """

    name = "ipndm"
    uses_chain = False
    smooth_grids = True

    order: int = param(default=4, help="predictions that a step combines", low=1, high=4)

    @property
    def linear(self) -> bool:
        return True

    @property
    def convergence_order(self) -> float:
        return min(self.order, 2.0)

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: History | None) -> Update:
        if step.last:
            clean = p.denoised(x, step)
            return Update(clean, clean)
        history = extend(state, Entry(step, p.noise(x, step)), self.order)
        change = step.sigma_next - step.alpha_next / step.alpha * step.sigma
        rho = [entry.level.sigma / entry.level.alpha for entry in history]
        weights = self.weights_of(rho, step.sigma_next / step.alpha_next)
        terms = [(change * w, entry.output) for w, entry in zip(weights, history, strict=True)]
        x = combine((step.alpha_next / step.alpha, x), *terms)
        return Update(x, x, history)

    def weights_of(self, rho: list[float], end: float) -> Sequence[float]:
        """w_j, newest first: rho are the places of the noises, the step leads from the first to ``end``."""
        del end
        return WEIGHTS[len(rho) - 1]


class IPNDMv(IPNDM):
    """iPNDM with weights for uneven steps: ``x' / alpha' = x / alpha + (rho' - rho) sum_j w_j eps_j``.

    With h the step in ``rho = sigma / alpha`` and h_1, h_2, h_3 the last ones. ``exact`` weights are those
    of the variable Adams-Bashforth method: the integral over the step of the polynomial through the noises.
    ``published`` are those of the authors' code, which differ from three noises on: of three they agree on
    even steps, and of four they sum to 1 where h_1 / h_2 = h_2 / h_3 alone, so that the error falls at
    first order at tens of steps, and at second in the limit.

    Source: Zhou et al. (2023), "Fast ODE-based sampling for diffusion models in around 5 steps",
    ``ipndm_v_sampler`` of zju-pi/diff-sampler.
    """

    name = "ipndm_v"

    weights: Literal["published", "exact"] = param(
        default="published", help="weights: of the authors' code, or of the variable Adams-Bashforth method"
    )

    @property
    def convergence_order(self) -> float:
        return 1.0 if self.order == 4 and self.weights == "published" else float(self.order)

    def weights_of(self, rho: list[float], end: float) -> list[float]:
        return (published_weights if self.weights == "published" else exact_weights)(rho, end)


def exact_weights(rho: list[float], end: float) -> list[float]:
    """Integrals from rho[0] to ``end`` of Lagrange's polynomials through rho, newest first, over the step."""
    nodes = (np.array(rho) - rho[0]) / (end - rho[0])
    sides = 1 / np.arange(1, len(rho) + 1)
    solution: list[float] = np.linalg.solve(np.vander(nodes, increasing=True).T, sides).tolist()
    return solution


def published_weights(rho: list[float], end: float) -> list[float]:
    """The weights of the authors' code, newest first; rho are the places of the noises."""
    h, *past = (a - b for a, b in zip([end, *rho], rho, strict=False))
    if not past:
        return [1.0]
    h_1, *older = past
    weights = [1 + h / (2 * h_1), -h / (2 * h_1), 0.0, 0.0]
    if older:
        h_2 = older[0]
        second = (1 - h**2 / (3 * h_1 * (h_1 + h_2))) / 2
        q = h_1 / h_2
        weights = _add(weights, second, (1, -(1 + q), q, 0))
    if len(older) == 2:
        h_3 = older[1]
        third = (1 - h / (3 * (h + h_1))) / 2 + (1 - h / (2 * (h + h_1))) * h / (6 * (h + h_1 + h_2))
        third *= h * (h + h_1) * (h + h_1 + h_2) / (h_1 * (h_1 + h_2) * (h_1 + h_2 + h_3))
        s = h_1 * (h_1 + h_2) / (h_2 * (h_2 + h_3))
        weights = _add(weights, third, (1, -(1 + q + s), q + s * (1 + h_2 / h_3), -s * q))
    return weights[: len(rho)]


def _add(weights: list[float], factor: float, pattern: tuple[float, ...]) -> list[float]:
    return [w + factor * part for w, part in zip(weights, pattern, strict=True)]
