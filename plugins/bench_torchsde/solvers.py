"""``dx = [f x - g^2 s] dt + g dw`` backwards in time (Song et al. 2021, eq. 6) by torchsde's solvers."""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal

import numpy as np

from bench import SDE, BenchError, Noise, Prediction, Solver, Tensor, param

CACHE = 8
"""Pieces of the path that are kept: memory stays bounded, and a run that goes forward needs no more."""


class TorchSDE(Solver):
    """The reverse-time SDE by torchsde, on a Brownian path that is fixed by the run's noise.

    Time runs over u from 0 to ``steps``, and u is uniform where the schedule's variable is: t itself,
    ln(sigma / alpha), or its 1/rho-th power; torchsde's even steps in u are the schedule's steps in t. One
    call a step with euler and milstein (which agree, the noise being additive), four with srk. ``adaptive``
    begins with that step and takes torchsde's own from there, a norm over the whole batch within ``tol``.
    """

    name = "sde_torchsde"
    libraries = ("torchsde",)

    method: Literal["euler", "milstein", "srk"] = param(default="euler", help="torchsde's method")
    steps: int = param(default=100, help="steps; the first one's length where they adapt", low=1)
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
            entropy=_entropy(noise(x)),
            levy_area_approximation="space-time" if self.method == "srk" else "none",
            cache_size=CACHE,
        )
        ends = torch.tensor([0.0, float(self.steps)], dtype=torch.float64)
        options = {"grad_free": True} if self.method == "milstein" else {}
        steps = {"adaptive": self.adaptive, "rtol": self.tol, "atol": self.tol, "dt": 1.0}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # the noise is additive, though told as diagonal, which spares a matrix
            warnings.filterwarnings("ignore", message="Numerical solution is not guaranteed")
            try:
                found = sdeint(
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
        result: Tensor = found[-1].view(x.shape)
        return result

    def place(self, sde: SDE, u: float) -> tuple[float, float]:
        """t and -dt/du at u: host arithmetic."""
        share = min(u / self.steps, 1.0)
        if self.schedule == "uniform":
            span = sde.end - sde.eps
            return sde.end - share * span, span / self.steps
        ends = np.array([sde.end, sde.eps])
        high, low = np.log(sde.sigma(ends) / sde.alpha(ends))
        if self.schedule == "logsnr":
            ratio, slope = high + share * (low - high), high - low
        else:
            top, bottom = np.exp(high / self.rho), np.exp(low / self.rho)
            root = top + share * (bottom - top)
            ratio, slope = self.rho * np.log(root), self.rho * (top - bottom) / root
        t = float(np.clip(sde.time_at(np.array([ratio]))[0], sde.eps, sde.end))
        # d ln(sigma / alpha) / dt = g^2 / (2 sigma^2)
        time = np.asarray(t)
        return t, float(slope * 2 * sde.sigma(time) ** 2 / sde.diffusion(time) ** 2) / self.steps


class _Reverse:
    """What torchsde asks for: drift and diffusion in u, of rows (B, d)."""

    noise_type = "diagonal"
    sde_type = "ito"

    def __init__(self, solver: TorchSDE, sde: SDE, p: Prediction, shape: tuple[int, ...]) -> None:
        self.solver, self.sde, self.p, self.shape = solver, sde, p, shape
        self.known: list[tuple[float, Tensor, Tensor]] = []

    def f(self, u: Any, y: Tensor) -> Tensor:
        """Drift; torchsde asks for the same one more than once, which costs a call the first time alone."""
        at = float(u)
        for place, state, drift in self.known:
            if place == at and state is y:
                return drift
        t, pace = self.solver.place(self.sde, at)
        time = np.asarray(t)
        g = float(self.sde.diffusion(time))
        s = self.p.score(y.view(self.shape), t).flatten(1)
        drift = (y * (-float(self.sde.drift(time)) * pace)).add_(s, alpha=g**2 * pace)
        self.known = [(at, y, drift), *self.known[:3]]
        return drift

    def g(self, u: Any, y: Tensor) -> Tensor:
        """Diffusion, the same for every coordinate."""
        t, pace = self.solver.place(self.sde, float(u))
        return y.new_full((1, 1), float(self.sde.diffusion(np.asarray(t))) * math.sqrt(pace)).expand_as(y)


def _entropy(z: Tensor) -> int:
    """A seed from normal draws: their bits."""
    import torch

    low, high = z.flatten()[:2].to(torch.float32).view(torch.int32).tolist()
    return int((high & 0x7FFFFFFF) << 32 | (low & 0xFFFFFFFF))
