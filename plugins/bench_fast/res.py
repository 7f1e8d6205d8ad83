"""Refined exponential solver in its multistep form (Zhang et al. 2023)."""

from __future__ import annotations

import math

from bench import Noise, Prediction, Predictor, Step, Tensor, Update
from bench_fast.history import Entry, History, combine, extend, half_log_snr, half_log_snr_next


class RESMultistep(Predictor):
    """``x' = sigma' / sigma x + alpha' h (b_1 D + b_2 D_1)``, exact where the data D is a line in lambda.

        b_2 = -phi_2 / r,  b_1 = phi_1 - b_2,  phi_1 = (1 - e^-h) / h,  phi_2 = (1 - phi_1) / h.

    With ``lambda = ln(alpha / sigma)``, ``h = lambda' - lambda``; r is the last step over h. The first step
    is DDIM's and the last is D. One network call a step.

    Source: Zhang et al. (2023), "Improved order analysis and design of exponential integrator", Algorithm 2,
    as in ComfyUI's ``sample_res_multistep``.
    """

    name = "res_multistep"
    uses_chain = False

    @property
    def linear(self) -> bool:
        return True

    @property
    def convergence_order(self) -> float:
        return 2.0

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: History | None) -> Update:
        clean = p.denoised(x, step)
        if step.last:
            return Update(clean, clean)
        history = extend(state, Entry(step, clean), 2)
        here = half_log_snr(step)
        h = half_log_snr_next(step) - here
        phi_1 = -math.expm1(-h) / h
        terms = [(step.alpha_next * h * phi_1, clean)]
        if len(history) == 2:
            r = (here - half_log_snr(history[1].level)) / h
            b_2 = -(1 - phi_1) / h / r
            terms = [
                (step.alpha_next * h * (phi_1 - b_2), clean),
                (step.alpha_next * h * b_2, history[1].output),
            ]
        x = combine((step.sigma_next / step.sigma, x), *terms)
        return Update(x, x, history)
