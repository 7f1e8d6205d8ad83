"""What a tolerance of the Dormand-Prince solvers promises, over SDEs, shapes and seeds, in float64.

Each step's estimated error is at most the tolerance, in the norm that the solvers control: root mean square
over the batch of ``e / (tol + tol max(|y0|, |y1|))``. The estimate is a difference of two formulas: a step's
true error can exceed it, without a bound that holds for every step. On Gaussian data the flow is known, and
with it every step's true error and what becomes of it: a perturbation of coordinate j at t is
``sqrt(v_j(eps) / v_j(t))`` times as large at eps, v the variance of the marginal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from bench import SDE, Array, FlowSolver, Prediction, Tensor
from tests.support.analytic import gaussian, sde
from tests.support.plugins import installed

SDES = ("ve", "vp", "subvp")
SHAPES = ((3, 4, 4), (1, 9, 5), (3, 12, 12))
SEEDS = (0, 1, 2)
TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6)
NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1)
"""c of the tableau's second to seventh stage."""
FIFTH = (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0)
EMBEDDED = {
    "scipy_rk45": (5179 / 57600, 0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40),
    "rk45": (1951 / 21600, 0, 22642 / 50085, 451 / 720, -12231 / 42400, 649 / 6300, 1 / 60),
}
"""The formula whose difference from the fifth-order one is the estimate: Dormand and Prince's (1980), and
Shampine's (1986), which torchdiffeq has."""


@dataclasses.dataclass
class Gaussian:
    """N(mu, diag(variance)) under an SDE, and its exact flow."""

    law: SDE
    mu: Array
    variance: Array

    def marginal(self, t: float) -> tuple[Array, Array]:
        """Mean and variance at t."""
        level = self.law.at(t)
        return level.alpha * self.mu, level.alpha**2 * self.variance + level.sigma**2

    def flow(self, y: Array, start: float, end: float) -> Array:
        """The state at ``end`` of the flow through y at ``start``."""
        (m0, v0), (m1, v1) = self.marginal(start), self.marginal(end)
        flowed: Array = m1 + np.sqrt(v1 / v0) * (y - m0)
        return flowed

    def growth(self, t: float) -> float:
        """The largest factor of a perturbation from t to eps."""
        return float(np.sqrt(self.marginal(self.law.eps)[1] / self.marginal(t)[1]).max())


@dataclasses.dataclass
class Accepted:
    """One accepted step from (t0, y0) to (t1, y1), and the slopes of its seven stages."""

    t0: float
    t1: float
    y0: Array
    y1: Array
    slopes: Sequence[Array]


@dataclasses.dataclass
class Path:
    """A whole integration: data, prior, result, and its accepted steps."""

    data: Gaussian
    start: Array
    end: Array
    steps: list[Accepted]

    def error(self) -> Array:
        """The result less the exact flow's."""
        law = self.data.law
        return self.end - self.data.flow(self.start, law.end, law.eps)


def integrate(name: str, solver: str, tol: float, seed: int, shape: tuple[int, ...]) -> Path:
    """The flow of four samples of a Gaussian with deviations from 0.1 to 1, from T to eps."""
    draws = np.random.default_rng(seed)
    law = sde(name)
    spread = draws.permutation(np.geomspace(0.1, 1, int(np.prod(shape)))).reshape(shape)
    data = Gaussian(law, draws.uniform(*law.data_range, size=shape), spread**2)
    p = Prediction(gaussian(data.mu, data.variance), law)
    calls: list[tuple[float, Array, Array]] = []

    def field(t: float, y: Tensor) -> Tensor:
        slope = p.velocity(y, t)
        calls.append((t, y.numpy().copy(), slope.numpy().copy()))
        return slope

    start = torch.from_numpy(draws.normal(size=(4, *shape))) * law.prior_std
    part: FlowSolver = installed().build("solvers", solver, {"tol": tol})
    end = part.integrate(field, start, law.end, law.eps).numpy()
    return Path(data, start.numpy(), end, accepted(calls, law.eps))


def accepted(calls: list[tuple[float, Array, Array]], end: float) -> list[Accepted]:
    """The accepted steps: six calls a trial, the last at the new state; two calls find the first step."""
    assert (len(calls) - 2) % 6 == 0
    trials = [calls[k : k + 6] for k in range(2, len(calls), 6)]
    starts = []
    for trial in trials:
        step = (trial[-1][0] - trial[0][0]) / (1 - NODES[0])
        starts.append(trial[-1][0] - step)
    steps, (t, y, slope) = [], calls[0]
    for trial, following in zip(trials, [*starts[1:], end], strict=True):
        t1, y1, slope1 = trial[-1]
        if abs(following - t1) < 1e-9:
            steps.append(Accepted(t, t1, y, y1, [slope, *(call[2] for call in trial)]))
            t, y, slope = t1, y1, slope1
    return steps


def rms(values: Array) -> float:
    """Root mean square of all values."""
    return float(np.sqrt(np.mean(values**2)))


def scaled(error: Array, step: Accepted, tol: float) -> float:
    """The norm that the solvers control."""
    return rms(error / (tol + tol * np.maximum(np.abs(step.y0), np.abs(step.y1))))


CASES = [(n, s, t) for n in SDES for s in EMBEDDED for t in TOLERANCES]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "solver", "tol"), CASES)
def test_no_step_is_estimated_beyond_the_tolerance(
    name: str, solver: str, tol: float, shape: tuple[int, ...]
) -> None:
    weights = np.subtract(FIFTH, EMBEDDED[solver])
    for seed in SEEDS:
        steps = integrate(name, solver, tol, seed, shape).steps
        for step in steps:
            estimate = (step.t1 - step.t0) * sum(w * k for w, k in zip(weights, step.slopes, strict=True))
            assert scaled(estimate, step, tol) <= 1 + 1e-6


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "solver", "tol"), CASES)
def test_the_error_is_at_most_what_the_flow_makes_of_the_steps_errors(
    name: str, solver: str, tol: float, shape: tuple[int, ...]
) -> None:
    """``|error| <= sum_k growth(t_k) |error of step k|``, growth at most ``sqrt(4 / 3)`` (see below)."""
    for seed in SEEDS:
        path = integrate(name, solver, tol, seed, shape)
        bound = 0.0
        for step in path.steps:
            local = step.y1 - path.data.flow(step.y0, step.t0, step.t1)
            bound += path.data.growth(step.t1) * rms(local)
        assert path.steps[-1].t1 == pytest.approx(path.data.law.eps, abs=1e-12)
        # states of VE are as large as 50, and float64 rounds each of hundreds of calls
        assert rms(path.error()) <= bound + 1e-11


@pytest.mark.parametrize("name", SDES)
def test_the_flow_hardly_amplifies_errors(name: str) -> None:
    """Towards the data variances fall, but on VP and sub-VP where they pass through a minimum.

    There v = a^2 s^2 + (1 - a^2)^2 (sub-VP) is at least ``s^2 (1 - s^2 / 4)``, so that for deviations s up
    to 1 the factor is at most ``sqrt(4 / 3)``.
    """
    for s in (0.1, 0.5, 1.0):
        data = Gaussian(sde(name), np.zeros(1), np.array([s**2]))
        factors = [data.growth(t) for t in np.linspace(data.law.eps, 1, 1001).tolist()]
        assert max(factors) <= np.sqrt(4 / 3)


@pytest.mark.parametrize("solver", EMBEDDED)
@pytest.mark.parametrize("name", SDES)
def test_the_error_falls_in_proportion_to_the_tolerance(name: str, solver: str) -> None:
    """In the mean over seeds and shapes: estimates are of order 5 in the step and true errors of order 6.

    So a step's error is of order tol^(6/5) and their number tol^(-1/5). The slope is measured on six decades;
    in single runs an estimate near zero by chance moves the error by a factor of ten and more.
    """
    tolerances = [10.0**-k for k in range(4, 10)]
    errors = [
        np.mean(
            [
                np.log(rms(integrate(name, solver, tol, seed, shape).error()))
                for seed in SEEDS
                for shape in SHAPES
            ]
        )
        for tol in tolerances
    ]
    slope = np.polyfit(np.log(tolerances), errors, 1)[0]
    assert 0.9 < slope < 1.3
