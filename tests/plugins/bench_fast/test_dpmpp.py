"""DPM-Solver++ against diffusers', and its weights."""

from __future__ import annotations

from functools import partial
from typing import Literal

import pytest

from bench_fast.dpmpp import DPMpp2M, DPMpp3M
from tests.support.published_fast import PLACES, check_multistep, multistep, quiet

pytestmark = quiet


@pytest.mark.parametrize(("checkpoint", "law"), PLACES)
@pytest.mark.parametrize(("name", "order"), [("dpmpp_2m", 2), ("dpmpp_3m", 3)])
def test_it_is_diffusers(checkpoint: str, law: str, name: str, order: int) -> None:
    scheduler = partial(multistep, "DPMSolverMultistepScheduler", solver_order=order)
    check_multistep(checkpoint, law, name, name, {}, scheduler)


@pytest.mark.parametrize("second", ["published", "taylor"])
@pytest.mark.parametrize("r", [[], [1.0], [0.5, 2.0]], ids=["1", "2", "3"])
def test_weights_sum_to_that_of_a_constant(r: list[float], second: Literal["published", "taylor"]) -> None:
    """Where D is constant a step is exact: its factor is 1 - e^-h."""
    first = 0.3296799539643607  # 1 - e^-0.4
    assert sum(DPMpp3M(second=second).weights(0.4, r)) == pytest.approx(first, rel=1e-12)
    assert sum(DPMpp2M().weights(0.4, r[:1])) == pytest.approx(first, rel=1e-12)
