"""Sound samplers, each of whose parts a planted mistake may replace."""

from __future__ import annotations

import itertools
import math
from typing import Any, ClassVar

import numpy as np

from bench import (
    SDE,
    Corrector,
    Noise,
    NoiseLevel,
    Prediction,
    Predictor,
    Solver,
    Step,
    Tensor,
    Update,
    param,
)


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


class AdamsBashforth(Predictor):
    """Two slopes of eps in sigma_ratio = sigma / alpha, of order two; its history can be shifted by one."""

    name = "sound_ab2"
    shifted: ClassVar[bool] = False
    of_next: ClassVar[bool] = False

    @property
    def convergence_order(self) -> float:
        return 2.0

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        eps, sigma_ratio = -step.sigma * p.score(x, step), step.sigma / step.alpha
        h = (0.0 if step.last else step.sigma_next / step.alpha_next) - sigma_ratio
        slope, past = eps, list(state or ())
        if past:
            before, ratio_before = past[-2 if self.shifted and len(past) > 1 else -1]
            r = h / (sigma_ratio - ratio_before)
            slope = eps + 0.5 * r * (eps - before)
        to = step.alpha if self.of_next else step.alpha_next
        x = to / step.alpha * x + to * h * slope
        history = (*past[-1:], (eps, past[-1][1] if self.shifted and past else sigma_ratio))
        return Update(x, x, history)


class HeunSolver(Solver):
    """The probability flow in ln(sigma / alpha) by Heun's method, with a fixed number of steps."""

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


class Pull(Corrector):
    """Langevin dynamics of a fixed share of the noise; ``factor`` of the noise's variance is 2."""

    name = "sound_pull"
    factor: ClassVar[float] = 2.0
    sign: ClassVar[float] = 1.0
    declared: ClassVar[int] = 1

    @property
    def calls(self) -> int:
        return self.declared

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        e = (0.2 * step.sigma) ** 2
        mean = x + self.sign * e * p.score(x, step)
        return Update(mean + math.sqrt(self.factor * e) * noise(x), mean)
