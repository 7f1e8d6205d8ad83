"""DPM-Solver++ in its multistep forms (Lu et al. 2022, "DPM-Solver++", sections 3 and 4)."""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from typing import Literal

from bench import Noise, Prediction, Predictor, Step, Tensor, Update, param
from bench_fast.history import (
    Entry,
    History,
    LowerOrderFinal,
    combine,
    extend,
    final_order,
    half_log_snr,
    half_log_snr_next,
)

FEW = 10
"""Moves below which the authors' code lowers the order at the end (``dpm_solver_pytorch.py``)."""


class _Multistep(Predictor):
    """``x' = sigma' / sigma x - alpha' (e^-h - 1) D + ...``: exact where the expected data D is constant.

    With ``lambda = ln(alpha / sigma)``, ``h = lambda' - lambda``; the further terms extrapolate D in lambda
    by its past values. The last step is D itself.

    The moves to the last levels are of lower order, 1 for the move to eps, where a run has fewer than 10
    moves between levels, and so 10 steps or fewer: the authors' ``lower_order_final``, on by default.
    """

    name = "dpmpp"
    uses_chain = False
    points = 1

    lower_order_final: LowerOrderFinal = param(
        default="published",
        help="whether the order falls to 1 before eps: always, never, or published: at 10 steps or fewer",
    )

    @property
    def convergence_order(self) -> float:
        return min(self.points, 2.0) if self.lower_order_final == "always" else float(self.points)

    @property
    def linear(self) -> bool:
        return True

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: History | None) -> Update:
        clean = p.denoised(x, step)
        if step.last:
            return Update(clean, clean)
        history = extend(state, Entry(step, clean), self.points)
        entries = history[: self.order_of(step)]
        h = half_log_snr_next(step) - half_log_snr(step)
        lambdas = [half_log_snr(entry.level) for entry in entries]
        weights = self.weights(h, [(a - b) / h for a, b in itertools.pairwise(lambdas)])
        terms = [(step.alpha_next * w, entry.output) for w, entry in zip(weights, entries, strict=True)]
        x = combine((step.sigma_next / step.sigma, x), *terms)
        return Update(x, x, history)

    def order_of(self, step: Step) -> int:
        """The number of values that the step uses where as many are known."""
        moves = step.steps - 1  # the last step is no move of the authors' method
        few = self.lower_order_final == "published" and moves < FEW
        if few or self.lower_order_final == "always":
            return final_order(self.points, step.steps_left)
        return self.points

    @abstractmethod
    def weights(self, h: float, r: list[float]) -> list[float]:
        """Factors of alpha' D and of its past values; r are the past steps over h, newest first."""


class DPMpp2M(_Multistep):
    """``x' = sigma' / sigma x - alpha' (e^-h - 1) [D + (D - D_1) / (2 r)]`` (2M, Algorithm 2)."""

    name = "dpmpp_2m"
    points = 2

    def weights(self, h: float, r: list[float]) -> list[float]:
        return second_order(h, r)


class DPMpp3M(_Multistep):
    """DPM-Solver++(3M): D and its first two differences in lambda (appendix); the first steps are 1M and 2M.

        x' = sigma' / sigma x - alpha' (e^-h - 1) D + alpha' phi_1 D' - alpha' phi_2 D'',
        phi_1 = (e^-h - 1) / h + 1,  phi_2 = (e^-h - 1 + h) / h^2 - 1 / 2.

    D' is the slope, times h, of the parabola through the last three values; D'' as published (and in
    diffusers) is its divided difference, half of Taylor's second derivative, so that the error falls at order
    2 in the limit. ``taylor`` takes the derivative: order 3.
    """

    name = "dpmpp_3m"
    points = 3

    second: Literal["published", "taylor"] = param(
        default="published", help="D'': the divided difference, as published, or the second derivative"
    )

    @property
    def convergence_order(self) -> float:
        return 2.0 if self.second == "published" else super().convergence_order

    def weights(self, h: float, r: list[float]) -> list[float]:
        if len(r) < 2:
            return second_order(h, r)
        first = -math.expm1(-h)
        phi_1 = 1 - first / h
        phi_2 = ((h - first) / h**2 - 0.5) * (1 if self.second == "published" else 2)
        # of d_i = (D_i - D_i+1) / r_i: D'' = (d_0 - d_1) / (r_0 + r_1), D' = d_0 + r_0 D''
        total = r[0] + r[1]
        of_d0 = phi_1 * (1 + r[0] / total) - phi_2 / total
        of_d1 = -phi_1 * r[0] / total + phi_2 / total
        return [first + of_d0 / r[0], -of_d0 / r[0] + of_d1 / r[1], -of_d1 / r[1]]


def second_order(h: float, r: list[float]) -> list[float]:
    """Weights of DPM-Solver++(2M), or (1M) where there is no past value yet."""
    first = -math.expm1(-h)
    return [first * (1 + 1 / (2 * r[0])), -first / (2 * r[0])] if r else [first]
