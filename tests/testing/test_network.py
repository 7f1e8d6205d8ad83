"""How a sampler asks the network: counts, whoever is asked, and the times of levels."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import pytest

from bench import BenchError, Noise, NoiseLevel, Prediction, Predictor, Step, Tensor, Update
from bench.testing.context import CheckContext
from bench.testing.network import calls, levels, times
from tests.support.plugins import installed
from tests.support.samplers import HeunSolver, Sound


class Direct(Sound):
    """Asks the model, not the prediction."""

    name = "direct"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        mean = x + step.diffusion**2 * p.model.score(x, step) * step.dt
        return Update(mean, mean)


class InAThread(Sound):
    """Asks in a thread, where nobody counts."""

    name = "in_a_thread"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        scores: list[Tensor] = []
        thread = threading.Thread(target=lambda: scores.append(p.score(x, step)))
        thread.start()
        thread.join()
        return Update(x + step.diffusion**2 * scores[0] * step.dt, x)


class NoNetwork(Predictor):
    """Never asks it."""

    name = "no_network"

    def nfe(self, grid: Any) -> int:
        return 0

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        return Update(0 * x, 0 * x)


class TwiceOfMany(Sound):
    """Asks once more where there are more than 64 samples."""

    name = "twice_of_many"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if len(x) > 64:
            p.score(x, step)
        return super().step(x, step, p, noise, state)


class ThreeStepsAtLeast(Sound):
    name = "three_steps_at_least"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.steps < 3:
            raise BenchError("three steps or more")
        return super().step(x, step, p, noise, state)


class Late(Sound):
    """Asks at the right alpha and sigma, with a time that is a tenth too large."""

    name = "late"
    share = 1.1

    def at(self, step: Step) -> NoiseLevel:
        return dataclasses.replace(step, t=self.share * step.t)


class Rounded(Sound):
    """Rounds times to the nearest of 1000 trained ones."""

    name = "rounded"

    def at(self, step: Step) -> NoiseLevel:
        return dataclasses.replace(step, t=round(999 * step.t) / 999)


def verdict(check: Any, part: Any) -> str:
    (finding,) = check(part(), CheckContext(installed(), ("vp",)))
    return str(finding.status)


@pytest.mark.parametrize(
    ("part", "status"),
    [
        (Sound, "pass"),
        (HeunSolver, "pass"),
        (ThreeStepsAtLeast, "pass"),
        (Direct, "fail"),
        (InAThread, "fail"),
        (NoNetwork, "fail"),
        (TwiceOfMany, "fail"),
    ],
)
def test_calls_are_counted_wherever_they_are_made(part: Any, status: str) -> None:
    assert verdict(calls, part) == status


@pytest.mark.parametrize(("part", "status"), [(Sound, "pass"), (Rounded, "pass"), (Late, "fail")])
def test_a_levels_time_is_that_of_its_alpha_and_sigma(part: Any, status: str) -> None:
    assert verdict(times, part) == status


def test_the_states_own_level() -> None:
    class Next(Sound):
        name = "next"

        def at(self, step: Step) -> NoiseLevel:
            return NoiseLevel(step.t_next, step.alpha_next, step.sigma_next)

    assert verdict(levels, Next) == "fail"
    assert verdict(levels, Sound) == "pass"
