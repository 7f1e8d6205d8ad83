"""iPNDM (Liu et al. 2022, as improved by Zhang and Chen 2023): DDIM with Adams-Bashforth weights."""

from __future__ import annotations

from bench import Noise, Prediction, Predictor, Step, Tensor, Update, param
from bench_fast.history import Entry, History, combine, extend

WEIGHTS = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
"""Adams-Bashforth weights by the number of predictions, newest first."""


class IPNDM(Predictor):
    """``x' / alpha' = x / alpha + (rho' - rho) sum_j w_j eps_j``, w of the Adams-Bashforth method.

    With ``rho = sigma / alpha``. The weights are those of even steps in rho on every grid. Where the steps
    shrink smoothly, as on the logsnr grid, the error's first two orders are those of DDIM times the steps'
    relative change, itself of the order of a step: second order in all. The first steps use as many
    predictions as there are (Zhang and Chen 2023, appendix), where PNDM took Runge-Kutta steps; the last step
    is the expected data.
    """

    name = "ipndm"
    uses_chain = False
    smooth_grids = True

    order: int = param(default=4, help="predictions that a step combines", low=1, high=4)

    @property
    def linear(self) -> bool:
        return True

    @property
    def convergence_order(self) -> float:
        return min(self.order, 2.0)

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: History | None) -> Update:
        if step.last:
            clean = p.denoised(x, step)
            return Update(clean, clean)
        history = extend(state, Entry(step, p.noise(x, step)), self.order)
        change = step.sigma_next - step.alpha_next / step.alpha * step.sigma
        weights = WEIGHTS[len(history) - 1]
        terms = [(change * w, entry.output) for w, entry in zip(weights, history, strict=True)]
        x = combine((step.alpha_next / step.alpha, x), *terms)
        return Update(x, x, history)
