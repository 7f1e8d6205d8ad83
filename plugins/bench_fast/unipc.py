"""UniPC (Zhao et al. 2023), in data prediction: a predictor and a corrector that costs no network call."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from bench import Array, Noise, Prediction, Predictor, Step, Tensor, Update, param
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


class UniPC(Predictor):
    """UniP-p (Algorithm 6), then UniC-p (Algorithm 5) once the network has been called at the new state.

        x' = sigma' / sigma x - alpha' (e^-h - 1) D - alpha' B sum_k a_k (D_k - D) / r_k.

    With ``lambda = ln(alpha / sigma)``, ``h = lambda' - lambda``. D_k are past values of the expected data,
    ``r_k = (lambda_k - lambda) / h``, B is -h (bh1) or e^-h - 1 (bh2) and a solves the order conditions (eq.
    5). UniC includes the value at the new point, with r = 1 and coefficients c; here as the difference that
    it makes to the state,

        x += -alpha B [sum_k (c_k - a_k) (D_k - D) / r_k + c (D_new - D)],

    so that a corrector's moves in between are preserved. It raises the order by one. The first step has
    p = 1; the last step is D.

    The moves to the last levels have a lower p, 1 for the move to eps, at any number of steps: the authors'
    ``lower_order_final``, on by default. That move's error is of second order, and so is the run's.
    """

    name = "unipc"
    uses_chain = False

    order: int = param(default=3, help="p: network calls that the predictor uses", low=1, high=3)
    variant: Literal["bh1", "bh2"] = param(
        default="bh1", help="B(h): bh1 for unconditional sampling, bh2 for guided"
    )
    lower_order_final: LowerOrderFinal = param(
        default="published",
        help="whether p falls to 1 before eps: always, never, or published: always",
    )

    @property
    def linear(self) -> bool:
        return True

    @property
    def convergence_order(self) -> float:
        return self.order + 1.0 if self.lower_order_final == "never" else 2.0

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: History | None) -> Update:
        clean = p.denoised(x, step)
        if step.last:
            return Update(clean, clean)
        here = half_log_snr(step)
        if state is not None:
            # of the order of the step that led here
            x = self.correct(x, step, here, clean, state[: self.order_with(step.steps_left + 1)])
        history = extend(state, Entry(step, clean), self.order)
        entries = history[: self.order_with(step.steps_left)]
        h = half_log_snr_next(step) - here
        weights = self.differences(h, entries, self.predictor_coefficients(h, entries))
        first = -math.expm1(-h)
        terms = [(step.alpha_next * w, entry.output) for w, entry in zip(weights, entries, strict=True)]
        terms[0] = (terms[0][0] + step.alpha_next * first, clean)
        x = combine((step.sigma_next / step.sigma, x), *terms)
        return Update(x, x, history)

    def order_with(self, steps_left: int) -> int:
        """p of the step after which so many follow, where as many values are known."""
        return self.order if self.lower_order_final == "never" else final_order(self.order, steps_left)

    def correct(self, x: Tensor, step: Step, here: float, clean: Tensor, history: History) -> Tensor:
        """x with UniC's correction, from the history of the step that led here and D at its end."""
        h = here - half_log_snr(history[0].level)
        *c, last = self.corrector_coefficients(h, history)
        change = np.array(c) - self.predictor_coefficients(h, history)
        weights = self.differences(h, history, change)
        new = -self.b(h) * last
        weights[0] -= new
        terms = [(step.alpha * w, entry.output) for w, entry in zip(weights, history, strict=True)]
        return combine((1.0, x), (step.alpha * new, clean), *terms)

    def differences(self, h: float, history: History, factors: Array) -> list[float]:
        """Weights on D and its past values of ``-B sum_k factor_k (D_k - D) / r_k``."""
        shares = -self.b(h) * factors / self.ratios(h, history)
        return [-float(shares.sum()), *shares.tolist()]

    def b(self, h: float) -> float:
        """B(h)."""
        return -h if self.variant == "bh1" else math.expm1(-h)

    @staticmethod
    def ratios(h: float, history: History) -> Array:
        """r_k of the past values."""
        newest, *older = (half_log_snr(entry.level) for entry in history)
        return np.array([(one - newest) / h for one in older])

    def predictor_coefficients(self, h: float, history: History) -> Array:
        """a; of one past value 1/2, which has the order that UniP-2 needs."""
        if len(history) == 2:
            return np.array([0.5])
        r = self.ratios(h, history)
        return _solve(r, self.conditions(h, len(r)))

    def corrector_coefficients(self, h: float, history: History) -> Array:
        """c, of the past values and of the new one; of the new one alone 1/2."""
        if len(history) == 1:
            return np.array([0.5])
        r = np.append(self.ratios(h, history), 1.0)
        return _solve(r, self.conditions(h, len(r)))

    def conditions(self, h: float, count: int) -> Array:
        """Right-hand sides ``k! phi_k+1(-h) (-h) / B`` with ``phi_k+1(z) = (phi_k(z) - 1/k!) / z``."""
        z = -h
        phi = math.expm1(z) / z - 1
        sides = []
        for k in range(1, count + 1):
            sides.append(phi * math.factorial(k) / self.b(h))
            phi = phi / z - 1 / math.factorial(k + 1)
        return np.array(sides)


def _solve(r: Array, conditions: Array) -> Array:
    """a with ``sum_k a_k r_k^i = condition_i+1``, i = 0, 1, ..."""
    return np.asarray(np.linalg.solve(np.vander(r, increasing=True).T, conditions), dtype=np.float64)
