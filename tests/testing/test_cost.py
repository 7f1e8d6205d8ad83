"""The conformance kit catches predictors that store every state."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch

from bench import (
    Noise,
    Prediction,
    Predictor,
    Step,
    Tensor,
    Update,
)
from bench.testing.context import CheckContext
from bench.testing.cost import HEAVY, LiveBytes, is_heavy, pace
from tests.support.checks import failures
from tests.support.plugins import installed
from tests.support.samplers import Sound


class EverLonger(Sound):
    """Puts every state into its history."""

    name = "ever_longer"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        update = super().step(x, step, p, noise, None)
        return Update(update.x, update.mean, (*(state or ()), x))


MISTAKES: list[tuple[type[Predictor], set[str]]] = [
    (EverLonger, {"memory"}),
]


@pytest.mark.parametrize(("mistaken", "caught"), MISTAKES, ids=[m.name for m, _ in MISTAKES])
def test_a_mistaken_predictor_is_caught(mistaken: type[Predictor], caught: set[str]) -> None:
    assert caught <= failures(mistaken)


def test_the_time_of_a_step_is_compared_with_a_built_in_ones() -> None:
    (finding,) = pace(Sound(), CheckContext(installed(), ("vp",)))
    assert (finding.name, finding.status) == ("own time", "info")
    ratio = finding.numbers["ratio"]
    assert isinstance(ratio, float)
    assert ratio > 0
    assert "times reverse_diffusion's" in finding.measured


def test_live_bytes_are_counted_once_for_each_storage_and_released() -> None:
    with LiveBytes() as live:
        x = torch.zeros(1000)
        view = x.view(10, 100)
        y = x + 1
        assert live.bytes == 8000
        del x, view, y
        assert live.bytes == 0
    assert live.peak == 8000


class LongSearch(Sound):
    """Looks for its step in a long list."""

    name = "long_search"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        for _ in range(HEAVY):
            torch.zeros(1)
        return super().step(x, step, p, noise, state)


def test_heavy_steps_are_those_of_many_calls_of_torch() -> None:
    context = CheckContext(installed(), ("vp",))
    assert is_heavy(LongSearch(), context.sdes[0], context)
    assert not is_heavy(Sound(), context.sdes[0], context)


class Prepared(Sound):
    """Makes a table at its first step, which later runs find."""

    name = "prepared"
    table: ClassVar[list[Tensor]] = []

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if not self.table:
            self.table.extend(torch.zeros(1) for _ in range(20 * HEAVY))
        return super().step(x, step, p, noise, state)


def test_what_a_first_run_prepares_makes_no_step_heavy() -> None:
    context = CheckContext(installed(), ("vp",))
    assert not is_heavy(Prepared(), context.sdes[0], context)
    assert len(Prepared.table) == 20 * HEAVY
