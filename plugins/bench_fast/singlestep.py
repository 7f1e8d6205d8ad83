"""DPM-Solver and DPM-Solver++ in their singlestep forms (Lu et al. 2022): several network calls a step."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from bench import Noise, Prediction, Predictor, Step, Tensor, Update, param
from bench_fast.ancestral import ancestral_ratios
from bench_fast.history import combine, half_log_snr, half_log_snr_next


class _Singlestep(Predictor):
    """N steps, of which the last is the expected data: ``calls (N - 1) + 1`` network calls.

    With ``lambda = ln(alpha / sigma)``, ``h = lambda' - lambda`` of a step. Every step has the full order:
    the authors' ``singlestep_fixed``, where their ``singlestep`` (DPM-Solver-fast) ends with steps of lower
    order.
    """

    name = "singlestep"
    uses_chain = False
    calls: ClassVar[int] = 1

    @property
    def convergence_order(self) -> float:
        return float(self.calls)

    @property
    def linear(self) -> bool:
        return True

    def nfe(self, grid: Sequence[Step]) -> int:
        return self.calls * (len(grid) - 1) + 1

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.last:
            clean = p.denoised(x, step)
            return Update(clean, clean)
        return self.move(x, step, p, noise)

    @abstractmethod
    def move(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        """A step between two noise levels."""


class DPMSolver2(_Singlestep):
    """``x' = alpha' / alpha x - sigma' (e^h - 1) eps_1``, two calls (Algorithm 1, r = 1/2).

    eps_1 is the noise halfway in lambda, of ``u = alpha_1 / alpha x - sigma_1 (e^(h / 2) - 1) eps``.

    Source: Lu et al. (2022), "DPM-Solver", Algorithm 1.
    """

    name = "dpm_solver_2"
    calls = 2

    def move(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        start = half_log_snr(step)
        h = half_log_snr_next(step) - start
        one = p.sde.level_at_half_log_snr(start + h / 2)
        u = combine((one.alpha / step.alpha, x), (-one.sigma * math.expm1(h / 2), p.noise(x, step)))
        x = combine((step.alpha_next / step.alpha, x), (-step.sigma_next * math.expm1(h), p.noise(u, one)))
        return Update(x, x)


class DPMSolver3(_Singlestep):
    """``x' = alpha' / alpha x - sigma' [(e^h - 1) eps + phi(h) (eps_2 - eps) / r_2]``, three calls.

    ``phi(h) = (e^h - 1) / h - 1``; eps_1, eps_2 are the noise at ``lambda + r_1 h`` and ``lambda + r_2 h``,
    of

        u_1 = alpha_1 / alpha x - sigma_1 (e^(r_1 h) - 1) eps,
        u_2 = alpha_2 / alpha x - sigma_2 [(e^(r_2 h) - 1) eps + r_2 / r_1 phi(r_2 h) (eps_1 - eps)].

    Source: Lu et al. (2022), "DPM-Solver", Algorithm 2; r_1 = 1/3, r_2 = 2/3.
    """

    name = "dpm_solver_3"
    calls = 3

    def move(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        r_1, r_2, start = 1 / 3, 2 / 3, half_log_snr(step)
        h = half_log_snr_next(step) - start
        one, two = (p.sde.level_at_half_log_snr(start + r * h) for r in (r_1, r_2))
        eps = p.noise(x, step)
        u = combine((one.alpha / step.alpha, x), (-one.sigma * math.expm1(r_1 * h), eps))
        difference = p.noise(u, one).sub_(eps)
        u = combine(
            (two.alpha / step.alpha, x),
            (-two.sigma * math.expm1(r_2 * h), eps),
            (-two.sigma * r_2 / r_1 * _phi(r_2 * h), difference),
        )
        difference = p.noise(u, two).sub_(eps)
        x = combine(
            (step.alpha_next / step.alpha, x),
            (-step.sigma_next * math.expm1(h), eps),
            (-step.sigma_next / r_2 * _phi(h), difference),
        )
        return Update(x, x)


class DPMpp2S(_Singlestep):
    """``x' = sigma' / sigma x - alpha' (e^-h - 1) D_1``, two calls (2S, Algorithm 1, r = 1/2).

    D_1 is the expected data halfway in lambda, of ``u = sigma_1 / sigma x - alpha_1 (e^(-h / 2) - 1) D``.
    With eta above 0 the step leads to ``rho_down`` of ancestral sampling, and noise brings it back to the
    level: at eta = 1 k-diffusion's ``sample_dpmpp_2s_ancestral``.

    Source: Lu et al. (2022), "DPM-Solver++", Algorithm 1.
    """

    name = "dpmpp_2s"
    calls = 2

    eta: float = param(default=0.0, help="share of ancestral sampling's noise: 0 none", low=0, high=1)

    def move(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        down, up = ancestral_ratios(step, self.eta)
        start = half_log_snr(step)
        h = -math.log(down) - start
        one = p.sde.level_at_half_log_snr(start + h / 2)
        u = combine((one.sigma / step.sigma, x), (-one.alpha * math.expm1(-h / 2), p.denoised(x, step)))
        mean = combine(
            (step.alpha_next / step.alpha * math.exp(-h), x),
            (-step.alpha_next * math.expm1(-h), p.denoised(u, one)),
        )
        if up == 0:
            return Update(mean, mean)
        return Update(combine((1.0, mean), (step.alpha_next * up, noise(x))), mean)


def _phi(h: float) -> float:
    """``(e^h - 1) / h - 1``."""
    return math.expm1(h) / h - 1
