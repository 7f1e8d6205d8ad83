"""SEEDS (Gonzalez et al. 2023): stochastic exponential Runge-Kutta methods of the reverse SDE."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from bench import Noise, NoiseLevel, Prediction, Predictor, Step, Tensor, Update, param
from bench_fast.history import combine, half_log_snr, half_log_snr_next


class SEEDS(Predictor):
    """SEEDS-2 and SEEDS-3 in data prediction: at each stage i, at ``lambda_i = lambda + r_i h``,

        x_i = sigma_i / sigma e^(-eta r_i h) x + alpha_i [a_1 D_1 + a_2 D_2 + ...] + sigma_i n_i.

    With ``lambda = ln(alpha / sigma)``, ``h = lambda' - lambda``, ``k = (1 + eta) h``; D_j is the expected
    data of stage j, and n_i is one Ornstein-Uhlenbeck path along the step, ``n_i = e^(-eta (lambda_i -
    lambda_j)) n_j + sqrt(1 - e^(-2 eta (lambda_i - lambda_j))) z``, from n = 0 at its start. With ``E(u) = 1
    - e^-u`` and ``phi(u) = 1 - E(u) / u`` two stages (r = 1/2) are

        x_1: a_1 = E(k / 2);   x': a_2 = E(k),

    and three (r = 1/3, 2/3)

        x_1: a_1 = E(k / 3);   x_2: a_2 = 2 phi(2 k / 3), a_1 = E(2 k / 3) - a_2;
        x':  a_3 = 3/2 phi(k), a_1 = E(k) - a_3.

    N steps make ``stages (N - 1) + 1`` network calls; the last step is the expected data. With noise, the
    order, 2, is that of the moments on Gaussian data.

    Source: Gonzalez et al. (2023), Algorithms 2 and 4, as in ComfyUI's ``sample_seeds_2`` and
    ``sample_seeds_3``.
    """

    name = "seeds"
    uses_chain = False

    stages: int = param(default=3, help="network calls of a step", low=2, high=3)
    eta: float = param(default=1.0, help="share of the reverse SDE's noise: 0 none, 1 that of the SDE", low=0)

    @property
    def convergence_order(self) -> float:
        return float(self.stages) if self.eta == 0 else 2.0

    @property
    def linear(self) -> bool:
        return True

    def nfe(self, grid: Sequence[Step]) -> int:
        return self.stages * (len(grid) - 1) + 1

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        data = [p.denoised(x, step)]
        if step.last:
            return Update(data[0], data[0])
        start = half_log_snr(step)
        h = half_log_snr_next(step) - start
        places = [i / self.stages for i in range(self.stages)]
        path = None
        for place, r in itertools.pairwise([*places, 1.0]):
            level = NoiseLevel(step.t_next, step.alpha_next, step.sigma_next)
            if r < 1:
                level = p.sde.level_at_half_log_snr(start + r * h)
            weights = stage_weights(r, (1 + self.eta) * h, self.stages)
            terms = [(level.alpha * w, d) for w, d in zip(weights, data, strict=False) if w]
            mean = combine((level.sigma / step.sigma * math.exp(-self.eta * r * h), x), *terms)
            moved = mean
            if self.eta:
                decay = self.eta * (r - place) * h
                fresh = noise(x).mul_(math.sqrt(-math.expm1(-2 * decay)))
                path = fresh if path is None else fresh.add_(path, alpha=math.exp(-decay))
                moved = combine((1.0, mean), (level.sigma, path))
            if r < 1:
                data.append(p.denoised(moved, level))
        return Update(moved, mean)


def stage_weights(r: float, k: float, stages: int) -> list[float]:
    """Factors of alpha_i D_j at the stage at r."""
    whole = -math.expm1(-r * k)
    phi = 1 - whole / (r * k)
    if stages == 2:
        return [whole] if r < 1 else [0.0, whole]
    if r < 0.5:
        return [whole]
    return [whole - 2 * phi, 2 * phi] if r < 1 else [whole - 1.5 * phi, 0.0, 1.5 * phi]
