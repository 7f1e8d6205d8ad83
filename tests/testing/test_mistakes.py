"""The conformance kit catches planted mistakes in samplers, each in a copy that passes without it."""

from __future__ import annotations

import itertools
import math
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from bench import (
    SDE,
    Corrector,
    Noise,
    NoiseLevel,
    Plugin,
    Prediction,
    Predictor,
    Solver,
    Step,
    Tensor,
    Update,
    param,
)
from bench.testing import Report, assert_conforms, check


def failed(thing: type[Plugin], **options: Any) -> set[str]:
    """Names of the failed checks, on VP alone unless told."""
    report: Report = check(thing, sdes=options.pop("sdes", ("vp",)), **options)
    return {finding.name for finding in report.failures}


class Sound(Predictor):
    """Euler-Maruyama on the reverse SDE, each of whose parts a mistake may replace."""

    name = "sound"
    sign: ClassVar[float] = 1.0
    power: ClassVar[float] = 0.5
    forget: ClassVar[bool] = False

    @property
    def convergence_order(self) -> float:
        return 1.0

    @property
    def linear(self) -> bool:
        return True

    def at(self, step: Step) -> NoiseLevel:
        return step

    def draw(self, x: Tensor, noise: Noise) -> Tensor:
        return noise(x)

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        f, g, dt = step.drift, step.diffusion, step.dt
        mean = x - (f * x - self.sign * g**2 * p.score(x, self.at(step))) * dt
        if self.forget:
            return Update(mean, mean)
        return Update(mean + g * dt**self.power * self.draw(x, noise), mean)


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


class ScoreOfTheNextScale(Sound):
    """Asks at the step that the step leads to: off by one, and still of first order."""

    name = "score_of_the_next_scale"

    def at(self, step: Step) -> NoiseLevel:
        return NoiseLevel(step.t_next, step.alpha_next, step.sigma_next)


class GlobalNoise(Sound):
    name = "global_noise"

    def draw(self, x: Tensor, noise: Noise) -> Tensor:
        return torch.randn_like(x)


class GlobalNumpyNoise(Sound):
    """Leaves the run's stream alone and no tensor's generator moves."""

    name = "global_numpy_noise"

    def draw(self, x: Tensor, noise: Noise) -> Tensor:
        return torch.from_numpy(np.random.standard_normal(tuple(x.shape))).to(x.dtype)


class NoDenoising(Sound):
    """Calls the noisy state its mean: a run that ends on the mean ends with the last step's noise."""

    name = "no_denoising"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        x = super().step(x, step, p, noise, state).x
        return Update(x, x)


class Float64Leak(Sound):
    """A table of coefficients in numpy's precision promotes the state."""

    name = "float64_leak"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        found = super().step(x, step, p, noise, state)
        one = torch.ones(len(x), 1, 1, 1, dtype=torch.float64)
        return Update(found.x * one, found.mean * one)


class HiddenFloat64(Sound):
    """Computes in float64 inside, so that the network is asked in it; what it leaves is as it was given."""

    name = "hidden_float64"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        found = super().step(x.double(), step, p, noise, state)
        return Update(found.x.to(x.dtype), found.mean.to(x.dtype))


class InPlace(Sound):
    name = "in_place"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        found = super().step(x, step, p, noise, state)
        x.copy_(found.x)
        return found


class Coupled(Sound):
    """Its noise is of the batch's own mean size, which it doesn't say."""

    name = "coupled"

    def draw(self, x: Tensor, noise: Noise) -> Tensor:
        z = noise(x)
        return z / z.std()


class MoreCalls(Sound):
    name = "more_calls"

    def at(self, step: Step) -> NoiseLevel:
        return step

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        p.score(x, step)
        return super().step(x, step, p, noise, state)


class EverLonger(Sound):
    """Keeps every state that it ever saw."""

    name = "ever_longer"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        found = super().step(x, step, p, noise, None)
        return Update(found.x, found.mean, (*(state or ()), x))


class Thresholded(Sound):
    """Declared linear, which a clipped state is not."""

    name = "thresholded"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        found = super().step(x, step, p, noise, state)
        return Update(found.x.clamp(-2, 2), found.mean.clamp(-2, 2))


class Unhelpful(Sound):
    name = "unhelpful"

    gain: float = param(default=1.0, help="")


class Raises(Sound):
    name = "raises"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        raise RuntimeError("no such step")


MISTAKES: list[tuple[type[Predictor], set[str]]] = [
    (WrongSign, {"convergence, vp"}),
    (Forgotten, {"convergence, vp", "RK45, vp"}),
    (NoiseByDt, {"convergence, vp"}),
    (ScoreOfTheNextScale, {"asked at its level"}),
    (GlobalNoise, {"no global random state", "same seed, same bits"}),
    (GlobalNumpyNoise, {"no global random state", "same seed, same bits"}),
    (NoDenoising, {"mean without the noise"}),
    (Float64Leak, {"shape, precision, device"}),
    (HiddenFloat64, {"shape, precision, device"}),
    (InPlace, {"input left as it was"}),
    (Coupled, {"batch"}),
    (MoreCalls, {"network calls"}),
    (EverLonger, {"memory"}),
    (Thresholded, {"linear"}),
    (Unhelpful, {"parameters"}),
    (Raises, {"shape, precision, device", "finite at 10 steps", "convergence"}),
]


def test_the_sound_original_passes() -> None:
    assert_conforms(Sound)


@pytest.mark.parametrize(("mistaken", "caught"), MISTAKES, ids=[m.name for m, _ in MISTAKES])
def test_a_mistaken_predictor_is_caught(mistaken: type[Predictor], caught: set[str]) -> None:
    assert caught <= failed(mistaken)


class AdamsBashforth(Predictor):
    """Two slopes of eps in rho = sigma / alpha, of order two; its history can be shifted by one."""

    name = "sound_ab2"
    shifted: ClassVar[bool] = False
    of_next: ClassVar[bool] = False

    @property
    def convergence_order(self) -> float:
        return 2.0

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        eps, rho = -step.sigma * p.score(x, step), step.sigma / step.alpha
        h = (0.0 if step.last else step.sigma_next / step.alpha_next) - rho
        slope, past = eps, list(state or ())
        if past:
            before, rho_before = past[-2 if self.shifted and len(past) > 1 else -1]
            r = h / (rho - rho_before)
            slope = eps + 0.5 * r * (eps - before)
        to = step.alpha if self.of_next else step.alpha_next
        x = to / step.alpha * x + to * h * slope
        kept = (*past[-1:], (eps, past[-1][1] if self.shifted and past else rho))
        return Update(x, x, kept)


class ShiftedHistory(AdamsBashforth):
    """The past slope is taken for that of one step earlier."""

    name = "shifted_history"
    shifted = True


class ThisScalesAlpha(AdamsBashforth):
    """This step's alpha where the next one's belongs."""

    name = "this_scales_alpha"
    of_next = True


@pytest.mark.parametrize("sde", ["ve", "vp", "subvp"])
def test_a_sound_multistep_method_has_its_order(sde: str) -> None:
    assert_conforms(AdamsBashforth, sdes=(sde,))


@pytest.mark.parametrize("mistaken", [ShiftedHistory, ThisScalesAlpha])
def test_an_index_off_by_one_costs_the_order(mistaken: type[Predictor]) -> None:
    assert "convergence, vp" in failed(mistaken)


class Euler(Solver):
    """The probability flow in ln rho by Heun's method, with a fixed number of steps."""

    name = "sound_heun_solver"
    follows_flow = True
    short: ClassVar[int] = 0

    steps: int = param(default=50, help="steps", low=1)

    @property
    def convergence_order(self) -> float:
        return 2.0

    def nfe(self) -> int:
        return 2 * (self.steps - self.short)

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        ends = np.array([sde.end, sde.eps])
        high, low = np.log(sde.sigma(ends) / sde.alpha(ends))
        inner = sde.time_at(np.linspace(high, low, self.steps + 1))[1:-1]
        times = [sde.end, *inner.tolist(), sde.eps]

        def slope(x: Tensor, t: float) -> Tensor:
            time = np.asarray(t)
            return float(sde.drift(time)) * x - 0.5 * float(sde.diffusion(time)) ** 2 * p.score(x, t)

        for t, t_next in list(itertools.pairwise(times))[: self.steps - self.short]:
            first = slope(x, t)
            second = slope(x + (t_next - t) * first, t_next)
            x = x + (t_next - t) / 2 * (first + second)
        return x


class StopsEarly(Euler):
    """Leaves out the last step."""

    name = "stops_early"
    short = 1


def test_a_sound_solver_passes() -> None:
    assert_conforms(Euler, sdes=("vp",))


def test_a_solver_that_stops_one_step_early_is_caught() -> None:
    assert "convergence, vp" in failed(StopsEarly)


class Pull(Corrector):
    """Langevin dynamics of a fixed share of the noise; ``factor`` of the noise's variance is 2."""

    name = "sound_pull"
    factor: ClassVar[float] = 2.0
    sign: ClassVar[float] = 1.0
    told: ClassVar[int] = 1

    @property
    def calls(self) -> int:
        return self.told

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        e = (0.2 * step.sigma) ** 2
        mean = x + self.sign * e * p.score(x, step)
        return Update(mean + math.sqrt(self.factor * e) * noise(x), mean)


class NoNoise(Pull):
    name = "pull_without_noise"
    factor = 0.0


class HalfNoise(Pull):
    name = "pull_of_half_the_noise"
    factor = 1.0


class Push(Pull):
    name = "push"
    sign = -1.0


class TwoCalls(Pull):
    name = "pull_of_two_calls"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        p.score(x, step)
        return super().step(x, step, p, noise)


def test_a_sound_corrector_passes() -> None:
    assert_conforms(Pull)


@pytest.mark.parametrize(
    ("mistaken", "caught"),
    [
        (NoNoise, "invariance, vp"),
        (HalfNoise, "invariance, vp"),
        (Push, "invariance, vp"),
        (TwoCalls, "network calls"),
    ],
)
def test_a_mistaken_corrector_is_caught(mistaken: type[Corrector], caught: str) -> None:
    assert caught in failed(mistaken)
