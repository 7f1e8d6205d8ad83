"""The conformance kit catches predictors that promote to float64, or are right for some shapes alone."""

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
from bench.testing.context import CheckContext
from bench.testing.duties import alike, batch
from tests.support.checks import failures
from tests.support.plugins import installed
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


class ByItsStates(Sound):
    """A factor that depends on the shape of the states."""

    def factor(self, x: Tensor) -> float:
        return 1.0

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        update, factor = super().step(x, step, p, noise, state), self.factor(x)
        return Update(factor * update.x, factor * update.mean)


class Square(ByItsStates):
    """Takes the width for the height."""

    name = "square"

    def factor(self, x: Tensor) -> float:
        return 0.9 if x.dim() == 4 and x.shape[2] != x.shape[3] else 1.0


class ImagesAlone(ByItsStates):
    """Is wrong for points."""

    name = "images_alone"

    def factor(self, x: Tensor) -> float:
        return 0.9 if x.dim() == 2 else 1.0


class RefusesPoints(ByItsStates):
    """Fails on points, as by an axis that they lack."""

    name = "refuses_points"

    def factor(self, x: Tensor) -> float:
        return x.shape[3] / x.shape[3]


class FirstChunk(ByItsStates):
    """Handles 256 samples and leaves the others as they are."""

    name = "first_chunk"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        update = super().step(x, step, p, noise, state)
        update.x[256:] = x[256:]
        return update


@pytest.mark.parametrize("mistaken", [Square, ImagesAlone], ids=lambda part: part.name)
def test_a_predictor_that_is_right_for_some_shapes_is_caught(mistaken: type[Predictor]) -> None:
    (finding,) = alike(mistaken(), CheckContext(installed(), ("vp",)))
    assert finding.status == "fail"
    assert "off by" in finding.measured


def test_a_predictor_that_fails_on_points_is_not_wrong() -> None:
    (finding,) = alike(RefusesPoints(), CheckContext(installed(), ("vp",)))
    assert finding.status == "pass"
    assert "points are refused: IndexError" in finding.measured


def test_a_predictor_that_is_right_for_small_batches_is_caught() -> None:
    (finding,) = batch(FirstChunk(), CheckContext(installed(), ("vp",)))
    assert finding.status == "fail"
    (sound,) = batch(Sound(), CheckContext(installed(), ("vp",)))
    assert sound.status == "pass"
