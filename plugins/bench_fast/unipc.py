"""UniPC (Zhao et al. 2023), in data prediction: a predictor and a corrector that costs no network call."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from bench import Array, Noise, Prediction, Predictor, Step, Tensor, Update, param
from bench_fast.history import History, Past, combine, data, log_snr, log_snr_next, remembered


class UniPC(Predictor):
    """UniP-p (Algorithm 6), then UniC-p (Algorithm 5) once the network was called where it leads.

        x' = sigma' / sigma x - alpha' (e^-h - 1) D - alpha' B sum_k a_k (D_k - D) / r_k.

    D_k are past values of the expected data, ``r_k = (lambda_k - lambda) / h``, B is -h (bh1) or e^-h - 1
    (bh2) and a solves the order conditions (eq. 5). UniC takes the value at the new point in, with r = 1
    and coefficients c; here as the difference that it makes to the state,

        x += -alpha B [sum_k (c_k - a_k) (D_k - D) / r_k + c (D_new - D)],

    so that a corrector's moves in between are kept. It raises the order by one. Begins at p = 1; the last
    step is D.
    """

    name = "unipc"

    order: int = param(default=3, help="p: values of the network that the predictor uses", low=1, high=3)
    variant: Literal["bh1", "bh2"] = param(
        default="bh1", help="B(h): bh1 for unconditional sampling, bh2 for guided"
    )

    @property
    def linear(self) -> bool:
        return True

    @property
    def convergence_order(self) -> float:
        return self.order + 1.0

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: History | None) -> Update:
        clean = data(x, p.score(x, step), step)
        if step.last:
            return Update(clean, clean)
        here = log_snr(step)
        if state is not None:
            x = self.corrected(x, step, here, clean, state)
        history = remembered(Past(step, clean), state, self.order)
        h = log_snr_next(step) - here
        weights = self.differences(h, history, self.predicting(h, history))
        first = -math.expm1(-h)
        terms = [(step.alpha_next * w, one.output) for w, one in zip(weights, history, strict=True)]
        terms[0] = (terms[0][0] + step.alpha_next * first, clean)
        x = combine((step.sigma_next / step.sigma, x), *terms)
        return Update(x, x, history)

    def corrected(self, x: Tensor, step: Step, here: float, clean: Tensor, history: History) -> Tensor:
        """x with UniC's correction, from what the step that led here knew and D at its end."""
        h = here - log_snr(history[0].level)
        *c, last = self.correcting(h, history)
        change = np.array(c) - self.predicting(h, history)
        weights = self.differences(h, history, change)
        new = -self.scale_of(h) * last
        weights[0] -= new
        terms = [(step.alpha * w, one.output) for w, one in zip(weights, history, strict=True)]
        return combine((1.0, x), (step.alpha * new, clean), *terms)

    def differences(self, h: float, history: History, factors: Array) -> list[float]:
        """Weights on D and its past values of ``-B sum_k factor_k (D_k - D) / r_k``."""
        shares = -self.scale_of(h) * factors / self.ratios(h, history)
        return [-float(shares.sum()), *shares.tolist()]

    def scale_of(self, h: float) -> float:
        """B(h)."""
        return -h if self.variant == "bh1" else math.expm1(-h)

    @staticmethod
    def ratios(h: float, history: History) -> Array:
        """r_k of the past values."""
        now, *past = (log_snr(one.level) for one in history)
        return np.array([(then - now) / h for then in past])

    def predicting(self, h: float, history: History) -> Array:
        """a; of one past value 1/2, which is of the order it needs."""
        if len(history) == 2:
            return np.array([0.5])
        r = self.ratios(h, history)
        return _solved(r, self.conditions(h, len(r)))

    def correcting(self, h: float, history: History) -> Array:
        """c, of the past values and of the new one."""
        if len(history) == 1:
            return np.array([0.5])
        r = np.append(self.ratios(h, history), 1.0)
        return _solved(r, self.conditions(h, len(r)))

    def conditions(self, h: float, count: int) -> Array:
        """Right-hand sides ``k! phi_k+1(-h) (-h) / B`` with ``phi_k+1(z) = (phi_k(z) - 1/k!) / z``."""
        z = -h
        phi = math.expm1(z) / z - 1
        found = []
        for k in range(1, count + 1):
            found.append(phi * math.factorial(k) / self.scale_of(h))
            phi = phi / z - 1 / math.factorial(k + 1)
        return np.array(found)


def _solved(r: Array, conditions: Array) -> Array:
    """a with ``sum_k a_k r_k^i = condition_i+1``, i = 0, 1, ..."""
    return np.asarray(np.linalg.solve(np.vander(r, increasing=True).T, conditions), dtype=np.float64)
