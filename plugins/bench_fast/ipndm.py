"""iPNDM (Liu et al. 2022, as improved by Zhang and Chen 2023): DDIM with Adams and Bashforth's weights."""

from __future__ import annotations

from bench import Noise, Prediction, Predictor, Step, Tensor, Update, param
from bench_fast.history import History, Past, combine, data, remembered

WEIGHTS = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
"""Adams and Bashforth's, newest first."""


class IPNDM(Predictor):
    """``x' / alpha' = x / alpha + (rho' - rho) sum_j w_j eps_j``, w of Adams and Bashforth's method.

    The weights are those of even steps in rho whatever the grid's. Where its steps shrink smoothly, as on the
    logsnr grid, the error's first two orders are those of DDIM times the steps' relative change, itself of
    the order of a step: second order in all. Begins with as many predictions as there are (Zhang and Chen
    2023, appendix), where PNDM took Runge-Kutta steps; the last step is the expected data.
    """

    name = "ipndm"

    order: int = param(default=4, help="predictions that are taken together", low=1, high=4)

    @property
    def linear(self) -> bool:
        return True

    @property
    def convergence_order(self) -> float:
        return min(self.order, 2.0)

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: History | None) -> Update:
        s = p.score(x, step)
        if step.last:
            clean = data(x, s, step)
            return Update(clean, clean)
        history = remembered(Past(step, s.mul(-step.sigma)), state, self.order)
        change = step.sigma_next - step.alpha_next / step.alpha * step.sigma
        weights = WEIGHTS[len(history) - 1]
        terms = [(change * w, one.output) for w, one in zip(weights, history, strict=True)]
        x = combine((step.alpha_next / step.alpha, x), *terms)
        return Update(x, x, history)
