"""Gradient estimation (Permenter and Yuan 2024): DDIM with a noise that is extrapolated beyond the last."""

from __future__ import annotations

from bench import Noise, Prediction, Predictor, Step, Tensor, Update, param
from bench_fast.history import combine


class GradientEstimation(Predictor):
    """``x' / alpha' = x / alpha + (rho' - rho) [gamma eps + (1 - gamma) eps_1]``, ``rho = sigma / alpha``.

    eps_1 is the last step's noise; the first step is DDIM's, and the last is the expected data. One network
    call a step. The order is 1 (2 at gamma = 1.5 on even steps in rho, which are then `ipndm`'s of order 2).

    Source: Permenter and Yuan (2024), Algorithm 2; gamma = 2 as there.
    """

    name = "gradient_estimation"
    uses_chain = False

    gamma: float = param(default=2.0, help="weight of the new noise: 1 is DDIM", low=1)

    @property
    def linear(self) -> bool:
        return True

    @property
    def convergence_order(self) -> float:
        return 1.0

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Tensor | None) -> Update:
        if step.last:
            clean = p.denoised(x, step)
            return Update(clean, clean)
        eps = p.noise(x, step)
        change = step.sigma_next - step.alpha_next / step.alpha * step.sigma
        before = eps if state is None else state
        x = combine(
            (step.alpha_next / step.alpha, x),
            (change * self.gamma, eps),
            (change * (1 - self.gamma), before),
        )
        return Update(x, x, eps)
