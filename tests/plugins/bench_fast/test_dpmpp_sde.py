"""SDE-DPM-Solver++ against k-diffusion's, recorded, and its weights."""

from __future__ import annotations

import math
from typing import Literal

import pytest

from bench import Predictor
from bench_fast.dpmpp import DPMpp2M, DPMpp3M
from bench_fast.dpmpp_sde import DPMpp2MSDE, DPMpp3MSDE
from tests.support.authors import agrees


@pytest.mark.parametrize(
    ("predictor", "key"),
    [
        (DPMpp2MSDE(), "dpmpp_2m_sde"),
        (DPMpp2MSDE(eta=0.5, rule="heun"), "dpmpp_2m_sde_heun"),
        (DPMpp3MSDE(), "dpmpp_3m_sde"),
    ],
    ids=["2m", "2m_heun", "3m"],
)
def test_it_is_k_diffusions(predictor: Predictor, key: str) -> None:
    """``sample_dpmpp_2m_sde`` and ``sample_dpmpp_3m_sde``, their random tree replaced by the draws."""
    agrees(predictor, key)


@pytest.mark.parametrize("rule", ["midpoint", "heun"])
@pytest.mark.parametrize("r", [[], [1.0], [0.5, 2.0]], ids=["1", "2", "3"])
def test_weights_sum_to_that_of_a_constant(r: list[float], rule: Literal["midpoint", "heun"]) -> None:
    """Where D is constant a step is exact: its factor is 1 - e^-k."""
    assert sum(DPMpp3MSDE().weights(0.8, r)) == pytest.approx(-math.expm1(-0.8), rel=1e-12)
    assert sum(DPMpp2MSDE(rule=rule).weights(0.8, r[:1])) == pytest.approx(-math.expm1(-0.8), rel=1e-12)


def test_without_noise_the_weights_are_dpm_solver_pp_s() -> None:
    assert DPMpp2MSDE(eta=0.0).weights(0.4, [0.7]) == pytest.approx(DPMpp2M().weights(0.4, [0.7]), rel=1e-12)
    three = DPMpp3MSDE(eta=0.0).weights(0.4, [0.5, 2.0])
    assert three == pytest.approx(DPMpp3M().weights(0.4, [0.5, 2.0]), rel=1e-12)
