"""Wrong predictors that draw no noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch

from bench import SDE, Noise, NoiseLevel, Prediction, Predictor, Step, Tensor, Update
from tests.testing.plants.levels import next_level, next_ratio, ratio, slope
from tests.testing.plants.right_steps import DataTwoStep, Ddim, FlowEuler, RangeClipped, TwoStep


class TwiceTheData(Ddim):
    """The last step returns 2 D."""

    name = "wrong_twice_the_data"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        update = super().step(x, step, p, noise, state)
        return Update(2 * update.x, 2 * update.mean) if step.last else update


class NoLastStep(Ddim):
    """The last step returns its input: the state at eps."""

    name = "wrong_no_last_step"

    def nfe(self, grid: Sequence[Step]) -> int:
        return len(grid) - 1

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        return Update(x, x) if step.last else super().step(x, step, p, noise, state)


class OtherSignAtLast(Ddim):
    """The last step goes down the score: ``(x - sigma^2 s) / alpha``."""

    name = "wrong_sign_at_last"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        if not step.last:
            return p.denoised(x, step)
        return (x - step.sigma**2 * p.score(x, step)) / step.alpha


class AlphaForgotten(Ddim):
    """``D = x + sigma^2 s``, without ``/ alpha``."""

    name = "wrong_alpha_forgotten"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return x + step.sigma**2 * p.score(x, step)


class AlphaFromSigma(Ddim):
    """``alpha = sqrt(1 - sigma^2)``, which is VP's alone, in the clean data."""

    name = "wrong_alpha_from_sigma"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        alpha = math.sqrt(max(1 - step.sigma**2, 1e-8))
        return (x + step.sigma**2 * p.score(x, step)) / alpha


class SigmaSwapped(Ddim):
    """sigma of the next level where this one's belongs, in eps."""

    name = "wrong_sigma_swapped"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        clean = p.denoised(x, step)
        if step.last:
            return Update(clean, clean)
        eps = (x - step.alpha * clean) / step.sigma_next
        x = step.alpha_next * clean + step.sigma_next * eps
        return Update(x, x)


class AlphaOfThisLevel(Ddim):
    """alpha of this level where the next one's belongs, at the clean data."""

    name = "wrong_alpha_of_this_level"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        clean = p.denoised(x, step)
        if step.last:
            return Update(clean, clean)
        x = step.alpha * clean + step.sigma_next * (x - step.alpha * clean) / step.sigma
        return Update(x, x)


class _Drift(Ddim):
    """Clean data too large by a factor."""

    name = "wrong_drift"
    off: ClassVar[float] = 0.0

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        clean = p.denoised(x, step)
        return clean if step.last else (1 + self.off) * clean


class DriftByTen(_Drift):
    """Clean data 10 % too large before the last step."""

    name = "wrong_drift_by_10"
    off = 0.1


class DriftByThree(_Drift):
    """Clean data 3 % too large before the last step."""

    name = "wrong_drift_by_3"
    off = 0.03


class DriftByOne(_Drift):
    """Clean data 1 % too large before the last step."""

    name = "wrong_drift_by_1"
    off = 0.01


class _Time(Ddim):
    """A level whose t is off, though alpha and sigma are right: no exact score shows it, a network does."""

    name = "wrong_time"
    off: ClassVar[float] = 0.0

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return p.denoised(x, NoiseLevel((1 - self.off) * step.t, step.alpha, step.sigma))


class TimeByTen(_Time):
    """A level whose t is 10 % off."""

    name = "wrong_time_by_10"
    off = 0.1


class TimeByThree(_Time):
    """A level whose t is 3 % off."""

    name = "wrong_time_by_3"
    off = 0.03


class TimeByOne(_Time):
    """A level whose t is 1 % off."""

    name = "wrong_time_by_1"
    off = 0.01


class TimeOfNext(Ddim):
    """The next level's t, with this one's alpha and sigma: an index off by one in the label alone."""

    name = "wrong_time_of_next"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        t = step.t if step.last else step.t_next
        return p.denoised(x, NoiseLevel(t, step.alpha, step.sigma))


class RatioInverted(DataTwoStep):
    """``h_1 / (2 h)`` for ``h / (2 h_1)``: right where steps are equal."""

    name = "wrong_ratio_inverted"

    def weight(self, h: float, h_before: float) -> float:
        return h_before / (2 * h)


class RatioForgotten(DataTwoStep):
    """1 / 2 for ``h / (2 h_1)``: right where steps are equal."""

    name = "wrong_ratio_forgotten"

    def weight(self, h: float, h_before: float) -> float:
        return 0.5


class SecondOrderSign(TwoStep):
    """The wrong sign of the second-order term, and order 1 declared."""

    name = "wrong_second_order_sign"
    convergence_order = 1.0

    def weight(self, h: float, h_before: float) -> float:
        return -h / (2 * h_before)


class OrderTwoDeclared(Ddim):
    """First order, and order 2 declared."""

    name = "wrong_order_2_declared"
    convergence_order = 2.0


class FirstStepTooLong(TwoStep):
    """The first step alone is 20 % too long: order 2 is lost to it."""

    name = "wrong_first_step"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        update = super().step(x, step, p, noise, state)
        if state is not None or step.last:
            return update
        before = step.alpha_next / step.alpha * x
        x = before + 1.2 * (update.x - before)
        return Update(x, x, update.state)


class OddStepCounts(Ddim):
    """Steps go in pairs, and at an odd number of them the one left over forgets to denoise."""

    name = "wrong_odd_step_counts"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        update = super().step(x, step, p, noise, state)
        return Update(x, x) if step.last and step.steps % 2 else update


class ManySteps(Ddim):
    """Beyond 50 steps the clean data is 3 % too large: a table of 50 entries, extrapolated."""

    name = "wrong_many_steps"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        clean = p.denoised(x, step)
        return 1.03 * clean if step.steps > 50 and not step.last else clean


class Float32Inside(Ddim):
    """A cast to float32 inside, whatever the state's precision."""

    name = "wrong_float32_inside"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        update = super().step(x, step, p, noise, state)
        rounded = update.x.to(torch.float32).to(x.dtype)
        return Update(rounded, rounded)


class ClipsUndeclared(RangeClipped):
    """Clips, and is declared linear."""

    name = "wrong_clips_undeclared"
    linear = True


class OtherRange(Ddim):
    """Clips to 0 and 1 where the data's range is -1 to 1, declared to clip."""

    name = "wrong_other_range"
    linear = False
    converges_to: ClassVar[Literal["flow", "data"] | None] = "data"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return p.denoised(x, step).clamp(0, 1)


class ClipsStates(Ddim):
    """Clips the noisy state where the clean data is meant, declared to clip."""

    name = "wrong_clips_states"
    linear = False
    converges_to: ClassVar[Literal["flow", "data"] | None] = "data"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        x = super().step(x, step, p, noise, state).x.clamp(*p.sde.data_range)
        return Update(x, x)


class GaussianMemory(Predictor):
    """Takes the score for affine: two calls give mean and variance, and closed forms the rest."""

    name = "wrong_gaussian_memory"
    uses_chain = False

    def nfe(self, grid: Sequence[Step]) -> int:
        return 2

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if state is None:
            s, shifted = p.score(x, step), p.score(x + 1, step)
            at_t = 1 / (s - shifted)
            state = (x + at_t * s) / step.alpha, (at_t - step.sigma**2).clamp(min=0) / step.alpha**2
        mean, variance = state
        now, then = (level.alpha**2 * variance + level.sigma**2 for level in (step, next_level(step)))
        x = step.alpha_next * mean + (then / now).sqrt() * (x - step.alpha * mean)
        clean = mean + (x - mean) * (variance / now).sqrt() if step.last else x
        return Update(clean, clean, state)


class TimeReversedOnFlow(FlowEuler):
    """Where the SDE ends in pure noise, its time runs the other way: wrong on flow matching alone."""

    name = "wrong_time_on_flow"

    def time(self, step: Step, sde: SDE) -> float:
        return max(1 - step.t, sde.eps) if sde.ends_in_noise else step.t


class PriorScaledTwice(Ddim):
    """The prior's standard deviation once more at the first step: 1, but on SDEs that explode."""

    name = "wrong_prior_scaled_twice"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if state is None:
            x = x * p.sde.prior_std
        update = super().step(x, step, p, noise, state)
        return Update(update.x, update.mean, True)


class HeunOfOneSlope(Predictor):
    """Heun's method, whose second slope is taken at the state where it started, with the next level."""

    name = "wrong_heun_of_one_slope"
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
        x = step.alpha_next * (y + h / 2 * (e + slope(y, next_level(step), p)))
        return Update(x, x)
