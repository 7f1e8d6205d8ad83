"""Which samplers draw noise after the prior's."""

from __future__ import annotations

from typing import Any

import pytest

from bench import draws_noise
from tests.support.plans import quick_spec


@pytest.mark.parametrize(
    ("settings", "draws"),
    [
        ({"predictor": ["ddim"]}, False),
        ({"predictor": ["ddim"], "parameters": {"predictor": {"eta": 1.0}}}, True),
        ({"predictor": ["heun"]}, False),
        ({"predictor": ["heun"], "parameters": {"predictor": {"s_churn": 40.0}}}, True),
        ({"predictor": ["ancestral"]}, True),
        ({"predictor": ["probability_flow"], "denoise": "tweedie"}, False),
        ({"predictor": ["ddim"], "corrector": ["langevin"]}, True),
        ({"predictor": ["none"], "corrector": ["langevin"]}, True),
        ({"solver": ["scipy_rk45"]}, False),
        ({"solver": ["sde_torchsde"]}, True),
    ],
)
def test_a_sampler_draws_noise_or_not(settings: dict[str, Any], draws: bool) -> None:
    assert draws_noise(quick_spec(**settings).sampler) is draws
