"""The probability-flow ODE by both Dormand-Prince solvers against the recorded runs."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch

from bench import SDE, Model, Noise, NoiseLevel, Prediction, Sampler, Solver, Tensor
from bench.diffusion.counting import count_evaluations, counted_evaluations
from bench.diffusion.roles import velocity
from bench_ode.solvers import ScipyRK45
from tests.support.analytic import RECORDED, recorded, recorded_model, relative, sde, tensor
from tests.support.plugins import installed

TOLERANCES = ("0.1", "0.01", "0.001", "0.0001", "1e-05", "1e-06")
TIGHT = TOLERANCES[2:]
EVERY = [(name, tol) for name in RECORDED for tol in TOLERANCES]


class Witness(Model):
    """The recorded model, noting the times that it is called at."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.inner = recorded_model(dtype)
        self.shape = self.inner.shape
        self.times: list[float] = []

    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        self.times.append(level.t)
        return self.inner.score(x, level)

    def images(self, x: Tensor) -> Tensor:
        return self.inner.images(x)


class Recorded32(ScipyRK45):
    """scipy_rk45 with the right-hand side as the recording has it: float32 in every operation.

    The accept-or-reject decisions of a tight tolerance hang on the rounding of the right-hand side:
    with float64 coefficients VP at 1e-5 takes one step of six calls more. The recorded counts are
    therefore those of the float32 arithmetic, PAPER's formulas in the order they are written, on the
    processor that recorded them.
    """

    name = "recorded32"

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        return self.integrate(lambda t, y: self.slope(y, t, sde, p), x, sde.end, sde.eps)

    @staticmethod
    def slope(x: Tensor, t: float, sde: SDE, p: Prediction) -> Tensor:
        del p
        count_evaluations(len(x))
        time = torch.full((len(x), 1, 1, 1), t, dtype=torch.float32)
        mu, s0 = tensor("mu").float(), float(recorded()["s0"])
        if sde.name == "ve":
            alpha, std, drift = torch.ones_like(time), 0.01 * (50 / 0.01) ** time, torch.zeros_like(time)
            g = std * math.sqrt(2 * (math.log(50) - math.log(0.01)))
        else:
            log_alpha = -0.25 * time**2 * (20 - 0.1) - 0.5 * time * 0.1
            alpha, square, beta = log_alpha.exp(), (2 * log_alpha).exp(), 0.1 + time * (20 - 0.1)
            drift = -0.5 * beta
            if sde.name == "vp":
                std, g = torch.sqrt(1 - square), torch.sqrt(beta)
            else:
                discount = 1 - torch.exp(-2 * 0.1 * time - (20 - 0.1) * time**2)
                std, g = 1 - square, torch.sqrt(beta * discount)
        s = -(x - alpha * mu) / (alpha**2 * s0**2 + std**2)
        return drift * x - g**2 * s * 0.5


def law_of(name: str) -> SDE:
    """The SDE with the eps that the paper integrates to: 1e-5 for VE, 1e-3 for VP and sub-VP."""
    return sde(name, eps=1e-5 if name == "ve" else 1e-3)


def run(solver: Solver, name: str, dtype: torch.dtype = torch.float64) -> tuple[Tensor, int, list[float]]:
    """Samples, calls and the times of the calls, from the recorded prior."""
    law, model = law_of(name), Witness(dtype)
    score = Prediction(model, law)
    z = tensor(f"ode/{name}/z").to(dtype)

    def no_noise(_: Tensor) -> Tensor:
        raise AssertionError("an ODE solver draws no noise")

    result = Sampler(law, solver=solver, denoise="none").run(z / law.prior_std, score, no_noise, no_noise)
    return result, score.calls, model.times


def built(solver: str, tol: float) -> Solver:
    part: Solver = installed().build("solvers", solver, {"tol": tol})
    return part


def calls_of(name: str, tol: str) -> int:
    return int(recorded()[f"ode/{name}/{tol}/nfe"])


@cache
def reference(name: str) -> Tensor:
    """The solution to nine digits."""
    return run(built("scipy_rk45", 1e-9), name)[0]


@pytest.mark.parametrize(("name", "tol"), EVERY)
def test_scipy_takes_the_recorded_steps(name: str, tol: str) -> None:
    """On the recorded right-hand side nothing differs: span, tolerances, error norm, first step.

    Its float32 rounding (20 eps, see `test_right_hand_side`) reaches the error estimate's own size from
    1e-4 downwards, and then the processor's order of summation decides over steps: there the solutions
    still agree to their tolerance, and `test_scipy_in_float64` counts the calls.
    """
    law, score = law_of(name), Prediction(recorded_model(), law_of(name))
    solver = Recorded32(tol=float(tol))
    z = tensor(f"ode/{name}/z").float()
    with counted_evaluations() as evaluations:
        result = solver.solve(z, law, score, lambda x: x)
    if tol not in TIGHT[1:]:
        assert evaluations.count == calls_of(name, tol) * len(z)
    bound = 10 * float(tol) if tol in TIGHT[1:] else 8 * 20 * 1.2e-7  # eight steps
    assert relative(result, recorded()[f"ode/{name}/{tol}/x"]) < bound


@pytest.mark.parametrize("t", [0.05, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("name", RECORDED)
def test_right_hand_side(name: str, t: float) -> None:
    """float32 with the worst cancellation, 1 - y about 0.05 at t = 0.05: 20 eps of the larger term.

    On VP at t = 1 the two terms nearly cancel, hence not of their sum.
    """
    law, x = law_of(name), tensor(f"ode/{name}/z")
    score = Prediction(recorded_model(), law)
    ours = velocity(x, t, law, score.score(x, t))
    difference = (Recorded32.slope(x.float(), t, law, score).double() - ours).abs().max()
    term = (x * float(law.drift(np.asarray(t)))).abs().max()
    assert float(difference / torch.maximum(term, ours.abs().max())) < 20 * 1.2e-7


@pytest.mark.parametrize(("name", "tol"), EVERY)
def test_scipy_in_float64(name: str, tol: str) -> None:
    """As recorded; where rounding decides over a step (see `Recorded32`), within one step."""
    result, calls, times = run(built("scipy_rk45", float(tol)), name)
    assert calls == len(times)
    on_the_edge = name != "ve" and float(tol) < 1e-4
    assert abs(calls - calls_of(name, tol)) <= (6 if on_the_edge else 0)
    assert relative(result, recorded()[f"ode/{name}/{tol}/x"]) < 1e-4


@pytest.mark.parametrize(("name", "tol"), EVERY)
def test_rk45_takes_about_as_many_calls(name: str, tol: str) -> None:
    """Within two steps, in the recording's precision: the controllers differ after a rejected step."""
    _, calls, times = run(built("rk45", float(tol)), name, torch.float32)
    assert calls == len(times)
    assert abs(calls - calls_of(name, tol)) <= 12


@pytest.mark.parametrize("solver", ["rk45", "scipy_rk45"])
@pytest.mark.parametrize("name", RECORDED)
def test_ends_on_eps(name: str, solver: str) -> None:
    """The last stage is evaluated at the end of the last step: eps itself, and nothing beyond."""
    law = law_of(name)
    times = run(built(solver, 1e-3), name)[2]
    assert max(times) == law.end
    # rounding of t + dt is of the order of eps64 times t at the step's start
    assert min(times) == pytest.approx(law.eps, abs=float(np.finfo(float).eps))
    assert times[-1] == pytest.approx(law.eps, abs=float(np.finfo(float).eps))


@pytest.mark.parametrize("name", RECORDED)
def test_rk45_float32(name: str) -> None:
    """1e-6 is near float32's resolution: rounding of state or time must not stall the step size."""
    result, calls, _ = run(built("rk45", 1e-6), name, torch.float32)
    assert result.dtype == torch.float32
    assert calls < 2 * calls_of(name, "1e-06")
    # tens of steps, each rounding by eps = 1.2e-7 a few times
    assert relative(result, reference(name)) < 1e-5
