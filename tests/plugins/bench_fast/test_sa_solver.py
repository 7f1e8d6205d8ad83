"""SA-Solver against ComfyUI's, recorded, and its integrals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad

from bench_fast.sa_solver import SASolver, integrals
from tests.support.authors import agrees, states_with_draws


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
