"""The conformance kit catches predictors that promote to float64."""

from __future__ import annotations

from typing import Any

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
from tests.support.checks import failures
from tests.support.samplers import Sound


class Float64Leak(Sound):
    """A table of coefficients in numpy's precision promotes the state."""

    name = "float64_leak"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        update = super().step(x, step, p, noise, state)
        one = torch.ones(len(x), 1, 1, 1, dtype=torch.float64)
        return Update(update.x * one, update.mean * one)


class HiddenFloat64(Sound):
    """Computes in float64 inside, so that the network is asked in it; its result is float32 again."""

    name = "hidden_float64"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        update = super().step(x.double(), step, p, noise, state)
        return Update(update.x.to(x.dtype), update.mean.to(x.dtype))


MISTAKES: list[tuple[type[Predictor], set[str]]] = [
    (Float64Leak, {"shape, precision, device"}),
    (HiddenFloat64, {"shape, precision, device"}),
]


@pytest.mark.parametrize(("mistaken", "caught"), MISTAKES, ids=[m.name for m, _ in MISTAKES])
def test_a_mistaken_predictor_is_caught(mistaken: type[Predictor], caught: set[str]) -> None:
    assert caught <= failures(mistaken)
