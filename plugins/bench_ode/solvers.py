"""Adaptive Dormand-Prince 5(4) on ``dx/dt = f(t) x - g(t)^2 score(x, t) / 2`` from T to eps.

The error norm is the root mean square over the whole flattened batch, as in the paper's runs: a
batch's samples share their steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench import SDE, Array, BenchError, Noise, ScoreFunction, Solver, Tensor, param


class _ProbabilityFlow(Solver):
    name = "probability_flow_ode"
    follows_flow = True

    tol: float = param(default=1e-5, help="absolute and relative tolerance", above=0)

    @property
    def couples_batch(self) -> bool:
        return True

    @staticmethod
    def velocity(x: Tensor, t: float, sde: SDE, score: ScoreFunction) -> Tensor:
        """Right-hand side at (x, t); x (B, ...)."""
        time = np.asarray(t)
        drift, diffusion = float(sde.drift(time)), float(sde.diffusion(time))
        return (x * drift).add_(score(x, t), alpha=-0.5 * diffusion**2)


class RK45(_ProbabilityFlow):
    """Dormand-Prince by torchdiffeq, on the device; time in float64, the last step landing on eps."""

    name = "rk45"
    libraries = ("torchdiffeq",)

    def solve(self, x: Tensor, sde: SDE, score: ScoreFunction, noise: Noise) -> Tensor:
        del noise
        import torch
        from torchdiffeq import odeint

        # float32 time underflows at tolerance 1e-6; without step_t the solver steps past eps and interpolates
        times = torch.tensor([sde.end, sde.eps], dtype=torch.float64, device=x.device)
        options = {"dtype": torch.float64, "step_t": times[1:]}

        def velocity(t: Tensor, y: Tensor) -> Tensor:
            # the search for the first step probes past the interval; the steps themselves never do
            return self.velocity(y, max(float(t), sde.eps), sde, score)

        try:
            path = odeint(velocity, x, times, rtol=self.tol, atol=self.tol, method="dopri5", options=options)
        except AssertionError as error:
            raise BenchError(f"rk45 at tolerance {self.tol:g} gave up: {error}") from error
        result: Tensor = path[-1]
        return result


class ScipyRK45(_ProbabilityFlow):
    """Dormand-Prince by scipy on the host in float64, the paper's; each call goes to the device and back."""

    name = "scipy_rk45"
    libraries = ("scipy",)

    def solve(self, x: Tensor, sde: SDE, score: ScoreFunction, noise: Noise) -> Tensor:
        del noise
        import torch
        from scipy.integrate import solve_ivp

        def velocity(t: float, y: Array) -> Any:
            state = torch.from_numpy(y).to(x.device, x.dtype).view(x.shape)
            return self.velocity(state, t, sde, score).double().cpu().numpy().ravel()

        start = x.double().cpu().numpy().ravel()
        found = solve_ivp(velocity, (sde.end, sde.eps), start, method="RK45", rtol=self.tol, atol=self.tol)
        if not found.success:
            raise BenchError(f"scipy_rk45 at tolerance {self.tol:g} gave up: {found.message}")
        return torch.from_numpy(found.y[:, -1]).to(x.device, x.dtype).view(x.shape)
