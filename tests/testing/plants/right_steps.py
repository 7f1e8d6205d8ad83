"""Right predictors that draw no noise."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from bench import SDE, BenchError, Noise, Prediction, Predictor, Step, Tensor, Update, param
from tests.testing.plants.levels import next_level, next_ratio, ratio, slope


class Ddim(Predictor):
    """``x' = alpha' D + sigma' (x - alpha D) / sigma`` (Song, Meng and Ermon 2021, eq. 12, eta = 0)."""

    name = "right_ddim"
    uses_chain = False
    linear = True
    convergence_order: ClassVar[float | None] = 1.0

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return p.denoised(x, step)

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        clean = self.clean(x, step, p)
        if step.last:
            return Update(clean, clean)
        eps = (x - step.alpha * clean) / step.sigma
        x = step.alpha_next * clean + step.sigma_next * eps
        return Update(x, x)


class PixelClipped(Ddim):
    """DDIM of the clean data clipped to the data's range, as the model has it."""

    name = "right_pixel_clipped"
    linear = False
    converges_to: ClassVar[Literal["flow", "data"] | None] = "data"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return p.clipped(p.denoised(x, step))


class RangeClipped(Ddim):
    """DDIM of clean states clipped to the SDE's data range."""

    name = "right_range_clipped"
    linear = False
    converges_to: ClassVar[Literal["flow", "data"] | None] = "data"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return p.denoised(x, step).clamp(*p.sde.data_range)


class DynamicThreshold(Ddim):
    """DDIM of clean states clipped to +-s and divided by s, ``s = max(1, 99.5 % quantile of |D|)``.

    s is each sample's own; the range is taken to be that of -1 to 1 (Saharia et al. 2022, section 2.3).
    """

    name = "right_dynamic_threshold"
    linear = False
    converges_to: ClassVar[Literal["flow", "data"] | None] = "data"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        low, high = p.sde.data_range
        center, half = (low + high) / 2, (high - low) / 2
        unit = (p.denoised(x, step) - center) / half
        s = unit.abs().flatten(1).quantile(0.995, dim=1).clamp(min=1)
        s = s.view(-1, *[1] * (x.dim() - 1))
        return center + half * unit.clamp(-s, s) / s


class Thousandths(Ddim):
    """DDIM of those who have a table of 1000 levels: the number of steps divides 1000."""

    name = "right_thousandths"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if 1000 % step.steps:
            raise BenchError(f"{self.name} takes numbers of steps that divide 1000, not {step.steps}")
        return super().step(x, step, p, noise, state)


class Pairs(Ddim):
    """DDIM of those who take steps in pairs, three pairs or more."""

    name = "right_pairs"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.steps % 2 or step.steps < 6:
            raise BenchError(f"{self.name} takes even numbers of steps from 6 on, not {step.steps}")
        return super().step(x, step, p, noise, state)


class FurtherMoves(Ddim):
    """Euler's method over ``r = sigma / alpha``, each step in parts that are even in r."""

    name = "right_further_moves"

    parts: int = param(default=1, help="moves of each step", low=1)

    def nfe(self, grid: Sequence[Step]) -> int:
        return self.parts * (len(grid) - 1) + 1

    def refine(self, steps: int) -> FurtherMoves:
        return dataclasses.replace(self, parts=1 + steps // 250)

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.last:
            return super().step(x, step, p, noise, state)
        y, r, h = x / step.alpha, ratio(step), (next_ratio(step) - ratio(step)) / self.parts
        for i in range(self.parts):
            y = y + h * slope(y, p.sde.level_at(r + i * h) if i else step, p)
        return Update(step.alpha_next * y, step.alpha_next * y)


class Microbatches(Ddim):
    """DDIM that calls the network for two samples at a time."""

    name = "right_microbatches"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return torch.cat([p.denoised(part, step) for part in x.split(2)])


class FlowEuler(Predictor):
    """``x' = x + (t' - t) v`` from pure noise on (Lipman et al. 2023)."""

    name = "right_flow_euler"
    uses_chain = False
    linear = True
    convergence_order = 1.0

    def starts_in_noise(self, sde: SDE) -> bool:
        return True

    def time(self, step: Step, sde: SDE) -> float:
        return step.t

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.last:
            clean = p.denoised(x, step)
            return Update(clean, clean)
        x = x + (step.t_next - step.t) * p.velocity(x, self.time(step, p.sde))
        return Update(x, x)


class RungeKutta(Predictor):
    """The classic method of four slopes in r = sigma / alpha; the last step is the expected data."""

    name = "right_rk4"
    uses_chain = False
    linear = True
    convergence_order = 4.0

    def nfe(self, grid: Sequence[Step]) -> int:
        return 4 * len(grid) - 3

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.last:
            clean = p.denoised(x, step)
            return Update(clean, clean)
        y, h = x / step.alpha, next_ratio(step) - ratio(step)
        middle = p.sde.level_at(ratio(step) + h / 2)
        k1 = slope(y, step, p)
        k2 = slope(y + h / 2 * k1, middle, p)
        k3 = slope(y + h / 2 * k2, middle, p)
        k4 = slope(y + h * k3, next_level(step), p)
        x = step.alpha_next * (y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
        return Update(x, x)


class Singlestep(Predictor):
    """DPM-Solver-3 (Lu et al. 2022, Algorithm 2): three calls a step, at thirds of ln(alpha / sigma)."""

    name = "right_dpm_solver_3"
    uses_chain = False
    linear = True
    convergence_order = 3.0

    def nfe(self, grid: Sequence[Step]) -> int:
        return 3 * len(grid) - 2

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.last:
            clean = p.denoised(x, step)
            return Update(clean, clean)
        h = math.log(ratio(step) / next_ratio(step))
        one, two = (p.sde.level_at(ratio(step) * math.exp(-share * h)) for share in (1 / 3, 2 / 3))
        e = p.noise(x, step)
        u = one.alpha / step.alpha * x - one.sigma * math.expm1(h / 3) * e
        difference = p.noise(u, one) - e
        u = two.alpha / step.alpha * x - two.sigma * math.expm1(2 * h / 3) * e
        u = u - two.sigma * 2 * (math.expm1(2 * h / 3) / (2 * h / 3) - 1) * difference
        difference = p.noise(u, two) - e
        x = step.alpha_next / step.alpha * x - step.sigma_next * math.expm1(h) * e
        x = x - step.sigma_next * 1.5 * (math.expm1(h) / h - 1) * difference
        return Update(x, x)


class TwoStep(Predictor):
    """Adams-Bashforth of two slopes in r, ``y' = y + h [e + h / (2 h_1) (e - e_1)]``, first Heun's."""

    name = "right_two_step"
    uses_chain = False
    linear = True
    convergence_order: ClassVar[float | None] = 2.0

    def nfe(self, grid: Sequence[Step]) -> int:
        return len(grid) + (len(grid) > 1)

    def weight(self, h: float, h_before: float) -> float:
        return h / (2 * h_before)

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.last:
            clean = p.denoised(x, step)
            return Update(clean, clean)
        y, h, e = x / step.alpha, next_ratio(step) - ratio(step), p.noise(x, step)
        if state is None:
            change = (slope(y + h * e, next_level(step), p) - e) / 2
        else:
            change = self.weight(h, state[0]) * (e - state[1])
        x = step.alpha_next * (y + h * (e + change))
        return Update(x, x, (h, e))


class ThreeStep(Predictor):
    """Adams-Bashforth of three slopes in r, by integrals of polynomials; the first two steps are Kutta's."""

    name = "right_three_step"
    uses_chain = False
    linear = True
    convergence_order = 3.0

    def nfe(self, grid: Sequence[Step]) -> int:
        return len(grid) + 2 * min(len(grid) - 1, 2)

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.last:
            clean = p.denoised(x, step)
            return Update(clean, clean)
        y, r, h, e = x / step.alpha, ratio(step), next_ratio(step) - ratio(step), p.noise(x, step)
        past = ((r, e), *(state or ()))[:3]
        if len(past) < 3:
            half = slope(y + h / 2 * e, p.sde.level_at(r + h / 2), p)
            y = y + h / 6 * (e + 4 * half + slope(y + h * (2 * half - e), next_level(step), p))
        else:
            for (_, old), weight in zip(past, polynomial_integrals([n for n, _ in past], r + h), strict=True):
                y = y + weight * old
        return Update(step.alpha_next * y, step.alpha_next * y, past)


def polynomial_integrals(nodes: Sequence[float], end: float) -> list[float]:
    """Integrals from the first node to ``end`` of the polynomials that are 1 at one node, 0 at others."""
    weights = []
    for node in nodes:
        others = [(other - nodes[0]) for other in nodes if other != node]
        whole = np.polynomial.Polynomial.fromroots(others)
        weights.append(float(whole.integ()(end - nodes[0]) / whole(node - nodes[0])))
    return weights


class FixedPoint(Predictor):
    """Implicit Euler in r, ``y' = y + h e(y', r')``, by three rounds from Euler's own step."""

    name = "right_fixed_point"
    uses_chain = False
    linear = True
    convergence_order = 1.0

    def nfe(self, grid: Sequence[Step]) -> int:
        return 4 * len(grid) - 3

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.last:
            clean = p.denoised(x, step)
            return Update(clean, clean)
        y, h = x / step.alpha, next_ratio(step) - ratio(step)
        ahead = y + h * p.noise(x, step)
        for _ in range(3):
            ahead = y + h * slope(ahead, next_level(step), p)
        return Update(step.alpha_next * ahead, step.alpha_next * ahead)


class Rosenbrock(Predictor):
    """``y' = y + h f + h^2 / 2 (df/dr + J f)``; the derivative along the flow is a difference over h / 1000.

    The first two terms of an exponential Rosenbrock method's phi function (Hochbruck et al. 2009).
    """

    name = "right_rosenbrock"
    uses_chain = False
    linear = True
    convergence_order = 2.0

    def nfe(self, grid: Sequence[Step]) -> int:
        return 2 * len(grid) - 1

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.last:
            clean = p.denoised(x, step)
            return Update(clean, clean)
        y, h, f = x / step.alpha, next_ratio(step) - ratio(step), p.noise(x, step)
        little = h / 1000
        derivative = (slope(y + little * f, p.sde.level_at(ratio(step) + little), p) - f) / little
        x = step.alpha_next * (y + h * f + h**2 / 2 * derivative)
        return Update(x, x)


class Splitting(Predictor):
    """Strang's splitting: half of the drift f x exactly, the score's part at the middle time, the other half.

    The score's part ``dx/dt = -g^2 score / 2`` is taken by the midpoint rule.
    """

    name = "right_splitting"
    uses_chain = False
    linear = True
    convergence_order = 2.0

    def nfe(self, grid: Sequence[Step]) -> int:
        return 2 * len(grid) - 1

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.last:
            clean = p.denoised(x, step)
            return Update(clean, clean)
        middle = p.sde.at((step.t + step.t_next) / 2)
        rate = float(p.sde.diffusion(np.asarray(middle.t))) ** 2 / 2 * (step.t - step.t_next)
        x = x * (middle.alpha / step.alpha)
        half = x + rate / 2 * p.score(x, middle)
        x = x + rate * p.score(half, middle)
        x = x * (step.alpha_next / middle.alpha)
        return Update(x, x)


class Richardson(Predictor):
    """Twice the result of two DDIM steps of half the length, less that of one DDIM step: order 2."""

    name = "right_richardson"
    uses_chain = False
    linear = True
    convergence_order = 2.0

    def nfe(self, grid: Sequence[Step]) -> int:
        return 2 * len(grid) - 1

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.last:
            clean = p.denoised(x, step)
            return Update(clean, clean)
        y, h, e = x / step.alpha, next_ratio(step) - ratio(step), p.noise(x, step)
        half = y + h / 2 * e
        twice = half + h / 2 * slope(half, p.sde.level_at(ratio(step) + h / 2), p)
        x = step.alpha_next * (2 * twice - (y + h * e))
        return Update(x, x)


class DataTwoStep(Predictor):
    """DPM-Solver++(2M): ``x' = sigma'/sigma x - alpha' (e^-h - 1) [D + h / (2 h_1) (D - D_1)]``.

    h and h_1 are this step and the last in ln(alpha / sigma) (Lu et al. 2022, Algorithm 2).
    """

    name = "right_data_two_step"
    uses_chain = False
    linear = True
    convergence_order: ClassVar[float | None] = 2.0

    def weight(self, h: float, h_before: float) -> float:
        return h / (2 * h_before)

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        clean = p.denoised(x, step)
        if step.last:
            return Update(clean, clean)
        h = math.log(ratio(step) / next_ratio(step))
        extrapolated = clean if state is None else clean + self.weight(h, state[0]) * (clean - state[1])
        x = step.sigma_next / step.sigma * x - step.alpha_next * math.expm1(-h) * extrapolated
        return Update(x, x, (h, clean))
