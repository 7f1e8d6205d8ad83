"""Right predictors that draw noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from bench import Noise, NoiseLevel, Prediction, Predictor, Step, Tensor, Update, param
from tests.testing.plants.levels import next_level, next_ratio, ratio, slope


class EulerMaruyama(Predictor):
    """``x' = x - (f x - g^2 s) dt + g sqrt(dt) z``, each of whose parts a mistake may replace."""

    name = "right_euler_maruyama"
    uses_chain = False
    linear = True
    convergence_order: ClassVar[float | None] = 1.0

    def score(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return p.score(x, step)

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        return noise(x)

    def deviation(self, step: Step) -> float:
        return step.diffusion * math.sqrt(step.dt)

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        mean = x - (step.drift * x - step.diffusion**2 * self.score(x, step, p)) * step.dt
        return Update(mean + self.deviation(step) * self.draw(x, step, noise), mean)


class Rademacher(EulerMaruyama):
    """Signs for normal noise: right in law as steps shorten, and not linear in the noise, as declared."""

    name = "right_rademacher"
    linear = False

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        return noise(x).sign()


class Uniform(EulerMaruyama):
    """Noise uniform within +-sqrt(3), whose variance is 1."""

    name = "right_uniform"
    linear = False

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        return math.sqrt(3) * (noise(x) / math.sqrt(2)).erf()


class HalfDraws(EulerMaruyama):
    """Two draws, each of half the variance."""

    name = "right_half_draws"

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        return (noise(x) + noise(x)) * math.sqrt(0.5)


class ChannelScale(EulerMaruyama):
    """A factor of the noise for each channel, all of them 1."""

    name = "right_channel_scale"

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        scale = x.new_ones(1, x.shape[1], *[1] * (x.dim() - 2))
        return noise(x) * scale


class Tempered(EulerMaruyama):
    """Noise by a temperature, which is meant to change what samples tend to: it says so where it is not 1."""

    name = "right_tempered"

    temperature: float = param(default=1.0, help="factor of the noise's variance", above=0)

    @property
    def converges_to(self) -> Literal["flow", "data"] | None:
        return "flow" if self.temperature == 1 else None

    def deviation(self, step: Step) -> float:
        return math.sqrt(self.temperature) * super().deviation(step)


class ShareOfNoise(Predictor):
    """DDIM with the share eta of ancestral sampling's noise (Song, Meng and Ermon 2021, eq. 12 and 16)."""

    name = "right_share_of_noise"
    uses_chain = False
    linear = True
    convergence_order: ClassVar[float | None] = 1.0

    eta: float = param(default=1.0, help="share of ancestral sampling's noise", low=0, high=1)

    def deviation(self, step: Step) -> float:
        """``c = eta (sigma' / sigma) sqrt(sigma^2 - (alpha / alpha')^2 sigma'^2)``."""
        variance = step.sigma**2 - (step.alpha / step.alpha_next * step.sigma_next) ** 2
        return self.eta * step.sigma_next / step.sigma * math.sqrt(max(variance, 0.0))

    def factor(self, step: Step) -> float:
        """What the noise is multiplied with: c."""
        return self.deviation(step)

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return p.denoised(x, step)

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        clean = self.clean(x, step, p)
        if step.last:
            return Update(clean, clean)
        eps = (x - step.alpha * clean) / step.sigma
        direction = math.sqrt(max(step.sigma_next**2 - self.deviation(step) ** 2, 0.0))
        mean = step.alpha_next * clean + direction * eps
        return Update(mean + self.factor(step) * noise(x), mean)


class ClippedAncestral(ShareOfNoise):
    """Ancestral sampling of clean data clipped to its range (Ho et al. 2020)."""

    name = "right_clipped_ancestral"
    linear = False
    converges_to: ClassVar[Literal["flow", "data"] | None] = "data"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return p.clipped(p.denoised(x, step))


class ExponentialSde(Predictor):
    """SDE-DPM-Solver++(1): ``x' = sigma'/sigma e^-h x + alpha' (1 - e^-2h) D + sigma' sqrt(1 - e^-2h) z``.

    ``h = ln(sigma / alpha) - ln(sigma' / alpha')`` (Lu et al. 2022, "DPM-Solver++", eq. 18).
    """

    name = "right_exponential_sde"
    uses_chain = False
    linear = True
    convergence_order: ClassVar[float | None] = 1.0

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        clean = p.denoised(x, step)
        if step.last:
            return Update(clean, clean)
        shrink = next_ratio(step) / ratio(step)
        mean = step.sigma_next / step.sigma * shrink * x + step.alpha_next * (1 - shrink**2) * clean
        return Update(mean + step.sigma_next * math.sqrt(1 - shrink**2) * noise(x), mean)


class StochasticHeun(Predictor):
    """Heun's method on the reverse SDE, one draw for both slopes; the last step is the expected data."""

    name = "right_stochastic_heun"
    uses_chain = False
    linear = True

    def nfe(self, grid: Sequence[Step]) -> int:
        return 2 * len(grid) - 1

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.last:
            clean = p.denoised(x, step)
            return Update(clean, clean)
        end, z = next_level(step), noise(x)
        drift, diffusion = drift_and_diffusion(p, end)
        slope = step.drift * x - step.diffusion**2 * p.score(x, step)
        ahead = x - slope * step.dt + step.diffusion * math.sqrt(step.dt) * z
        slope_ahead = drift * ahead - diffusion**2 * p.score(ahead, end)
        mean = x - (slope + slope_ahead) / 2 * step.dt
        return Update(mean + math.sqrt((step.diffusion**2 + diffusion**2) / 2 * step.dt) * z, mean)


def drift_and_diffusion(p: Prediction, level: NoiseLevel) -> tuple[float, float]:
    """f and g of the run's SDE at a level."""
    import numpy as np

    time = np.asarray(level.t)
    return float(p.sde.drift(time)), float(p.sde.diffusion(time))


class Churn(Predictor):
    """EDM's Algorithm 2 (Karras et al. 2022): the noise raised by ``1 + churn / N``, then Heun's step."""

    name = "right_churn"
    uses_chain = False
    linear = True

    churn: float = param(default=10.0, help="noise added over the run", low=0)

    def nfe(self, grid: Sequence[Step]) -> int:
        return 2 * len(grid) - 1

    def deviation(self, r: float, raised: float) -> float:
        return math.sqrt(max(raised**2 - r**2, 0.0))

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        gamma = min(self.churn / step.steps, math.sqrt(2) - 1)
        top = ratio(p.sde.at(p.sde.end)) if not p.sde.ends_in_noise else math.inf
        raised = min((1 + gamma) * ratio(step), top)
        at = p.sde.level_at(raised) if raised > ratio(step) else step
        y = x / step.alpha + self.deviation(ratio(step), ratio(at)) * noise(x)
        if step.last:
            clean = p.denoised(at.alpha * y, at)
            return Update(clean, clean)
        h, e = next_ratio(step) - ratio(at), slope(y, at, p)
        x = step.alpha_next * (y + h / 2 * (e + slope(y + h * e, next_level(step), p)))
        return Update(x, x)
