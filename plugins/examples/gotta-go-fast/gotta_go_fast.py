"""Gotta Go Fast (Jolicoeur-Martineau et al. 2021, Algorithm 1): an adaptive step for each sample."""

from __future__ import annotations

from typing import Literal

import numpy as np

from bench import (
    SDE,
    Array,
    BenchError,
    Noise,
    Prediction,
    Register,
    Solver,
    Tensor,
    hookimpl,
    param,
    per_sample,
)

SMALLEST_STEP = 1e-9


class GottaGoFast(Solver):
    """Each sample takes steps h of its own on the reverse SDE, from T to eps, by an error of its own.

    With ``D(x, t) = f(t) x - g(t)^2 score(x, t)`` and one z ~ N(0, I) for both lines, a trial is

        x'  = x - h D(x, t) + sqrt(h) g(t) z,
        x~  = x - h D(x', t - h) + sqrt(h) g(t - h) z,
        x'' = (x' + x~) / 2,
        E   = |(x' - x'') / delta| / sqrt(dimension),   delta = max(eps_abs, eps_rel max(|x'|, |x'_prev|)).

    Where ``E <= 1``, the sample moves to x'' at t - h, the extrapolation. Then ``h <- safety h E^-r``, at
    most to eps. A trial is two network calls, a rejected one too, of the samples that are still on their way:
    NFE differs by sample. z is drawn for the whole batch at each trial: no sample depends on the others.
    """

    name = "gotta_go_fast"

    eps_rel: float = param(default=0.02, help="relative tolerance", above=0)
    eps_abs: float | Literal["auto"] = param(
        default="auto", help="absolute tolerance; auto: a gray level, the data range's width / 256", above=0
    )
    h_init: float = param(default=0.01, help="first step", above=0)
    safety: float = param(default=0.9, help="factor of the next step", above=0, high=1)
    r: float = param(default=0.9, help="exponent of the error in the next step", above=0, high=1)

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        import torch

        def move(x: Tensor, y: Tensor, t: Array, h: Array, z: Tensor, p: Prediction) -> Tensor:
            """``x - h D(y, t) + sqrt(h) g(t) z``."""
            f, g = sde.drift(t), sde.diffusion(t)
            drift = per_sample(f, y) * y - per_sample(g**2, y) * p.score(y, t)
            return x - per_sample(h, x) * drift + per_sample(np.sqrt(h) * g, x) * z

        low, high = sde.data_range
        eps_abs = (high - low) / 256 if self.eps_abs == "auto" else self.eps_abs
        x, previous = x.clone(), x.clone()
        t = np.full(len(x), sde.end)
        h = np.minimum(self.h_init, t - sde.eps)
        while (rows := np.flatnonzero(t > sde.eps)).size:
            on = torch.from_numpy(rows).to(x.device)
            p_on, z, step = p.of_rows(on), noise(x)[on], h[rows]
            after = np.where(step < t[rows] - sde.eps, t[rows] - step, sde.eps)

            first = move(x[on], x[on], t[rows], step, z, p_on)
            better = (first + move(x[on], first, after, step, z, p_on)) / 2

            delta = (self.eps_rel * torch.maximum(first.abs(), previous[on].abs())).clamp_min(eps_abs)
            error = ((first - better) / delta).flatten(1).square().mean(1).sqrt().double().cpu().numpy()
            accepted = np.flatnonzero(error <= 1)
            part = torch.from_numpy(accepted).to(x.device)
            x[on[part]], previous[on[part]] = better[part], first[part]
            t[rows[accepted]] = after[accepted]

            proposal = self.safety * step * np.maximum(error, 1e-12) ** -self.r
            if not (proposal > SMALLEST_STEP).all():
                raise BenchError(f"{self.name}: a step fell below {SMALLEST_STEP:g}: raise solver.eps_rel")
            h[rows] = np.minimum(proposal, t[rows] - sde.eps)
        return x


@hookimpl
def register_solvers(register: Register) -> None:
    register(GottaGoFast)
