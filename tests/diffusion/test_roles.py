"""The roles' shared code: linear steps, the flow's velocity, defaults."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from bench import (
    SDE,
    Corrector,
    Field,
    FlowSolver,
    LinearPredictor,
    Noise,
    Prediction,
    Step,
    Tensor,
    Update,
)
from bench.diffusion.grid import schedule_of
from bench.diffusion.roles import PartError
from tests.support.analytic import Replay, gaussian, sde

SHAPE = (1, 2, 2)
MODEL = gaussian(np.full(SHAPE, 0.3), np.full(SHAPE, 0.25))
X = torch.linspace(-1, 1, 12, dtype=torch.float64).view(3, *SHAPE)


class Halving(LinearPredictor):
    """x' = x / 2 + score / 4, with noise of a third where it is asked for."""

    name = "halving"
    noise: float = 0.0

    def coefficients(self, step: Step) -> tuple[float, float, float]:
        return 0.5, 0.25, self.noise


class Euler(FlowSolver):
    """A thousand of Euler's steps."""

    name = "euler"

    def integrate(self, field: Field, y: Tensor, start: float, end: float) -> Tensor:
        times = np.linspace(start, end, 1001)
        for t, t_next in pairwise(times):
            y = y + (t_next - t) * field(float(t), y)
        return y


class Still(Corrector):
    name = "still"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        return Update(x, x)


def test_a_linear_step_is_its_coefficients() -> None:
    step = schedule_of(sde("vp"), 30)[3]
    p, before = Prediction(MODEL, sde("vp")), X.clone()
    z = torch.ones(1, *X.shape, dtype=torch.float64)
    mean = X / 2 + MODEL.score(X, step) / 4
    x, reported, state = Halving(noise=1 / 3).step(X, step, p, Replay(z), None)
    torch.testing.assert_close(reported, mean)
    torch.testing.assert_close(x, mean + 1 / 3)
    assert state is None
    assert torch.equal(X, before)


def test_a_linear_step_without_noise_draws_none() -> None:
    step = schedule_of(sde("vp"), 30)[3]
    x, mean, _ = Halving().step(X, step, Prediction(MODEL, sde("vp")), Replay(torch.empty(0, 1)), None)
    assert torch.equal(x, mean)


@pytest.mark.parametrize("name", ["ve", "vp", "subvp", "flow", "flow_cosine"])
def test_the_velocity_is_the_slope_of_the_flow(name: str) -> None:
    """A Gaussian's flow keeps quantiles: x(t) = alpha m + sqrt(v) q, whose slope is a difference quotient."""
    law = sde(name)

    def state(t: float) -> Tensor:
        level = law.at(t)
        return level.alpha * 0.3 + math.sqrt(level.alpha**2 * 0.25 + level.sigma**2) * X

    for t in (0.1, 0.5, 0.9):
        h = 1e-5
        slope = (state(t + h) - state(t - h)) / (2 * h)
        own = Prediction(MODEL, law).velocity(state(t), t)
        # the quotient is off by h^2 and by rounding over h
        torch.testing.assert_close(own, slope, rtol=1e-6, atol=1e-8)


def test_a_flow_solver_runs_from_the_end_to_eps() -> None:
    law = sde("vp", eps=0.1)

    def quantile(t: float) -> Tensor:
        level = law.at(t)
        return level.alpha * 0.3 + math.sqrt(level.alpha**2 * 0.25 + level.sigma**2) * X

    p = Prediction(MODEL, law)
    x = Euler().solve(quantile(law.end), law, p, Replay(torch.empty(0, 1)))
    torch.testing.assert_close(x, quantile(law.eps), rtol=0, atol=0.02)  # first order
    assert p.calls == 1000
    assert Euler.follows_flow


def test_defaults_promise_nothing() -> None:
    part = Still()
    assert (part.couples_batch, part.linear, part.convergence_order, part.calls) == (False, False, None, 0)
    law: SDE = sde("vp")
    assert part.resolve(law) is part
    assert Halving().nfe(schedule_of(law, 27)) == 27
    assert part.uses_chain
    assert not Halving().needs_variance
    assert Euler().nfe() is None


def test_an_error_of_a_part_names_it() -> None:
    error = PartError(Still(), "returned nothing")
    assert str(error) == "still returned nothing"
    assert error.part == Still()
