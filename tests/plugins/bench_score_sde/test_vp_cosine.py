"""The cosine schedule: its trained chain, strided subsequences, and the bound on the last beta."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from bench import BenchError, Prediction, Sampler
from bench.closed_form.moments import flow_moments, frechet, response_moments
from bench.diffusion.grid import schedule_of
from tests.support.analytic import grid_of, sde
from tests.support.closed_form import cosine_products, strided
from tests.support.flows import thin_model
from tests.support.plugins import installed

FLOW = ("ddim", "heun", "dpmpp_2m", "dpmpp_3m", "unipc", "deis", "ipndm")
"""Predictors that tend to the probability flow at their declared order on exact transitions."""


def test_alpha_is_the_product_of_the_published_betas() -> None:
    law = sde("vp_cosine")
    t = np.array([1, 400, 2000, 3999, 4000])
    np.testing.assert_allclose(law.alpha(t / 4000) ** 2, np.array(cosine_products())[t], rtol=1e-9)


def test_only_the_last_beta_meets_the_bound() -> None:
    law = sde("vp_cosine", scales=100, eps=0.01)
    ratios = (law.alpha(np.arange(1, 101) / 100) / law.alpha(np.arange(100) / 100)) ** 2
    assert ratios[-1] == pytest.approx(1e-3, rel=1e-9)
    assert ratios[:-1].min() > 1e-3 * (1 + 1e-6)


@pytest.mark.parametrize("steps", [10, 33, 100])
def test_fewer_steps_are_at_trained_scales(steps: int) -> None:
    law = sde("vp_cosine", scales=100, eps=0.01)
    t = law.chain_times(steps)
    np.testing.assert_allclose(t * 100, np.round(t * 100), atol=1e-9)
    for step in schedule_of(law, steps):
        assert step.a * step.alpha_next == pytest.approx(step.alpha, rel=1e-12)


@pytest.mark.parametrize("scales", [100, 1000, 4000])
def test_strided_times_are_those_of_space_timesteps(scales: int) -> None:
    """At every count of steps from 2 to the number of scales, ties included; one step starts at T."""
    law = sde("vp_cosine", scales=scales, eps=1 / scales)
    for steps in range(2, min(scales, 1000) + 1):
        taken = np.rint(law.chain_times(steps) * scales).astype(int).tolist()
        assert taken == strided(scales, steps), steps
    assert strided(4000, 25)[4:7] == [667, 834, 1001]  # sums of 666.5, 833.125 and 999.75
    np.testing.assert_allclose(law.chain_times(scales) * scales, np.arange(1, scales + 1), rtol=1e-14)


def test_a_later_end_strides_from_its_own_scale() -> None:
    law = sde("vp_cosine", scales=100, eps=0.1)
    assert np.rint(law.chain_times(4) * 100).tolist() == [10, 40, 70, 100]


def test_alpha_is_the_formula_up_to_the_last_scale() -> None:
    """Eq. 17 at any t, so that the flow has no kinks; from the last scale but one ln alpha is a line."""
    law = sde("vp_cosine", scales=100, eps=0.01)

    def f(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    for t in (1e-3, 0.303, 0.5, 0.9, 0.985):
        assert law.at(t).alpha ** 2 == pytest.approx(f(t) / f(0), rel=1e-12)
    low, middle, high = (math.log(law.at(t).alpha) for t in (0.99, 0.995, 1.0))
    assert middle == pytest.approx((low + high) / 2, rel=1e-12)
    assert high - low == pytest.approx(math.log(1e-3) / 2, rel=1e-12)


def test_drift_is_the_derivative_of_ln_alpha() -> None:
    law = sde("vp_cosine", scales=100, eps=0.01)
    for t in (0.01, 0.3, 0.8, 0.985, 0.995):
        h = 1e-6
        slope = (math.log(law.at(t + h).alpha) - math.log(law.at(t - h).alpha)) / (2 * h)
        assert float(law.drift(np.array(t))) == pytest.approx(slope, rel=1e-6)
        assert float(law.diffusion(np.array(t))) ** 2 == pytest.approx(-2 * slope, rel=1e-6)


def test_small_times_keep_their_digits() -> None:
    """1 - alpha^2 = 2 tan(o) a + a^2 (1 - tan(o)^2) + ..., a the angle of t and o the offset's."""
    law = sde("vp_cosine")
    slope = math.pi * math.tan(0.008 / 1.008 * math.pi / 2) / 1.008
    assert law.at(1e-12).sigma ** 2 == pytest.approx(slope * 1e-12, rel=1e-9)


def test_the_chain_starts_at_its_first_scale() -> None:
    with pytest.raises(BenchError, match=r"vp_cosine\.eps must be at least 1 / scales = 0\.01, not 0\.001"):
        sde("vp_cosine", scales=100, eps=0.001)
    assert sde("vp_cosine").position(1 / 4000, 4000) == pytest.approx(0, abs=1e-9)


def far(predictor: str, steps: int, grid: str, **parameters: Any) -> tuple[float, float]:
    """Squared distance of a run's moments from the exact flow's, and of the flow's from black images."""
    law = sde("vp_cosine")
    data = thin_model(law).data
    mean, variance = data.mean[0], data.variance[0]
    part = installed().build("predictors", predictor, parameters)
    limit = Sampler(law, solver=installed().build("solvers", "rk45", {}), denoise="tweedie")
    flow = flow_moments(limit, mean, variance)
    result = response_moments(Sampler(law, part, steps=steps, grid=grid_of(grid)), mean, variance)
    return frechet(*result, *flow), frechet(*flow, 0 * mean, 0 * variance)


@pytest.mark.parametrize("grid", ["logsnr", "polynomial"])
@pytest.mark.parametrize("predictor", FLOW)
def test_samplers_converge_at_their_order(predictor: str, grid: str) -> None:
    """From 200 to 400 steps the squared distance falls by ``2^(2 order)``, at least by half of that."""
    order = installed().build("predictors", predictor, {}).convergence_order
    assert far(predictor, 200, grid)[0] > far(predictor, 400, grid)[0] * 2 ** (2 * order) / 2


@pytest.mark.parametrize("steps", [5, 7, 10, 20])
@pytest.mark.parametrize("grid", ["uniform", "logsnr", "polynomial"])
@pytest.mark.parametrize("order", [2, 3, 4])
def test_deis_is_never_farther_than_black_images(order: int, grid: str, steps: int) -> None:
    distance, black = far("deis", steps, grid, order=order)
    assert distance < black


@pytest.mark.parametrize("grid", ["logsnr", "polynomial"])
def test_deis_in_t_is_refused_where_it_diverges(grid: str) -> None:
    with pytest.raises(BenchError, match=r"deis would extrapolate in t by a factor of .* more steps"):
        far("deis", 10, grid, variable="t")
    distance, black = far("deis", 100, grid, variable="t")
    assert distance < black


def test_the_last_scale_is_where_noise_grows() -> None:
    before, end = (sde("vp_cosine").at(t) for t in (3999 / 4000, 1.0))
    assert before.sigma / before.alpha == pytest.approx(2.6e3, rel=0.02)
    assert end.sigma / end.alpha == pytest.approx(8e4, rel=0.02)


@pytest.mark.parametrize("predictor", ["heun", "euler_maruyama"])
def test_explicit_steps_diverge_on_the_uniform_grid_alone(predictor: str) -> None:
    for steps in (50, 100):
        distance, black = far(predictor, steps, "uniform")
        assert distance > black
    for grid in ("logsnr", "polynomial"):
        distance, black = far(predictor, 100, grid)
        assert distance < black / 1000


@pytest.mark.parametrize("solver", ["rk45", "scipy_rk45"])
def test_the_flow_has_no_kinks_to_resolve(solver: str) -> None:
    """Calls at tolerance 1e-8 as on VP; a schedule of 4000 pieces takes over ten times as many."""
    calls = {}
    for name in ("vp", "vp_cosine"):
        law = sde(name)
        model = thin_model(law)
        p = Prediction(model, law)
        z = torch.randn(4, *model.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        part = installed().build("solvers", solver, {"tol": 1e-8})
        Sampler(law, solver=part, denoise="none").run(z, p, torch.zeros_like, torch.zeros_like)
        calls[name] = p.calls
    assert calls["vp_cosine"] < 2 * calls["vp"]
