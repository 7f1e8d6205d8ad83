"""Wrong samplers that are right as they are first tried: their mistake is in what they also declare."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal

from bench import SDE, Field, Noise, Prediction, Step, Tensor, Update, param
from tests.testing.plants.right_correctors import Langevin
from tests.testing.plants.right_noise import EulerMaruyama
from tests.testing.plants.right_solvers import BothWays
from tests.testing.plants.right_steps import Ddim, FurtherMoves


class ThirdChoice(EulerMaruyama):
    """Of three ways to take the noise's deviation two are right; the third adds where a mean is meant."""

    name = "wrong_third_choice"

    place: Literal["start", "mean", "both"] = param(default="start", help="where g is taken")

    def deviation(self, step: Step) -> float:
        usual = super().deviation(step)
        return usual * {"start": 1.0, "mean": 1.0, "both": math.sqrt(2)}[self.place]


class OptionalValue(EulerMaruyama):
    """A factor that is none by default; where it is 1, its square root's half is taken."""

    name = "wrong_optional_value"

    scale: float | None = param(default=None, help="factor of the noise; none and 1: as it is", above=0)

    def deviation(self, step: Step) -> float:
        usual = super().deviation(step)
        return usual if self.scale is None else usual * math.sqrt(self.scale) / 2


class OptionalStep(Langevin):
    """Its step is none by default; where it is given, the noise of a move is 10 % too small.

    At the first value that is tried, 1, moves overshoot everywhere, and their known bias hides that.
    """

    name = "wrong_optional_step"

    length: float | None = param(default=None, help="step over ten noise levels; none: 0.01", above=0)

    def e(self, step: Step) -> float:
        return super().e(step) if self.length is None else (10 * self.length * step.sigma) ** 2

    def deviation(self, step: Step) -> float:
        return super().deviation(step) * (1.0 if self.length is None else 0.9)


class LinearAtDefault(Ddim):
    """Declared linear, which it is unless it clips: a parameter."""

    name = "wrong_linear_at_default"

    clip: bool = param(default=False, help="clip the clean data to its range")

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        clean = p.denoised(x, step)
        return clean.clamp(*p.sde.data_range) if self.clip else clean


class StartsInNoise(Ddim):
    """Declares a limit at alpha = 0, and divides by alpha there."""

    name = "wrong_starts_in_noise"

    def starts_in_noise(self, sde: SDE) -> bool:
        return True

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.last:
            return super().step(x, step, p, noise, state)
        inverse = 1 / step.alpha if step.alpha else math.inf
        y = x * inverse + (step.sigma_next / step.alpha_next - step.sigma * inverse) * p.noise(x, step)
        return Update(step.alpha_next * y, step.alpha_next * y)


class OneWay(BothWays):
    """Right from T to eps; the other way, which tasks take, it goes half as far in ln t."""

    name = "wrong_one_way"

    def integrate(self, field: Field, y: Tensor, start: float, end: float) -> Tensor:
        return super().integrate(field, y, start, math.sqrt(start * end) if end > start else end)


class RefinedToOne(Ddim):
    """Data 3 % too small, and none of that as `refine` makes it."""

    name = "wrong_refined_to_one"

    share: float = param(default=0.97, help="share of the data", above=0)

    def refine(self, steps: int) -> RefinedToOne:
        return dataclasses.replace(self, share=1.0)

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return self.share * p.denoised(x, step)


class RefinedToAnother(Ddim):
    """Data a tenth too small, and as `refine` makes it a method of two calls."""

    name = "wrong_refined_to_another"

    exact: bool = param(default=False, help="whether the data is the mean of two calls")

    def nfe(self, grid: Sequence[Step]) -> int:
        return (1 + self.exact) * len(grid)

    def refine(self, steps: int) -> RefinedToAnother:
        return dataclasses.replace(self, exact=True)

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        data = p.denoised(x, step)
        return (data + p.denoised(x, step)) / 2 if self.exact else 0.9 * data


class RefinedUnseen(Ddim):
    """Data a tenth too small, unless an attribute that is no parameter says that it is refined."""

    name = "wrong_refined_unseen"

    def refine(self, steps: int) -> RefinedUnseen:
        fine = type(self)()
        object.__setattr__(fine, "is_fine", True)
        return fine

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return p.denoised(x, step) * (1.0 if getattr(self, "is_fine", False) else 0.9)


class OnePartShort(FurtherMoves):
    """The last of several parts arrives; a single one, as by default, goes nine tenths of its way."""

    name = "wrong_one_part_short"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        update = super().step(x, step, p, noise, state)
        if step.last or self.parts > 1:
            return update
        x = 0.1 * x * step.alpha_next / step.alpha + 0.9 * update.x
        return Update(x, x)


class KeepsItsState(Ddim):
    """Goes on from the state that it returned last, whatever a corrector made of it."""

    name = "wrong_keeps_its_state"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        update = super().step(x if state is None else state, step, p, noise, None)
        return update._replace(state=update.x)


class VarianceDeclared(EulerMaruyama):
    """Half more noise at another choice, and a learned variance declared that it never asks for."""

    name = "wrong_variance_declared"
    needs_variance = True

    place: Literal["start", "end"] = param(default="start", help="where the noise is set")

    def deviation(self, step: Step) -> float:
        return (1.0 if self.place == "start" else 1.5) * super().deviation(step)
