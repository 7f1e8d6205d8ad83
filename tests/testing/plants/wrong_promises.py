"""Predictors that break a promise: counts, independence of samples and batches, randomness, plain dealing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch

from bench import Model, Noise, Prediction, Predictor, Step, Tensor, Update
from tests.testing.plants.levels import next_level, next_ratio, ratio, slope
from tests.testing.plants.right_noise import EulerMaruyama
from tests.testing.plants.right_steps import Ddim, TwoStep


def uncounted(model: Model, x: Tensor, step: Step) -> Tensor:
    """The score by a private method that counts no call, where the model has one, itself or inside."""
    inner = getattr(model, "model", model)
    score: Tensor = getattr(inner, "_score", inner.score)(x, step)
    return score


class AroundTheCounter(Ddim):
    """Declares no call, and makes all of them past the counter."""

    name = "wrong_around_the_counter"

    def nfe(self, grid: Sequence[Step]) -> int:
        return 0

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return (x + step.sigma**2 * uncounted(p.model, x, step)) / step.alpha


class HalfAroundTheCounter(Predictor):
    """Heun's method whose second slope goes past the counter: two calls, one counted, one declared."""

    name = "wrong_half_around_the_counter"
    uses_chain = False
    linear = True
    convergence_order = 2.0

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.last:
            clean = p.denoised(x, step)
            return Update(clean, clean)
        y, h, e = x / step.alpha, next_ratio(step) - ratio(step), p.noise(x, step)
        ahead = step.alpha_next * (y + h * e)
        end = Step(step.t_next, step.alpha_next, step.sigma_next)
        x = step.alpha_next * (y + h / 2 * (e - end.sigma * uncounted(p.model, ahead, end)))
        return Update(x, x)


class PastThePrediction(Ddim):
    """Calls the model itself: counted, but guidance, labels and observers are gone round."""

    name = "wrong_past_the_prediction"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return p.model.denoised(x, step)


class TwoCallsForOne(Predictor):
    """Heun's method, one call a step declared."""

    name = "wrong_two_calls_for_one"
    uses_chain = False
    linear = True
    convergence_order = 2.0

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.last:
            clean = p.denoised(x, step)
            return Update(clean, clean)
        y, h, e = x / step.alpha, next_ratio(step) - ratio(step), p.noise(x, step)
        x = step.alpha_next * (y + h / 2 * (e + slope(y + h * e, next_level(step), p)))
        return Update(x, x)


class OneMoreCallAtOdd(Ddim):
    """One call more than declared where the number of steps is odd and above 10."""

    name = "wrong_one_more_call"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if step.last and step.steps % 2 and step.steps > 10:
            x = x + 0 * p.score(x, step)
        return super().step(x, step, p, noise, state)


PAST: dict[str, Any] = {}
"""The history of a careless sampler, which outlives its batch."""


class HistoryInTheModule(TwoStep):
    """Keeps its history in the module: the next batch starts with that of the last one."""

    name = "wrong_history_in_the_module"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        old = PAST.get("state")
        usable = old is not None and old[1].shape == x.shape and old[1].dtype == x.dtype
        update = super().step(x, step, p, noise, old if usable else None)
        PAST["state"] = update.state if update.state is not None else old
        return Update(update.x, update.mean)


class HistoryInItself(TwoStep):
    """Keeps its history on the object, and forgets to clear it at the end."""

    name = "wrong_history_in_itself"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        old = self.__dict__.get("_past")
        usable = old is not None and old[1].shape == x.shape and old[1].dtype == x.dtype
        update = super().step(x, step, p, noise, old if usable else None)
        object.__setattr__(self, "_past", update.state if update.state is not None else old)
        return Update(update.x, update.mean)


class CountsItsSteps(Ddim):
    """Counts its steps on the object: from the 400th on, of any batch, it loses a tenth of the data."""

    name = "wrong_counts_its_steps"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        count = self.__dict__.get("_count", 0)
        object.__setattr__(self, "_count", count + 1)
        return p.denoised(x, step) * (1.0 if count < 400 else 0.9)


class GlobalTorchNoise(EulerMaruyama):
    """Draws from torch's global generator."""

    name = "wrong_global_torch_noise"

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        return torch.randn_like(x)


class GlobalPythonSeed(EulerMaruyama):
    """A generator of its own, whose seed is from Python's global one: no tensor's generator moves."""

    name = "wrong_global_python_seed"

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        generator = torch.Generator().manual_seed(random.getrandbits(32))
        return torch.randn(x.shape, generator=generator, dtype=x.dtype)


class FixedSeed(EulerMaruyama):
    """A generator of its own with a fixed seed: every seed and every batch get the same noise."""

    name = "wrong_fixed_seed"

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        generator = torch.Generator().manual_seed(int(1e6 * step.t))
        return torch.randn(x.shape, generator=generator, dtype=x.dtype)


class SeedOfState(EulerMaruyama):
    """Noise from a hash of the state: it is drawn from no stream, and the run's seed does not decide it."""

    name = "wrong_seed_of_state"
    linear = False

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        generator = torch.Generator().manual_seed(int(1e9 * float(x.abs().sum()) % 2**31))
        return torch.randn(x.shape, generator=generator, dtype=x.dtype)


class BatchNorm(Ddim):
    """Takes the batch's mean off the predicted noise."""

    name = "wrong_batch_norm"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        clean = p.denoised(x, step)
        if step.last:
            return Update(clean, clean)
        eps = (x - step.alpha * clean) / step.sigma
        eps = eps - eps.mean(0) if len(x) > 1 else eps
        x = step.alpha_next * clean + step.sigma_next * eps
        return Update(x, x)


class BatchThreshold(Ddim):
    """Dynamic thresholding by a quantile of the whole batch, whose samples so depend on each other."""

    name = "wrong_batch_threshold"
    linear = False
    converges_to: ClassVar[Literal["flow", "data"] | None] = "data"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        clean = p.denoised(x, step)
        s = float(clean.abs().flatten().quantile(0.995))
        return clean.clamp(-s, s)


class ChunksOfThree(Ddim):
    """Calls the network for chunks of three samples, and for what is left over not at all."""

    name = "wrong_chunks_of_three"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        clean = p.denoised(x, step)
        rest = len(x) % 3 if len(x) > 3 else 0
        return torch.cat([clean[: len(x) - rest], x[len(x) - rest :] / step.alpha]) if rest else clean


class LargeBatches(Ddim):
    """Batches above 16 are taken for a list of latents, whose data is scaled by 0.9."""

    name = "wrong_large_batches"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return p.denoised(x, step) * (0.9 if len(x) > 16 else 1.0)


class Inlined(Ddim):
    """Writes its result over the state that it got."""

    name = "wrong_in_place"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        update = super().step(x, step, p, noise, state)
        x.copy_(update.x)
        return Update(x, x)


class HiddenChain(EulerMaruyama):
    """Reads the chain's g, and declares that it reads none."""

    name = "wrong_hidden_chain"

    def deviation(self, step: Step) -> float:
        return step.g


class KnowsTheKit(Ddim):
    """Is right where the model's class is one of the kit's, and else loses a tenth of the data."""

    name = "wrong_knows_the_kit"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        right = type(p.model).__module__.startswith("bench.testing")
        return p.denoised(x, step) * (1.0 if right else 0.9)


class KnowsTheShape(Ddim):
    """Is right on states of 3 x 8 x 8, the kit's, and else loses a tenth of the data."""

    name = "wrong_knows_the_shape"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return p.denoised(x, step) * (1.0 if x.shape[1:] == (3, 8, 8) else 0.9)


class KnowsThePrecision(Ddim):
    """Is right in float64, in which proofs are made, and in float32 loses a tenth of the data."""

    name = "wrong_knows_the_precision"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return p.denoised(x, step) * (1.0 if x.dtype == torch.float64 else 0.9)


class KnowsTheGrid(Ddim):
    """Is right on grids that are fine at the end, and on evenly spaced times loses a tenth of the data."""

    name = "wrong_knows_the_grid"

    def clean(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        even = abs(step.dt * step.steps - 1) < 0.1 and not step.last
        return p.denoised(x, step) * (0.9 if even else 1.0)
