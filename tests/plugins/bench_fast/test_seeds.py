"""SEEDS against ComfyUI's, recorded, and its weights."""

from __future__ import annotations

import math

import pytest

from bench_fast.seeds import SEEDS, stage_weights
from tests.support.authors import agrees


@pytest.mark.parametrize(
    ("predictor", "key"),
    [(SEEDS(stages=2), "seeds_2"), (SEEDS(), "seeds_3"), (SEEDS(eta=0.0), "seeds_3_0")],
    ids=["2", "3", "3, no noise"],
)
def test_it_is_comfyuis(predictor: SEEDS, key: str) -> None:
    """``sample_seeds_2`` and ``sample_seeds_3``."""
    agrees(predictor, key)


@pytest.mark.parametrize("stages", [2, 3])
def test_weights_sum_to_that_of_a_constant(stages: int) -> None:
    """Where D is constant a stage is exact: its factor is 1 - e^(-r k)."""
    for i in range(1, stages + 1):
        r = i / stages
        assert sum(stage_weights(r, 0.7, stages)) == pytest.approx(-math.expm1(-0.7 * r), rel=1e-12)
