"""A prediction counts and times the network's calls; derived ones share both and change nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from bench import BenchError, Condition, Model, NoiseLevel, Prediction, Tensor
from bench.diffusion.counting import counted_evaluations
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


ASKS = (Prediction.score, Prediction.denoised, Prediction.noise, Prediction.velocity)
TIMES = torch.tensor([0.7, 0.2, 0.7], dtype=torch.float64)


class Shifting(Condition):
    """The guide ``shift - x``, with a shift for each sample."""

    def __init__(self, shift: Tensor) -> None:
        self.shift = shift

    def of_rows(self, rows: Tensor) -> Shifting:
        return Shifting(self.shift[rows])

    def guide(self, x: Tensor, level: NoiseLevel) -> Tensor:
        assert len(x) == len(self.shift)
        return self.shift.view(-1, 1, 1, 1) - x


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("guided", [False, True])
def test_a_time_for_each_row_is_that_time_for_each(ask: Callable[..., Tensor], guided: bool) -> None:
    x = states()
    condition = Shifting(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)) if guided else Condition()
    p = prediction().guided(condition)
    expected = torch.cat([ask(p.of_rows(torch.tensor([i])), x[i : i + 1], float(TIMES[i])) for i in range(3)])
    for times in (TIMES, TIMES.numpy()):
        torch.testing.assert_close(ask(p, x, times), expected, rtol=1e-14, atol=1e-14)
    # rows of one time are the whole batch at that time, bit for bit
    assert torch.equal(ask(p, x, np.full(3, 0.4)), ask(p, x, 0.4))


def test_times_for_each_row_are_one_call_of_each() -> None:
    clock = Clock(torch.device("cpu"))
    p, reports = prediction(clock), []
    observed = p.observed(lambda x, calls: reports.append((x, calls)))
    with counted_evaluations() as evaluations:
        observed.score(states(), TIMES)
    assert (p.calls, evaluations.count, evaluations.most(3)) == (1, 3, 1)
    assert [(len(x), calls) for x, calls in reports] == [(3, 1)]
    assert clock.seconds() > 0


def test_rows_of_the_batch_are_answered_and_counted_as_theirs() -> None:
    shifts = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    p, x = prediction().guided(Shifting(shifts)), states()
    rows = torch.tensor([2, 0, 2])
    with counted_evaluations() as evaluations:
        part = p.of_rows(rows).score(x[rows], np.array([0.3, 0.6, 0.9]))
        nested = p.of_rows(rows).of_rows(torch.tensor([1])).score(x[:1], 0.6)
    assert (evaluations.count, evaluations.of_all, evaluations.most(3)) == (4, 0, 2)
    expected = prediction().score(x[2:], 0.9) + 3.0 - x[2:]
    torch.testing.assert_close(part[2:], expected, rtol=1e-14, atol=1e-14)
    assert torch.equal(nested[0], part[1])


def test_what_is_no_time_for_each_row_is_refused() -> None:
    p, x = prediction(), states()
    with pytest.raises(BenchError, match=r"times of shape \(2,\) for 3 states"):
        p.score(x, TIMES[:2])
    with pytest.raises(BenchError, match="at one time for the whole batch"):
        p.score_and_divergence(x, TIMES)
    with pytest.raises(BenchError, match=r"of a mask take mask.nonzero\(\)"):
        p.of_rows(torch.tensor([True, False, True]))
    with pytest.raises(BenchError, match="the condition Pulling guides whole batches at one noise level"):
        p.guided(Pulling()).score(x, TIMES)
