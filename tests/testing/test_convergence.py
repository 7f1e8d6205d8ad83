"""The conformance kit catches predictors that converge to another answer."""

from __future__ import annotations

from typing import Any

import pytest

from bench import (
    Noise,
    Prediction,
    Predictor,
    Step,
    Tensor,
    Update,
)
from bench.testing.context import CheckContext
from bench.testing.convergence import order
from tests.support.checks import failures
from tests.support.plugins import installed
from tests.support.samplers import Sound


class WrongSign(Sound):
    name = "wrong_sign"
    sign = -1.0


class Forgotten(Sound):
    """Without its noise the reverse SDE contracts too far."""

    name = "forgotten"
    forget = True


class NoiseByDt(Sound):
    name = "noise_by_dt"
    power = 1.0


class Thresholded(Sound):
    """Declared linear, which a clipped state is not."""

    name = "thresholded"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        update = super().step(x, step, p, noise, state)
        return Update(update.x.clamp(-2, 2), update.mean.clamp(-2, 2))


MISTAKES: list[tuple[type[Predictor], set[str]]] = [
    (WrongSign, {"convergence, vp"}),
    (Forgotten, {"convergence, vp"}),
    (NoiseByDt, {"convergence, vp"}),
    (Thresholded, {"linear"}),
]


@pytest.mark.parametrize(("mistaken", "caught"), MISTAKES, ids=[m.name for m, _ in MISTAKES])
def test_a_mistaken_predictor_is_caught(mistaken: type[Predictor], caught: set[str]) -> None:
    assert caught <= failures(mistaken)


@pytest.mark.parametrize("name", ["stork", "dpmpp_2m"])
def test_an_order_is_that_of_the_sampler_where_alpha_vanishes_at_t(name: str) -> None:
    """On flow the polynomial grid goes from T to T - eps in one step, whose error is not to stay."""
    part = installed().build("predictors", name, {})
    of_flow = CheckContext(installed(), ["flow"])
    (finding,) = order(part, of_flow.sdes[0], of_flow, [], noisy=False)
    assert finding.status == "pass", finding
    assert finding.numbers["order"] == pytest.approx(part.convergence_order, abs=0.1)
