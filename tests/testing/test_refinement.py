"""Errors at rising numbers of steps, and the truths that they are errors of."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bench import BenchError
from bench.testing.laws import SMALL, normals
from bench.testing.refinement import (
    UNEVEN,
    Refinement,
    flow_residual,
    impulse_residual,
    nearest,
    refined,
    size_of,
    step_errors,
)
from tests.support.analytic import sde
from tests.support.checks import context
from tests.support.samplers import Sound


@pytest.mark.parametrize("name", ["ve", "vp", "subvp"])
def test_the_uneven_grid_has_steps_of_one_and_two(name: str) -> None:
    run = sde(name)
    t = UNEVEN.times(run, 8)
    root = np.exp(run.log_sigma_ratio(t) / 7)
    np.testing.assert_allclose(np.diff(root) / (root[1] - root[0]), [1, 2, 1, 2, 1, 2, 1], rtol=1e-6)
    assert (t[0], t[-1]) == (run.end, pytest.approx(run.eps, rel=1e-9))


def test_an_order_is_the_slope_at_the_finest_runs() -> None:
    runs = Refinement([10, 100, 200], [torch.tensor([b]) for b in (1.0, 4e-4, 1e-4)])
    assert runs.order == pytest.approx(2)
    assert runs.rise(2) is None
    assert Refinement([40, 100, 200], [torch.tensor([b]) for b in (1e-3, 1e-4, 2e-4)]).rise(1) == 200


def test_a_rise_after_terms_that_cancel_is_no_mistake() -> None:
    """``1 / n - 40 / n^2`` is 0 at 40 steps; three times the first-order error at 100 is a mistake."""
    steps = [20, 40, 100, 250, 500]
    errors = [abs(1 / n - 40 / n**2) for n in steps]
    assert Refinement(steps, [torch.tensor([error]) for error in errors]).rise(1) is None
    errors[2] = 3 / 100
    assert Refinement(steps, [torch.tensor([error]) for error in errors]).rise(1) == 100


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0, 4.0])
def test_no_more_of_a_falling_error_stays_than_may(power: float) -> None:
    errors = torch.tensor([1.0, -2.0], dtype=torch.float64)
    falling = [errors * n**-power for n in (1, 2, 4)]
    assert Refinement([125, 250, 500], falling).remainder <= 1 + 1e-9
    with_floor = [error + errors[0] for error in falling]
    assert Refinement([125, 250, 500], with_floor).remainder > 1.05


def test_errors_of_two_orders_that_cancel_are_no_floor() -> None:
    runs = [torch.tensor([0.017 * k - 0.006 * k**2]) for k in (4, 2, 1)]
    assert Refinement([125, 250, 500], runs).remainder < 1


def test_counts_that_a_sampler_refuses_are_left_out() -> None:
    def residual(steps: int) -> list[torch.Tensor]:
        if steps == 2:
            raise BenchError("not two")
        return [torch.full((3,), 1 / steps)]

    assert refined(residual, (1, 2, 3, 4)).steps == [1, 3, 4]
    with pytest.raises(BenchError, match="fewer than three of 1, 2, 3 steps: not two"):
        refined(residual, (1, 2, 3))


def test_errors_are_from_the_end_that_they_tend_to() -> None:
    """``1 / n`` from one end; another, 0.3 off, is nearer at every one of these numbers of steps."""
    runs = refined(lambda steps: [torch.tensor([1 / steps - off]) for off in (0.3, 0.0)], (1, 2, 4))
    assert runs.errors == [1.0, 0.5, 0.25]


def test_the_flow_of_a_fine_solver_has_no_residual() -> None:
    """RK45 at tolerance 1e-9 against quantiles: two ways to the same truth."""
    solver, run = context().solver("rk45", tol=1e-9), context().middle(sde("vp"))
    assert nearest(flow_residual(solver, run, context(), "polynomial", whole=False)(0)) < 1e-7


def test_impulses_give_the_moments_of_the_recursion() -> None:
    """Euler-Maruyama's mean and variance follow from those before each step."""
    run, steps = context().middle(sde("vp")), 6
    law = normals(SMALL).mapped(*run.data_range)
    mean, variance = (array[0].numpy() for array in (law.mean, law.variance))
    start, end = run.at(run.end), run.at(run.eps)
    m, v = start.alpha * mean, start.alpha**2 * variance + start.sigma**2
    for step in context().sampler(Sound(), run, steps).schedule()[:-1]:
        precision = 1 / (step.alpha**2 * variance + step.sigma**2)
        a = 1 - step.drift * step.dt - step.diffusion**2 * step.dt * precision
        m = a * m + step.diffusion**2 * step.dt * precision * step.alpha * mean
        v = a**2 * v + step.diffusion**2 * step.dt
    exact = end.alpha**2 * variance + end.sigma**2
    off = impulse_residual(Sound(), run, context(), "polynomial")(steps)[0].numpy()
    np.testing.assert_allclose(off[0], (m - end.alpha * mean) / np.sqrt(exact), atol=1e-12)
    np.testing.assert_allclose(off[1], np.sqrt(v / exact) - 1, atol=1e-12)
    assert math.isfinite(float(off.max()))


def test_single_steps_of_the_first_order_err_in_the_second() -> None:
    """DDIM's, on the exact flow: half the step leaves a quarter of the error."""
    run = context().middle(sde("vp"))
    coarse, fine = (size_of(step_errors(context().predictor("ddim"), run, n, context())) for n in (100, 200))
    assert math.log2(coarse / fine) == pytest.approx(2, abs=0.1)
