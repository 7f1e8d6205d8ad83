"""The last step: what is left of the noise."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from bench import Noise, Prediction, Step, Tensor, Update
from bench.testing.context import CheckContext
from bench.testing.ending import noise_left
from tests.support.plugins import installed
from tests.support.samplers import HeunSolver, Sound


class LastStep(Sound):
    """The last step returns its input times ``keep`` plus the expected data times ``clean``."""

    name = "last_step"
    keep: ClassVar[float] = 0.0
    clean: ClassVar[float] = 1.0

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if not step.last:
            return super().step(x, step, p, noise, state)
        x = self.keep * x + self.clean * p.denoised(x, step)
        return Update(x, x)


class LeftOut(LastStep):
    name = "left_out"
    keep, clean = 1.0, 0.0


class Twice(LastStep):
    name = "twice"
    keep, clean = 0.0, 2.0


class Half(LastStep):
    """Euler's step over sigma^2."""

    name = "half"
    keep, clean = 0.5, 0.5


class EndsNoisy(HeunSolver):
    """Says that its result is clean data, and stops at eps."""

    name = "ends_noisy"
    ends_clean = True


class AsksAtCleanData(LastStep):
    """Heun's second slope where there is no noise."""

    name = "asks_at_clean_data"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if not step.last:
            return super().step(x, step, p, noise, state)
        x = x + step.sigma_next * p.score(x, step.t_next)
        return Update(x, x)


RIGHT = (LastStep, Half, HeunSolver)
WRONG = (LeftOut, Twice, EndsNoisy)


@pytest.mark.parametrize(
    ("part", "status"), [(part, "pass") for part in RIGHT] + [(part, "fail") for part in WRONG]
)
def test_the_noise_of_eps_is_taken_away(part: Any, status: str) -> None:
    (finding,) = noise_left(part(), CheckContext(installed(), ("vp",)))
    assert finding.status == status


def test_the_noise_that_an_sde_has_at_zero_may_stay() -> None:
    (finding,) = noise_left(Sound(), CheckContext(installed(), ("ve",)))
    assert finding.status == "pass"


@pytest.mark.filterwarnings("error")
def test_a_last_step_that_asks_at_clean_data_is_told_so() -> None:
    (finding,) = noise_left(AsksAtCleanData(), CheckContext(installed(), ("vp",)))
    assert finding.status == "fail"
    assert (
        finding.measured
        == "not finite on vp at 20 steps: at step.last there is no noise left (sigma_next = 0)"
    )
