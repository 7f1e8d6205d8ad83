"""``dx = [f x - g^2 s] dt + g dw`` backwards in time (Song et al. 2021, eq. 6) by torchsde's solvers."""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal

import numpy as np

from bench import SDE, BenchError, Noise, Prediction, Solver, Tensor, draw_seed, param

CACHE = 8
"""Pieces of the path in memory: a bound, and a run that goes forward needs no more."""


class TorchSDE(Solver):
    """``dx = [f x - g^2 s] dt + g dw`` from T to eps by torchsde, on a Brownian path from the run's noise.

    Time runs over u from 0 to ``steps``, and u is uniform where the schedule's variable is: t itself,
    ln(sigma / alpha), or (sigma / alpha)^(1 / rho); torchsde's even steps in u are the schedule's steps in t.
    One call a step with euler and milstein (which agree, as the noise is additive), four with srk.
    ``adaptive`` starts with that step and then takes torchsde's own, with a norm over the whole batch within
    ``tol``.

    Source: Song et al. (2021), eq. 6.
    """

    name = "sde_torchsde"
    libraries = ("torchsde",)

    method: Literal["euler", "milstein", "srk"] = param(default="euler", help="torchsde's method")
    steps: int = param(default=100, help="steps; with adaptive, the length of the first one", low=1)
    schedule: Literal["uniform", "logsnr", "polynomial"] = param(
        default="polynomial",
        help="variable in which steps are even: t, ln(sigma/alpha), (sigma/alpha)^(1/rho)",
    )
    rho: float = param(default=7.0, help="the polynomial schedule's rho", above=0)
    adaptive: bool = param(default=False, help="let torchsde choose the steps")
    tol: float = param(
        default=1e-2, help="absolute and relative tolerance of adaptive steps", above=0, flag="tol"
    )

    @property
    def couples_batch(self) -> bool:
        return True  # one path is drawn for the batch

    def nfe(self) -> int | None:
        if self.adaptive:
            return None
        return 4 * self.steps if self.method == "srk" else self.steps

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        import torch
        from torchsde import BrownianInterval, sdeint

        flat = x.flatten(1)
        path = BrownianInterval(
            t0=0.0,
            t1=float(self.steps),
            size=tuple(flat.shape),
            dtype=x.dtype,
            device=x.device,
            entropy=draw_seed(noise, x),
            levy_area_approximation="space-time" if self.method == "srk" else "none",
            cache_size=CACHE,
        )
        ends = torch.tensor([0.0, float(self.steps)], dtype=torch.float64)
        options = {"grad_free": True} if self.method == "milstein" else {}
        steps = {"adaptive": self.adaptive, "rtol": self.tol, "atol": self.tol, "dt": 1.0}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # the noise is additive; declared as diagonal, it needs no matrix
            warnings.filterwarnings("ignore", message="Numerical solution is not guaranteed")
            try:
                path_of_x = sdeint(
                    _Reverse(self, sde, p, tuple(x.shape)),
                    flat,
                    ends,
                    bm=path,
                    method=self.method,
                    options=options,
                    **steps,
                )
            except UserWarning as error:
                raise BenchError(f"sde_torchsde at tolerance {self.tol:g} gave up: {error}") from error
        result: Tensor = path_of_x[-1].view(x.shape)
        return result

    def place(self, sde: SDE, u: float) -> tuple[float, float]:
        """t and -dt/du at u."""
        share = min(u / self.steps, 1.0)
        if self.schedule == "uniform":
            span = sde.end - sde.eps
            return sde.end - share * span, span / self.steps
        ends = np.array([sde.end, sde.eps])
        high, low = np.log(sde.sigma(ends) / sde.alpha(ends))
        if self.schedule == "logsnr":
            log_sigma_ratio, slope = high + share * (low - high), high - low
        else:
            top, bottom = np.exp(high / self.rho), np.exp(low / self.rho)
            root = top + share * (bottom - top)
            log_sigma_ratio, slope = self.rho * np.log(root), self.rho * (top - bottom) / root
        t = min(max(sde.level_at_half_log_snr(-log_sigma_ratio).t, sde.eps), sde.end)
        # d ln(sigma / alpha) / dt = g^2 / (2 sigma^2)
        time = np.asarray(t)
        return t, float(slope * 2 * sde.sigma(time) ** 2 / sde.diffusion(time) ** 2) / self.steps


class _Reverse:
    """The reverse-time SDE as torchsde calls it: drift and diffusion in u, of rows (B, d)."""

    noise_type = "diagonal"
    sde_type = "ito"

    def __init__(self, solver: TorchSDE, sde: SDE, p: Prediction, shape: tuple[int, ...]) -> None:
        self.solver, self.sde, self.p, self.shape = solver, sde, p, shape
        self.drifts: list[tuple[float, Tensor, Tensor]] = []

    def f(self, u: Any, y: Tensor) -> Tensor:
        """Drift; torchsde evaluates the same one more than once, and only the first costs a network call."""
        at = float(u)
        for place, state, drift in self.drifts:
            if place == at and state is y:
                return drift
        t, pace = self.solver.place(self.sde, at)
        time = np.asarray(t)
        g = float(self.sde.diffusion(time))
        s = self.p.score(y.view(self.shape), t).flatten(1)
        drift = (y * (-float(self.sde.drift(time)) * pace)).add_(s, alpha=g**2 * pace)
        self.drifts = [(at, y, drift), *self.drifts[:3]]
        return drift

    def g(self, u: Any, y: Tensor) -> Tensor:
        """Diffusion, the same for every coordinate."""
        t, pace = self.solver.place(self.sde, float(u))
        return y.new_full((1, 1), float(self.sde.diffusion(np.asarray(t))) * math.sqrt(pace)).expand_as(y)
