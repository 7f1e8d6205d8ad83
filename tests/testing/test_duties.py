"""The conformance kit catches predictors that draw from global generators, have no help, or raise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bench import (
    Noise,
    Prediction,
    Predictor,
    Step,
    Tensor,
    Update,
    param,
)
from tests.support.checks import failures
from tests.support.samplers import Sound


class GlobalNoise(Sound):
    name = "global_noise"

    def draw(self, x: Tensor, noise: Noise) -> Tensor:
        return torch.randn_like(x)


class GlobalNumpyNoise(Sound):
    """Leaves the run's stream alone and no tensor's generator moves."""

    name = "global_numpy_noise"

    def draw(self, x: Tensor, noise: Noise) -> Tensor:
        return torch.from_numpy(np.random.standard_normal(tuple(x.shape))).to(x.dtype)


class Unhelpful(Sound):
    name = "unhelpful"

    gain: float = param(default=1.0, help="")


class Raises(Sound):
    name = "raises"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        raise RuntimeError("no such step")


MISTAKES: list[tuple[type[Predictor], set[str]]] = [
    (GlobalNoise, {"no global random state", "same seed, same bits"}),
    (GlobalNumpyNoise, {"no global random state", "same seed, same bits"}),
    (Unhelpful, {"parameters"}),
    (Raises, {"shape, precision, device", "finite at 10 steps", "convergence"}),
]


@pytest.mark.parametrize(("mistaken", "caught"), MISTAKES, ids=[m.name for m, _ in MISTAKES])
def test_a_mistaken_predictor_is_caught(mistaken: type[Predictor], caught: set[str]) -> None:
    assert caught <= failures(mistaken)
