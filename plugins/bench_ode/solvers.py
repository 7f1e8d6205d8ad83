"""Adaptive Dormand-Prince 5(4) for the probability flow, in both directions.

The error norm is the root mean square over the whole flattened batch, as in the paper's runs: a
batch's samples share their steps. A tolerance bounds each step's estimated error e,

    rms(e / (tol + tol max(|y0|, |y1|))) <= 1,

and no more. The estimate is the difference of two formulas, of order 5 in the step, and the step's true
error, of order 6, can exceed it by any factor where the two happen to agree. The result's error is what the
flow makes of the true errors of the steps; in the mean over runs it falls in proportion to the tolerance.
"""

from __future__ import annotations

from typing import Any

from bench import Array, BenchError, Field, FlowSolver, Tensor, batch_sum, param


class _DormandPrince(FlowSolver):
    name = "dormand_prince"

    tol: float = param(
        default=1e-5,
        help="absolute and relative tolerance of each step's estimated error",
        above=0,
        flag="tol",
    )

    @property
    def couples_batch(self) -> bool:
        return True


class RK45(_DormandPrince):
    """Dormand-Prince 5(4) by torchdiffeq, on the device.

    Time is in float64, and the last step ends exactly where the integration does.
    """

    name = "rk45"
    libraries = ("torchdiffeq",)

    def integrate(self, field: Field, y: Tensor, start: float, end: float) -> Tensor:
        import torch
        from torchdiffeq import odeint

        # float32 time underflows at tolerance 1e-6; without step_t the solver steps past the end and
        # interpolates back
        times = torch.tensor([start, end], dtype=torch.float64, device=y.device)
        # torchdiffeq's own norm is of the same value, and its rounding depends on the number of threads
        options = {"dtype": torch.float64, "step_t": times[1:], "norm": _rms}
        low, high = min(start, end), max(start, end)

        def velocity(t: Tensor, y: Tensor) -> Tensor:
            # the search for the first step probes past the interval; the steps themselves never do
            return field(min(max(float(t), low), high), y)

        try:
            path = odeint(velocity, y, times, rtol=self.tol, atol=self.tol, method="dopri5", options=options)
        except AssertionError as error:
            raise BenchError(f"rk45 at tolerance {self.tol:g} gave up: {error}") from error
        result: Tensor = path[-1]
        return result


def _rms(x: Tensor) -> Tensor:
    """Root mean square of all elements."""
    return (batch_sum(x.square()) / x.numel()).sqrt()


class ScipyRK45(_DormandPrince):
    """Dormand-Prince 5(4) by scipy in float64 on the host, as in the paper.

    Each call copies the state to the device and back.
    """

    name = "scipy_rk45"
    libraries = ("scipy",)

    def integrate(self, field: Field, y: Tensor, start: float, end: float) -> Tensor:
        import torch
        from scipy.integrate import solve_ivp

        def velocity(t: float, flat: Array) -> Any:
            state = torch.from_numpy(flat).to(y.device, y.dtype).view(y.shape)
            return field(t, state).double().cpu().numpy().ravel()

        initial = y.double().cpu().numpy().ravel()
        solution = solve_ivp(velocity, (start, end), initial, method="RK45", rtol=self.tol, atol=self.tol)
        if not solution.success:
            raise BenchError(f"scipy_rk45 at tolerance {self.tol:g} gave up: {solution.message}")
        return torch.from_numpy(solution.y[:, -1]).to(y.device, y.dtype).view(y.shape)
