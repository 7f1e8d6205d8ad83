"""Euler's method on the probability flow, as flow matching samples (Lipman et al. 2023)."""

from __future__ import annotations

from typing import Any

from bench import SDE, Noise, Prediction, Predictor, Step, Tensor, Update


class Euler(Predictor):
    """``x' = x + (t' - t) v``, with the velocity ``v = dx/dt`` of the probability flow at t.

    The last step is the expected data, which on the SDE ``flow`` is Euler's own step to t = 0. It starts at
    alpha = 0.
    """

    name = "euler"
    uses_chain = False

    @property
    def convergence_order(self) -> float:
        return 1.0

    @property
    def linear(self) -> bool:
        return True

    def starts_in_noise(self, sde: SDE) -> bool:
        return True

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.last:
            clean = p.denoised(x, step)
            return Update(clean, clean)
        x = x.add(p.velocity(x, step), alpha=step.t_next - step.t)
        return Update(x, x)
