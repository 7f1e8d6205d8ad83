"""DEIS against diffusers', and its integrals."""

from __future__ import annotations

import math
from functools import partial
from typing import Literal

import pytest

from bench import BenchError
from bench.diffusion.grid import schedule_of
from bench_fast.deis import integrals
from tests.support.analytic import SDES, grid_of, sde
from tests.support.published_fast import PLACES, check_multistep, multistep, quiet

pytestmark = quiet


@pytest.mark.parametrize(
    ("order", "checkpoint", "law"),
    [(order, *place) for order in (1, 2, 3) for place in PLACES[:3]] + [(3, *PLACES[3])],
)
def test_it_is_diffusers(checkpoint: str, law: str, order: int) -> None:
    """In the variable that the library has, ln(sigma / alpha)."""
    scheduler = partial(multistep, "DEISMultistepScheduler", solver_order=order)
    parameters = {"order": order, "variable": "log_sigma_ratio"}
    check_multistep(checkpoint, law, "deis", "deis", parameters, scheduler, whole=False)


@pytest.mark.parametrize("variable", ["t", "log_sigma_ratio"])
def test_the_integrals_sum_to_the_interval(variable: Literal["t", "log_sigma_ratio"]) -> None:
    """The polynomials are a partition of one."""
    nodes = [(law.t, law.sigma / law.alpha) for law in (sde("vp").at(t) for t in (0.5, 0.6, 0.8))]
    weights = integrals(sde("vp"), tuple(nodes), 0.4, variable)
    assert sum(weights) == pytest.approx(0.4 - nodes[0][1], rel=1e-9)


def test_of_one_node_in_the_logarithm_the_integral_of_a_line_is_exact() -> None:
    """Two nodes interpolate ln rho itself, whose integral is rho ln rho - rho."""
    nodes = tuple((0.0, ratio) for ratio in (2.0, 3.0))
    weights = integrals(sde("vp"), nodes, 1.0, "log_sigma_ratio")
    value = sum(w * math.log(ratio) for w, (_, ratio) in zip(weights, nodes, strict=True))
    assert value == pytest.approx(-1 - (2 * math.log(2) - 2), rel=1e-12)


@pytest.mark.parametrize("grid", ["uniform", "logsnr", "polynomial"])
@pytest.mark.parametrize("name", SDES)
def test_the_published_variable_extrapolates_by_less_than_150(name: str, grid: str) -> None:
    """``sum |C_j|`` over the step, of four predictions: half of what is refused."""
    law = sde(name)
    variable = law.multistep_variable
    for steps in (5, 10, 25, 100, 500):
        try:
            schedule = schedule_of(law, steps, grid_of(grid))
        except BenchError:  # VP's uniform grid needs more than 20 steps
            continue
        levels = [(step.t, step.sigma / step.alpha) for step in schedule]
        for i in range(steps - 1):
            nodes = tuple(levels[max(0, i - 3) : i + 1][::-1])
            weights = integrals(law, nodes, levels[i + 1][1], variable)
            assert sum(map(abs, weights)) < 150 * abs(levels[i + 1][1] - levels[i][1])
