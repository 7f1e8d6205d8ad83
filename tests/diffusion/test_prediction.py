"""A prediction counts and times the network's calls; derived ones share both and change nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench import BenchError, Condition, Model, NoiseLevel, Prediction, Tensor
from bench.diffusion.prediction import Clock
from tests.support.analytic import gaussian, sde

SHAPE = (1, 2, 2)
VP = sde("vp")


def prediction(clock: Clock | None = None, labels: list[NoiseLevel] | None = None) -> Prediction:
    return Prediction(gaussian(np.full(SHAPE, 0.3), np.full(SHAPE, 0.25)), VP, clock, labels)


def states() -> Tensor:
    return torch.linspace(-1, 1, 12, dtype=torch.float64).view(3, *SHAPE)


class Pulling(Condition):
    """The guide -x."""

    def guide(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return -x


def test_a_time_is_the_level_at_that_time() -> None:
    p = prediction()
    assert torch.equal(p.score(states(), 0.4), p.score(states(), VP.at(0.4)))


def test_a_guide_is_added_to_the_derived_score_alone() -> None:
    p, x = prediction(), states()
    guided = p.guided(Pulling())
    plain = p.score(x, 0.5)
    assert torch.equal(guided.score(x, 0.5), plain - x)
    assert torch.equal(p.score(x, 0.5), plain)
    assert torch.equal(p.guided(Condition()).score(x, 0.5), plain)


def test_derived_predictions_share_the_calls() -> None:
    p, x = prediction(), states()
    guided = p.guided(Pulling())
    guided.score(x, 0.5)
    p.score_and_divergence(x, 0.5)
    guided.observed(lambda *_: None).score(x, 0.5)
    assert p.calls == guided.calls == 3


def test_an_observer_is_called_before_each_call_of_the_derived_prediction() -> None:
    p, x = prediction(), states()
    reports: list[tuple[Tensor, int]] = []
    observed = p.observed(lambda x, calls: reports.append((x, calls)))
    p.score(x, 0.5)
    observed.score(x, 0.5)
    observed.guided(Pulling()).score(x, 0.5)
    assert [calls for _, calls in reports] == [2, 3]
    assert all(state is x for state, _ in reports)

    def refuse(*_: object) -> None:
        raise RuntimeError("before the call")

    class Untouched(Model):
        shape = SHAPE

        def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
            raise AssertionError("called")

        def images(self, x: Tensor) -> Tensor:
            return x

    with pytest.raises(RuntimeError, match="before the call"):
        Prediction(Untouched(), VP).observed(refuse).score(x, 0.5)


def test_a_label_stands_in_for_the_level_of_its_index() -> None:
    labels = [VP.at(0.1), VP.at(0.9)]
    p, x = prediction(labels=labels), states()
    level = NoiseLevel(0.5, VP.at(0.5).alpha, VP.at(0.5).sigma, index=1, count=2)
    assert torch.equal(p.score(x, level), prediction().score(x, 0.9))
    assert torch.equal(p.score(x, 0.5), prediction().score(x, 0.5))


def test_the_clock_adds_up_the_calls() -> None:
    clock = Clock(torch.device("cpu"))
    assert clock.seconds() == 0
    p = prediction(clock)
    p.score(states(), 0.5)
    first = clock.seconds()
    p.guided(Pulling()).score(states(), 0.5)
    assert clock.seconds() > first > 0


def test_what_the_model_does_not_know_is_an_error() -> None:
    with pytest.raises(BenchError, match="no learned variance"):
        prediction().score_and_variance(states(), 0.5)
