"""Measured orders of convergence of the fast samplers and of the paper's, without sampling noise."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from bench import Array, Sampler
from bench.closed_form.moments import flow_moments, moments, response_moments
from tests.support.analytic import grid_of, sde
from tests.support.plugins import installed

MU = np.array([1.0, -0.5, 2.0, 0.3, -1.0])
LAM = np.array([0.05, 0.3, 1.0, 4.0, 10.0])

# Where sampling ends, the flow is nearly straight in ln(sigma / alpha), and so it is where it begins: error
# constants, integrals over the whole run, cancel and orders come out too high. Ended at noise of the
# data's own size, the run shows the order itself. A multistep method's first steps are of lower order,
# where the flow is straight: what they add shows at the finest grids alone.
LAWS = {"ve": 0.45, "vp": 0.3, "subvp": 0.3}


def error(law: str, predictor: str, parameters: dict[str, Any], steps: int, grid: Any) -> float:
    """Distance of means and standard deviations to those of the exact flow's expected data at eps."""
    chosen = sde(law, eps=LAWS[law])
    sampler = Sampler(
        chosen, installed().build("predictors", predictor, parameters), steps=steps, grid=grid_of(grid)
    )
    mean, variance = response_moments(sampler, MU, LAM)
    limit = Sampler(chosen, solver=installed().build("solvers", "rk45", {}), denoise="tweedie")
    mean_, variance_ = flow_moments(limit, MU, LAM)
    return float(np.linalg.norm(np.concatenate([mean - mean_, np.sqrt(variance) - np.sqrt(variance_)])))


def slope(errors: list[float]) -> float:
    """By least squares over step counts that double."""
    return -float(np.polyfit(np.arange(len(errors)), np.log2(errors), 1)[0])


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(
    ("predictor", "parameters", "order", "grid", "steps"),
    [
        ("ddim", {}, 1, "logsnr", 40),
        ("heun", {}, 2, "logsnr", 40),
        ("dpmpp_2m", {}, 2, "logsnr", 80),
        # as published: third order would be (3M), but its second difference is half a second derivative
        ("dpmpp_3m", {}, 2, "logsnr", 160),
        ("dpmpp_3m", {"second": "taylor"}, 3, "polynomial", 40),
        # as published: the move to eps is of first order, whose error is of second
        ("unipc", {}, 2, "polynomial", 40),
        ("unipc", {"order": 1}, 2, "logsnr", 40),
        ("dpmpp_3m", {"second": "taylor", "lower_order_final": "always"}, 2, "polynomial", 40),
        ("deis", {"order": 3, "lower_order_final": "always"}, 2, "polynomial", 40),
        # without it UniC raises UniP's order by one
        ("unipc", {"order": 2, "lower_order_final": "never"}, 3, "logsnr", 40),
        ("unipc", {"order": 3, "lower_order_final": "never"}, 4, "polynomial", 40),
        ("unipc", {"order": 3, "variant": "bh2", "lower_order_final": "never"}, 4, "polynomial", 40),
        ("deis", {"order": 1}, 1, "polynomial", 40),
        ("deis", {"order": 2}, 2, "polynomial", 40),
        ("deis", {"order": 3}, 3, "polynomial", 40),
        ("deis", {"order": 2, "variable": "log_sigma_ratio"}, 2, "polynomial", 40),
        ("deis", {"order": 3, "variable": "log_sigma_ratio"}, 3, "polynomial", 40),
        ("ipndm", {}, 2, "polynomial", 40),
        ("ipndm", {"order": 1}, 1, "polynomial", 40),
        ("ipndm_v", {"order": 3, "weights": "exact"}, 3, "polynomial", 40),
        ("dpm_solver_2", {}, 2, "logsnr", 20),
        ("dpm_solver_3", {}, 3, "logsnr", 20),
        ("dpmpp_2s", {}, 2, "logsnr", 20),
        ("res_multistep", {}, 2, "logsnr", 40),
        ("gradient_estimation", {}, 1, "logsnr", 40),
        ("stork", {"places": "consistent"}, 2, "logsnr", 40),
        ("stork", {"method": "stork4", "places": "consistent"}, 3, "polynomial", 40),
        ("seeds", {"eta": 0.0}, 3, "logsnr", 20),
        ("sa_solver", {"tau": 0.0}, 2, "polynomial", 40),
    ],
)
def test_order(
    law: str, predictor: str, parameters: dict[str, Any], order: float, grid: Any, steps: int
) -> None:
    errors = [error(law, predictor, parameters, steps * k, grid) for k in (1, 2, 4)]
    assert abs(slope(errors) - order) < 0.3
    declared = installed().build("predictors", predictor, parameters).convergence_order
    assert declared == order


@pytest.mark.parametrize(
    ("predictor", "parameters"),
    [
        ("euler_ancestral", {}),
        ("dpmpp_2s", {"eta": 1.0}),
        ("dpmpp_2m_sde", {}),
        ("dpmpp_2m_sde", {"rule": "heun"}),
        ("dpmpp_3m_sde", {}),
        ("er_sde", {"order": 1}),
        ("er_sde", {}),
        ("seeds", {"stages": 2}),
        ("seeds", {}),
    ],
)
def test_order_of_moments_with_noise(predictor: str, parameters: dict[str, Any]) -> None:
    """Of their own limit: the prior's mismatch, which noise forgets, cancels in differences."""
    part = installed().build("predictors", predictor, parameters)
    results = []
    for steps in (40, 80, 160):
        sampler = Sampler(sde("vp", eps=LAWS["vp"]), part, steps=steps, grid=grid_of("logsnr"))
        mean, variance = response_moments(sampler, MU, LAM)
        results.append(np.concatenate([mean, np.sqrt(variance)]))
    first, second = (float(np.linalg.norm(a - b)) for a, b in pairwise(results))
    assert math.log2(first / second) > part.convergence_order - 0.3


def test_published_ipndm_v_of_four_noises_is_of_second_order_in_the_limit_alone() -> None:
    """Its weights sum to one up to second order in the steps' relative change."""
    early = slope([error("vp", "ipndm_v", {}, n, "polynomial") for n in (40, 80, 160)])
    late = slope([error("vp", "ipndm_v", {}, n, "polynomial") for n in (320, 640, 1280)])
    assert abs(early - installed().build("predictors", "ipndm_v", {}).convergence_order) < 0.3
    assert abs(late - 2) < 0.3


def test_published_3m_gains_a_third_order_only_at_few_steps() -> None:
    """At 11 to 44 steps its error falls as of third order, in the end as of second: the library formula."""
    early = slope([error("vp", "dpmpp_3m", {}, n, "logsnr") for n in (11, 22, 44)])
    late = slope([error("vp", "dpmpp_3m", {}, n, "logsnr") for n in (320, 640, 1280)])
    assert abs(early - 3) < 0.3
    assert abs(late - 2) < 0.1


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("predictor", ["euler_maruyama", "probability_flow"])
@pytest.mark.parametrize("grid", ["logsnr", "polynomial"])
def test_first_order_of_the_papers(law: str, predictor: str, grid: Any) -> None:
    """Their last step is no denoising, so that their limit is not the flow's: it cancels in differences."""
    chosen = sde(law, eps=LAWS[law])
    results: list[Array] = []
    for steps in (2000, 4000, 8000):
        sampler = Sampler(
            chosen, installed().build("predictors", predictor, {}), steps=steps, grid=grid_of(grid)
        )
        mean, variance = moments(sampler, MU, LAM)
        results.append(np.concatenate([mean, np.sqrt(variance)]))
    first, second = (float(np.linalg.norm(a - b)) for a, b in pairwise(results))
    assert abs(math.log2(first / second) - 1) < 0.3


def test_published_orders_stand_on_every_grid() -> None:
    """DDIM and DPM-Solver++(2M) on the uniform grid too, whose steps differ most."""
    for predictor, order in (("ddim", 1), ("dpmpp_2m", 2)):
        errors = [error("vp", predictor, {}, n, "uniform") for n in (200, 400, 800)]
        assert abs(slope(errors) - order) < 0.3
