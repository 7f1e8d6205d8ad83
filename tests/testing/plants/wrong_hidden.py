"""Wrong samplers whose mistake lies where a test is unlikely to look."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from bench import SDE, Noise, Prediction, Predictor, Solver, Step, Tensor, Update, param
from tests.testing.plants.levels import next_ratio, ratio, slope
from tests.testing.plants.right_noise import EulerMaruyama
from tests.testing.plants.right_solvers import HeunOnItsGrid, along, seventh_roots
from tests.testing.plants.right_steps import Ddim


class DiagonalJacobian(Predictor):
    """Rosenbrock's second term by one shift of all numbers at once, ``J f = f (e(y + d) - e(y)) / d``.

    That is right where a number of e depends on the same number of y alone: in data of independent numbers.
    """

    name = "wrong_diagonal_jacobian"
    uses_chain = False
    linear = False
    convergence_order = 2.0

    def nfe(self, grid: Sequence[Step]) -> int:
        return 3 * len(grid) - 2

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.last:
            clean = p.denoised(x, step)
            return Update(clean, clean)
        y, h, e = x / step.alpha, next_ratio(step) - ratio(step), p.noise(x, step)
        little = 1e-3 * h
        along_r = (slope(y, p.sde.level_at(ratio(step) + little), p) - e) / little
        along_y = e * (slope(y + little, step, p) - e) / little
        x = step.alpha_next * (y + h * e + h**2 / 2 * (along_r + along_y))
        return Update(x, x)


class GroupsOfFive(Ddim):
    """Steps go in groups of five; in a last group of fewer the data is a tenth too small."""

    name = "wrong_groups_of_five"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return p.denoised(x, step) * (0.9 if step.steps % 5 else 1.0)


class ThousandSteps(Ddim):
    """Above 600 steps the data is a tenth too small, as by a table that ends there."""

    name = "wrong_thousand_steps"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return p.denoised(x, step) * (0.9 if step.steps > 600 else 1.0)


class TruncatedPrior(Ddim):
    """The prior truncated at three of its deviations, for its looks."""

    name = "wrong_truncated_prior"
    linear = False

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if state is None:
            x = x.clamp(-3 * p.sde.prior_std, 3 * p.sde.prior_std)
        update = super().step(x, step, p, noise, state)
        return Update(update.x, update.mean, True)


class BatchOfOne(Ddim):
    """A batch of one sample is taken for a sample without a batch, whose data is scaled by 0.9."""

    name = "wrong_batch_of_one"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return p.denoised(x, step) * (0.9 if len(x) == 1 else 1.0)


class OtherChannels(EulerMaruyama):
    """3 % too much noise in all channels but the first."""

    name = "wrong_other_channels"

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        z = noise(x)
        z[:, 1:] *= 1.03
        return z


class LagOfTwo(EulerMaruyama):
    """Noise mixed with that of the neighbor but one: each number and each two neighbors have their law."""

    name = "wrong_lag_of_two"

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        z = noise(x)
        return (z + z.roll(2, dims=-1)) * math.sqrt(0.5)


class ChainAtLast(EulerMaruyama):
    """Reads the chain's g at the last step alone, and declares that it reads none."""

    name = "wrong_chain_at_last"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        update = super().step(x, step, p, noise, state)
        if not step.last:
            return update
        mean = x + step.g**2 * p.score(x, step)
        return Update(mean, mean)

    def nfe(self, grid: Sequence[Step]) -> int:
        return len(grid) + 1


class Unrefinable(Solver):
    """A number of steps that nobody can set, and data 3 % too large."""

    name = "wrong_unrefinable"
    uses_chain = False
    follows_flow = True

    def nfe(self) -> int:
        return 120

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        low, high = (math.exp(end) for end in sde.log_sigma_ratio_range)
        y = along(x / sde.at(sde.end).alpha, seventh_roots(high, low, 61), p)
        return 1.03 * sde.at(sde.eps).alpha * y


class RefinedIsAnother(HeunOnItsGrid):
    """Is right as `refine` makes it, and by default starts from a prior a tenth too narrow."""

    name = "wrong_refined_is_another"

    width: float = param(default=0.9, help="factor of the prior", above=0)

    def refine(self, steps: int) -> RefinedIsAnother:
        return dataclasses.replace(self, steps=steps, width=1.0)

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        return super().solve(self.width * x, sde, p, noise)


class NoiseWhereItShows(EulerMaruyama):
    """Declared not linear, so that its law is sampled; 3 % too much noise in the last tenth of time."""

    name = "wrong_noise_at_low_levels"
    linear = False

    def deviation(self, step: Step) -> float:
        return (1.03 if step.t < 0.1 else 1.0) * super().deviation(step)
