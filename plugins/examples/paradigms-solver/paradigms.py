"""ParaDiGMS (Shih et al. 2023, Algorithm 1): DDIM's steps, many at once."""

from __future__ import annotations

import dataclasses
from typing import Self

import numpy as np

from bench import SDE, Noise, Prediction, Register, Solver, Tensor, hookimpl, param, per_sample


class ParaDiGMS(Solver):
    """``steps`` of DDIM, even in t from T to eps, by Picard's iteration over a window of W steps.

    With DDIM's step ``F_i(x) = a_i x + (sigma_{i+1} - a_i sigma_i) noise``, ``a_i = alpha_{i+1} / alpha_i``,
    and states known up to x_i, a round asks for all steps of the window at once, in one call of W times the
    batch, and corrects all of its states:

        x_{i+j+1} <- x_i + sum_{m=i}^{i+j} (F_m(x_m) - x_m),   j = 0, ..., W - 1.

    The window then moves on to the first state that changed by more than ``tolerance`` times the standard
    deviation of DDPM's step there, as root mean square over a sample's coordinates; new states start as
    copies of the last one. At tolerance 0 the result is DDIM's, in exact arithmetic. Memory grows with W.

    The cost has two numbers. Network calls per sample (NFE) are the sum of the rounds' windows, more than
    DDIM's. Rounds, the calls one after the other, are fewer than DDIM's steps, and are the time where there
    are devices enough; ``p.calls`` counts them, which the progress of a run shows.
    """

    name = "paradigms"

    steps: int = param(default=100, help="steps to eps; the denoising step is one more", low=1)
    window: int = param(default=8, help="W: steps that are evaluated at once", low=1)
    tolerance: float = param(default=0.1, help="change over DDPM's noise that counts as none", low=0)

    @property
    def couples_batch(self) -> bool:
        """True: the window moves on for all samples together."""
        return True

    def refine(self, steps: int) -> Self:
        """At more steps what counts as no change falls too, faster than the error of DDIM's steps."""
        return dataclasses.replace(self, steps=steps, tolerance=self.tolerance * (10 / steps) ** 2)

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        import torch

        times = np.linspace(sde.end, sde.eps, self.steps + 1)
        alpha, sigma = sde.alpha(times), sde.sigma(times)
        ratio = alpha[1:] / alpha[:-1]
        # of x_{i+1} given x_i and clean data
        deviation = sigma[1:] / sigma[:-1] * np.sqrt(sigma[:-1] ** 2 - (sigma[1:] / ratio) ** 2)
        i = 0
        path = x.expand(min(self.window, self.steps) + 1, *x.shape)
        while i < self.steps:
            size = min(self.window, self.steps - i)
            now = slice(i, i + size)
            states = path[:size]
            samples = torch.arange(len(x), device=x.device).repeat(size)
            eps = (
                p.of_rows(samples).noise(states.flatten(0, 1), np.repeat(times[now], len(x))).view_as(states)
            )
            of_noise = sigma[i + 1 : i + size + 1] - ratio[now] * sigma[now]
            change = per_sample(ratio[now] - 1, states) * states + per_sample(of_noise, states) * eps
            corrected = path[0] + change.cumsum(0)

            error = (corrected - path[1 : size + 1]).square().flatten(2).mean(2).amax(1).sqrt()
            late = np.flatnonzero(error.double().cpu().numpy() > self.tolerance * deviation[now])
            stride = int(late[0]) + 1 if late.size else size
            ahead = corrected[stride - 1 :]
            path = torch.cat([ahead, ahead[-1:].expand(stride, *x.shape)])
            i += stride
        return path[0]


@hookimpl
def register_solvers(register: Register) -> None:
    register(ParaDiGMS)
