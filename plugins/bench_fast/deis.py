"""DEIS (Zhang and Chen 2023): the noise extrapolated by a polynomial, integrated exactly."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Literal

import numpy as np

from bench import SDE, Array, BenchError, Noise, Prediction, Predictor, Step, Tensor, Update, param
from bench_fast.history import Entry, History, LowerOrderFinal, combine, extend, final_order

LARGEST_FACTOR = 300.0
"""Largest ``sum_j |C_j| / |rho' - rho|`` of a step: 6.7 on even nodes of order 4, below 150 on every grid of
a built-in SDE in its own variable."""


class DEIS(Predictor):
    """``x' / alpha' = x / alpha + sum_j C_j eps_j``, ``C_j = int_rho^rho' l_j drho`` (AB-DEIS, eq. 14, 15).

    With ``rho = sigma / alpha``; l_j are Lagrange's polynomials through the times of this and the last
    predictions, in t (tAB-DEIS) or in ln rho. The first steps use as many predictions as there are; the last
    step, to rho = 0, is the expected data. The order stays as it is up to eps, as in the authors' code;
    diffusers' lowers it (``lower_order_final``, on by default).

    Raises:
        BenchError: A step's ``sum_j |C_j|`` exceeds `LARGEST_FACTOR` times its length ``|rho' - rho|``: the
            polynomial is extrapolated so far beyond its nodes that the result is noise.
    """

    name = "deis"
    uses_chain = False

    order: int = param(
        default=4, help="predictions that the polynomial goes through: 4 is tAB3 of the paper", low=1, high=4
    )
    variable: Literal["published", "t", "log_sigma_ratio"] = param(
        default="published",
        help="variable of the polynomial: t, ln(sigma / alpha), or published: t, but ln(sigma / alpha) on "
        "vp_cosine, whose last steps in t are too uneven",
    )

    lower_order_final: LowerOrderFinal = param(
        default="published",
        help="whether the order falls to 1 before eps: always, never, or published: never",
    )

    def resolve(self, sde: SDE) -> DEIS:
        variable = sde.multistep_variable if self.variable == "published" else self.variable
        return dataclasses.replace(self, variable=variable)

    @property
    def linear(self) -> bool:
        return True

    @property
    def convergence_order(self) -> float:
        return min(self.order, 2.0) if self.lower_order_final == "always" else float(self.order)

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: History | None) -> Update:
        if step.last:
            clean = p.denoised(x, step)
            return Update(clean, clean)
        history = extend(state, Entry(step, p.noise(x, step)), self.order)
        lower = self.lower_order_final == "always"
        entries = history[: final_order(self.order, step.steps_left) if lower else self.order]
        nodes = tuple((entry.level.t, entry.level.sigma / entry.level.alpha) for entry in entries)
        variable: Literal["t", "log_sigma_ratio"] = "log_sigma_ratio" if self.variable != "t" else "t"
        weights = integrals(p.sde, nodes, step.sigma_next / step.alpha_next, variable)
        terms = [(step.alpha_next * w, entry.output) for w, entry in zip(weights, entries, strict=True)]
        x = combine((step.alpha_next / step.alpha, x), *terms)
        return Update(x, x, history)


@functools.lru_cache(maxsize=4096)
def integrals(
    sde: SDE, nodes: tuple[tuple[float, float], ...], end: float, variable: Literal["t", "log_sigma_ratio"]
) -> list[float]:
    """C_j, by Gauss-Legendre quadrature from the newest node's rho to ``end``; nodes are (t, rho).

    The integrand is a smooth function, a polynomial in t(rho) or in ln rho: 32 points leave only float error.
    `BenchError` where they exceed `LARGEST_FACTOR`.
    """
    point, weight = np.polynomial.legendre.leggauss(32)
    start = nodes[0][1]
    if variable == "t":
        sigma_ratio = start + (end - start) * (point + 1) / 2
        u, node = sde.time_at(np.log(sigma_ratio)), np.array([t for t, _ in nodes])
        weight = weight * (end - start) / 2
    else:
        low, high = math.log(start), math.log(end)
        u, node = low + (high - low) * (point + 1) / 2, np.log([sigma_ratio for _, sigma_ratio in nodes])
        weight = weight * (high - low) / 2 * np.exp(u)
    weights = [float(weight @ _lagrange(node, j, u)) for j in range(len(node))]
    factor = sum(map(abs, weights)) / abs(end - start)
    if factor > LARGEST_FACTOR:
        other = "t" if variable == "log_sigma_ratio" else "log_sigma_ratio"
        raise BenchError(
            f"deis would extrapolate in {variable} by a factor of {factor:.3g} on this grid: "
            f"take more steps, a lower order or -P predictor.variable={other}"
        )
    return weights


def _lagrange(node: Array, j: int, u: Array) -> Array:
    """The polynomial that is 1 at node j and 0 at the others, at the points u."""
    others = np.delete(node, j)
    values: Array = np.prod((u[:, None] - others) / (node[j] - others), axis=1)
    return values
