"""Wrong predictors that draw noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from bench import Noise, Prediction, Step, Tensor, Update, param
from tests.testing.plants.right_noise import Churn, EulerMaruyama, ShareOfNoise


class _Noise(EulerMaruyama):
    """Noise off by a factor."""

    name = "wrong_noise"
    off: ClassVar[float] = 0.0

    def deviation(self, step: Step) -> float:
        return (1 + self.off) * super().deviation(step)


class NoiseByTen(_Noise):
    """10 % too much noise."""

    name = "wrong_noise_by_10"
    off = 0.1


class NoiseByThree(_Noise):
    """3 % too much noise."""

    name = "wrong_noise_by_3"
    off = 0.03


class NoiseByOne(_Noise):
    """1 % too much noise."""

    name = "wrong_noise_by_1"
    off = 0.01


class NoiseByMinusThree(_Noise):
    """3 % too little noise, of a sampler that is not linear, so that its moments are sampled."""

    name = "wrong_noise_by_minus_3"
    off = -0.03
    linear = False

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        return noise(x).sign()


class VarianceForDeviation(ShareOfNoise):
    """The noise's variance c^2 where its deviation c is meant."""

    name = "wrong_variance_for_deviation"

    def factor(self, step: Step) -> float:
        return self.deviation(step) ** 2


class RootForgotten(EulerMaruyama):
    """``g dt`` for ``g sqrt(dt)``."""

    name = "wrong_root_forgotten"

    def deviation(self, step: Step) -> float:
        return step.diffusion * step.dt


class PublishedSpacing(EulerMaruyama):
    """``dt = 1 / N`` on a grid of any spacing, in the noise."""

    name = "wrong_published_spacing"

    def deviation(self, step: Step) -> float:
        return step.diffusion * math.sqrt(1 / step.steps)


class EtaSquared(ShareOfNoise):
    """The noise has eta^2 where the rest has eta: right at 1, its default, and at 0."""

    name = "wrong_eta_squared"

    def factor(self, step: Step) -> float:
        return self.eta * self.deviation(step)


class ChurnUnsquared(EulerMaruyama):
    """``(1 + churn) / 2`` for ``(1 + churn^2) / 2`` as the score's factor: right at 1, its default."""

    name = "wrong_churn_unsquared"

    churn: float = param(default=1.0, help="noise: 0 none, 1 as much as the reverse-time SDE", low=0)

    def score(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return (1 + self.churn) / 2 * p.score(x, step)

    def deviation(self, step: Step) -> float:
        return self.churn * super().deviation(step)


class RaisedByDifference(Churn):
    """``raised - r`` for ``sqrt(raised^2 - r^2)`` as the deviation of the noise between two levels."""

    name = "wrong_raised_by_difference"

    def deviation(self, r: float, raised: float) -> float:
        return raised - r


class DrawTwice(EulerMaruyama):
    """Each draw serves for two steps."""

    name = "wrong_draw_twice"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        mean = x - (step.drift * x - step.diffusion**2 * self.score(x, step, p)) * step.dt
        z = noise(x) if state is None else state
        return Update(mean + self.deviation(step) * z, mean, z if state is None else None)


class OneDrawForAll(EulerMaruyama):
    """All samples of a batch get the first one's noise."""

    name = "wrong_one_draw_for_all"

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        return noise(x)[:1].expand_as(x)


class OneDrawForChannels(EulerMaruyama):
    """All channels get the first one's noise: each number's law is right, and not that of any two."""

    name = "wrong_one_draw_for_channels"

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        return noise(x)[:, :1].expand_as(x)


class SmoothNoise(EulerMaruyama):
    """Noise averaged over neighbors and scaled to variance 1: each number's law is right."""

    name = "wrong_smooth_noise"

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        z = noise(x)
        return (z + z.roll(1, dims=-1)) * math.sqrt(0.5)


class HalfPrecisionNoise(EulerMaruyama):
    """Noise rounded to float16."""

    name = "wrong_half_precision_noise"

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        return noise(x).to(torch.float16).to(x.dtype)


class SignsUndeclared(EulerMaruyama):
    """Signs for normal noise, and declared linear."""

    name = "wrong_signs_undeclared"

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        return noise(x).sign()


class NarrowUniform(EulerMaruyama):
    """Noise uniform within +-1, whose variance is 1 / 3, not 1."""

    name = "wrong_narrow_uniform"
    linear = False

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        return (noise(x) / math.sqrt(2)).erf()


class HalfDrawsUnscaled(EulerMaruyama):
    """Two draws, each of half the deviation: half of the variance is lost."""

    name = "wrong_half_draws_unscaled"

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        return 0.5 * (noise(x) + noise(x))


class NoisyEnd(EulerMaruyama):
    """The mean includes the noise: the run ends on a noisy state."""

    name = "wrong_noisy_end"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        x = super().step(x, step, p, noise, state).x
        return Update(x, x)


class Smoothed(EulerMaruyama):
    """The mean of the scores at x + sigma z and x - sigma z: right where the score is affine."""

    name = "wrong_smoothed"
    linear = False

    def nfe(self, grid: Sequence[Step]) -> int:
        return 2 * len(grid)

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        shift = step.sigma * noise(x)
        s = (p.score(x + shift, step) + p.score(x - shift, step)) / 2
        mean = x - (step.drift * x - step.diffusion**2 * s) * step.dt
        return Update(mean + self.deviation(step) * noise(x), mean)


class ManyNoisySteps(EulerMaruyama):
    """3 % too much noise beyond 50 steps."""

    name = "wrong_many_noisy_steps"

    def deviation(self, step: Step) -> float:
        return (1.03 if step.steps > 50 else 1.0) * super().deviation(step)


class DiffusionFromDrift(EulerMaruyama):
    """``g = sqrt(-2 f)``, which is VP's alone."""

    name = "wrong_diffusion_from_drift"

    def deviation(self, step: Step) -> float:
        return math.sqrt(-2 * step.drift * step.dt)
