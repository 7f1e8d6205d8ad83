"""iPNDM (Liu et al. 2022, as improved by Zhang and Chen 2023): DDIM with Adams and Bashforth's weights."""

from __future__ import annotations

from bench import Noise, Predictor, Scale, ScoreFunction, Tensor, Update, param
from bench_fast.history import History, Past, combine, remembered

WEIGHTS = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
"""Adams and Bashforth's, newest first."""


class IPNDM(Predictor):
    """``x' / alpha' = x / alpha + (rho' - rho) sum_j w_j eps_j``, w of Adams and Bashforth's method.

    The weights are those of even steps whatever the grid's: on an uneven one the order is 1. Begins with as
    many predictions as there are (Zhang and Chen 2023, appendix on iPNDM), where PNDM took Runge-Kutta steps.
    """

    name = "ipndm"

    order: int = param(default=4, help="predictions that are taken together", low=1, high=4)

    @property
    def linear(self) -> bool:
        return True

    @property
    def convergence_order(self) -> float:
        return 1.0

    def step(
        self, x: Tensor, scale: Scale, score: ScoreFunction, noise: Noise, state: History | None
    ) -> Update:
        eps = score(x, scale).mul_(-scale.sigma)
        history = remembered(Past(scale, eps), state, self.order)
        change = scale.sigma_next - scale.alpha_next / scale.alpha * scale.sigma
        weights = WEIGHTS[len(history) - 1]
        terms = [(change * w, one.output) for w, one in zip(weights, history, strict=True)]
        x = combine((scale.alpha_next / scale.alpha, x), *terms)
        return Update(x, x, history)
