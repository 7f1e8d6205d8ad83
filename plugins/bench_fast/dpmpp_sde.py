"""SDE-DPM-Solver++ in its multistep forms: the reverse SDE, exact where the expected data is constant."""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from typing import Literal

from bench import Noise, Prediction, Predictor, Step, Tensor, Update, param
from bench_fast.history import Entry, History, combine, extend, half_log_snr, half_log_snr_next


class _StochasticMultistep(Predictor):
    """``x' = sigma' / sigma e^(-eta h) x + alpha' (1 - e^-k) D + ... + sigma' sqrt(1 - e^(-2 eta h)) z``.

    With ``lambda = ln(alpha / sigma)``, ``h = lambda' - lambda``, ``k = (1 + eta) h``; further terms
    extrapolate D in lambda by its past values. At eta = 0 it follows the probability flow, at 1 the reverse
    SDE. One network call a step; the last step is D. With noise, the order is that of the moments on Gaussian
    data.
    """

    name = "dpmpp_sde"
    uses_chain = False
    points = 1

    eta: float = param(default=1.0, help="share of the reverse SDE's noise: 0 none, 1 that of the SDE", low=0)

    @property
    def convergence_order(self) -> float:
        return 2.0

    @property
    def linear(self) -> bool:
        return True

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: History | None) -> Update:
        clean = p.denoised(x, step)
        if step.last:
            return Update(clean, clean)
        history = extend(state, Entry(step, clean), self.points)
        h = half_log_snr_next(step) - half_log_snr(step)
        lambdas = [half_log_snr(entry.level) for entry in history]
        weights = self.weights((1 + self.eta) * h, [(a - b) / h for a, b in itertools.pairwise(lambdas)])
        terms = [(step.alpha_next * w, entry.output) for w, entry in zip(weights, history, strict=True)]
        mean = combine((step.sigma_next / step.sigma * math.exp(-self.eta * h), x), *terms)
        if self.eta == 0:
            return Update(mean, mean, history)
        deviation = step.sigma_next * math.sqrt(-math.expm1(-2 * self.eta * h))
        return Update(combine((1.0, mean), (deviation, noise(x))), mean, history)

    @abstractmethod
    def weights(self, k: float, r: list[float]) -> list[float]:
        """Factors of alpha' D and of its past values; r are the past steps over h, newest first."""


class DPMpp2MSDE(_StochasticMultistep):
    """SDE-DPM-Solver++(2M): the further term is ``alpha' (1 - e^-k) (D - D_1) / (2 r)``.

    With ``rule=heun`` it is ``alpha' (1 - (1 - e^-k) / k) (D - D_1) / r``, the integral of the line through
    both.

    Source: Lu et al. (2022), "DPM-Solver++", appendix; k-diffusion's ``sample_dpmpp_2m_sde``.
    """

    name = "dpmpp_2m_sde"
    points = 2

    rule: Literal["midpoint", "heun"] = param(default="midpoint", help="how D's slope enters the step")

    def weights(self, k: float, r: list[float]) -> list[float]:
        first = -math.expm1(-k)
        if not r:
            return [first]
        slope = (first / 2 if self.rule == "midpoint" else 1 - first / k) / r[0]
        return [first + slope, -slope]


class DPMpp3MSDE(_StochasticMultistep):
    """SDE-DPM-Solver++(3M): the further terms are ``alpha' phi_1 D' - alpha' phi_2 D''``, as in `DPMpp3M`.

        phi_1 = 1 - (1 - e^-k) / k,  phi_2 = phi_1 / k - 1 / 2.

    The first steps use as many values as there are.

    Source: k-diffusion's ``sample_dpmpp_3m_sde``, after Lu et al. (2022), "DPM-Solver++".
    """

    name = "dpmpp_3m_sde"
    points = 3

    def weights(self, k: float, r: list[float]) -> list[float]:
        first = -math.expm1(-k)
        phi_1 = 1 - first / k
        phi_2 = phi_1 / k - 0.5
        if not r:
            return [first]
        if len(r) == 1:
            return [first + phi_1 / r[0], -phi_1 / r[0]]
        # of d_i = (D_i - D_i+1) / r_i: D'' = (d_0 - d_1) / (r_0 + r_1), D' = d_0 + r_0 D''
        total = r[0] + r[1]
        of_d0 = phi_1 * (1 + r[0] / total) - phi_2 / total
        of_d1 = -phi_1 * r[0] / total + phi_2 / total
        return [first + of_d0 / r[0], -of_d0 / r[0] + of_d1 / r[1], -of_d1 / r[1]]
