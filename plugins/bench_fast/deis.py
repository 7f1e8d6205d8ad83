"""DEIS (Zhang and Chen 2023): the noise extrapolated by a polynomial, integrated exactly."""

from __future__ import annotations

import functools
import math
from typing import Literal

import numpy as np

from bench import SDE, Array, Noise, Prediction, Predictor, Step, Tensor, Update, param
from bench_fast.history import History, Past, combine, data, remembered


class DEIS(Predictor):
    """``x' / alpha' = x / alpha + sum_j C_j eps_j``, ``C_j = int_rho^rho' l_j drho`` (AB-DEIS, eq. 14, 15).

    l_j are Lagrange's polynomials through the times of this and the last predictions, in t (tAB-DEIS) or in
    ln rho; begins with as many as there are. The last step, to rho = 0, is the expected data.
    """

    name = "deis"

    order: int = param(
        default=4, help="predictions that the polynomial goes through: 4 is tAB3 of the paper", low=1, high=4
    )
    variable: Literal["t", "log_rho"] = param(default="t", help="what the polynomial is of")

    @property
    def linear(self) -> bool:
        return True

    @property
    def convergence_order(self) -> float:
        return float(self.order)

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: History | None) -> Update:
        s = p.score(x, step)
        if step.last:
            clean = data(x, s, step)
            return Update(clean, clean)
        history = remembered(Past(step, s.mul(-step.sigma)), state, self.order)
        nodes = tuple((one.level.t, one.level.sigma / one.level.alpha) for one in history)
        weights = integrals(p.sde, nodes, step.sigma_next / step.alpha_next, self.variable)
        terms = [(step.alpha_next * w, one.output) for w, one in zip(weights, history, strict=True)]
        x = combine((step.alpha_next / step.alpha, x), *terms)
        return Update(x, x, history)


@functools.lru_cache(maxsize=4096)
def integrals(
    sde: SDE, nodes: tuple[tuple[float, float], ...], end: float, variable: Literal["t", "log_rho"]
) -> list[float]:
    """C_j, by Gauss-Legendre quadrature from the newest node's rho to ``end``; nodes are (t, rho).

    The integrand is a polynomial in t(rho), or in ln rho, smooth: 32 points leave no more than float error.
    """
    place, weight = np.polynomial.legendre.leggauss(32)
    start = nodes[0][1]
    if variable == "t":
        rho = start + (end - start) * (place + 1) / 2
        u, known = sde.time_at(np.log(rho)), np.array([t for t, _ in nodes])
        weight = weight * (end - start) / 2
    else:
        low, high = math.log(start), math.log(end)
        u, known = low + (high - low) * (place + 1) / 2, np.log([rho for _, rho in nodes])
        weight = weight * (high - low) / 2 * np.exp(u)
    return [float(weight @ _lagrange(known, j, u)) for j in range(len(known))]


def _lagrange(known: Array, j: int, u: Array) -> Array:
    """The polynomial that is 1 at node j and 0 at the others."""
    others = np.delete(known, j)
    found: Array = np.prod((u[:, None] - others) / (known[j] - others), axis=1)
    return found
