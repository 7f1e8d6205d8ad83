"""SA-Solver against ComfyUI's, recorded, and diffusers', and its integrals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from bench import Sampler, Tensor
from bench.testing.context import CheckContext
from bench.testing.promises import moved_state
from bench_fast.sa_solver import SASolver, integrals
from tests.support.analytic import grid_of
from tests.support.authors import agrees, states_with_draws
from tests.support.plugins import installed
from tests.support.published_fast import (
    STEPS,
    agree,
    diffusers,
    on_grid,
    ours,
    plain,
    quiet,
    score_function,
    start,
    theirs,
)


@pytest.mark.parametrize(
    ("predictor", "key"),
    [(SASolver(), "sa_solver"), (SASolver(order=2, corrector_order=2), "sa_solver_2")],
    ids=["default", "2"],
)
def test_it_is_comfyuis(predictor: SASolver, key: str) -> None:
    """``sample_sa_solver`` with ``simple_order_2`` and tau = 1 where 0.05 <= sigma <= 1."""
    agrees(predictor, key)


@pytest.mark.parametrize("places", [(0.0, -0.8, -2.0), (1.0, 0.0, -0.8, -2.0)])
@pytest.mark.parametrize("k", [0.1, 3.0, 14.0])
def test_the_integrals_are_those_of_lagranges_polynomials(k: float, places: tuple[float, ...]) -> None:
    """By adaptive quadrature, one by one."""
    for j, b in enumerate(integrals(k, places)):

        def integrand(u: float, j: int = j) -> float:
            others = [place for place in places if place != places[j]]
            factors = [(u - place) / (places[j] - place) for place in others]
            return k * math.exp(-k * (1 - u)) * math.prod(factors)

        assert b == pytest.approx(quad(integrand, 0, 1, epsabs=1e-13)[0], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("places", [(0.0,), (0.0, -0.8), (1.0, 0.0), (1.0, 0.0, -0.8)])
def test_integrals_sum_to_that_of_a_constant(places: tuple[float, ...]) -> None:
    assert sum(integrals(0.7, places)) == pytest.approx(-math.expm1(-0.7), rel=1e-12)


def test_no_noise_is_drawn_outside_the_interval() -> None:
    outside, without = SASolver(s_tmin=1e8, s_tmax=1e9), SASolver(tau=0.0)
    assert np.array_equal(states_with_draws(outside), states_with_draws(without))


@pytest.mark.parametrize("tau", [0.0, 1.0])
def test_the_moves_of_a_runs_corrector_are_kept(tau: float) -> None:
    """`bench check` moves a state between two steps: the next one is moved by as much."""
    context = CheckContext(installed(), ("ve",))
    (finding,) = moved_state(SASolver(tau=tau), context.sdes[0], context)
    share = finding.numbers["share"]
    assert isinstance(share, float)
    assert share == pytest.approx(1, abs=0.05)


@quiet
@pytest.mark.parametrize("tau", [0.0, 0.6, 1.0])
@pytest.mark.parametrize(("order", "corrector_order"), [(1, 1), (2, 2), (2, 3), (3, 3), (3, 4)])
def test_it_is_diffusers(
    order: int, corrector_order: int, tau: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``SASolverScheduler`` in data prediction, to eps, with the same draws and last orders.

    Near the end diffusers' corrector keeps its order for a step more than ComfyUI's and ours: where m steps
    are left it uses m + 2 values at most, and ours m + 1. Lowered to that, all is the same.
    """
    sde = installed().build("sdes", "vp", {})
    p = score_function("gmm-cifar10", sde)
    predictor = SASolver(order=order, corrector_order=corrector_order, tau=tau, s_tmin=0.0, s_tmax=1e9)
    schedule = Sampler(sde, predictor, steps=STEPS, grid=grid_of("logsnr")).schedule()[:-1]
    x = start(p, sde)
    generator = torch.Generator().manual_seed(4)
    draws = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for _ in schedule]
    remaining = [iter(draws), iter(draws)]

    def own_noise(_: Tensor) -> Tensor:
        return next(remaining[0]).clone()

    def their_noise(*_: object, **__: object) -> Tensor:
        return next(remaining[1]).clone()

    monkeypatch.setattr("diffusers.schedulers.scheduling_sasolver.randn_tensor", their_noise)

    class LowerLast(diffusers.SASolverScheduler):  # type: ignore[misc]
        def stochastic_adams_moulton_update(self, *, order: int, **values: object) -> object:
            steps_left = len(self.timesteps) - self.step_index
            return super().stochastic_adams_moulton_update(order=min(order, steps_left + 1), **values)

    scheduler = LowerLast(
        prediction_type="epsilon",
        predictor_order=order,
        corrector_order=corrector_order,
        tau_func=lambda _: tau,
        lower_order_final=True,
    )
    expected = theirs(on_grid(scheduler, schedule), schedule, p, x, plain)
    agree(ours(predictor, schedule, p, x, own_noise), expected, 1e-9)
