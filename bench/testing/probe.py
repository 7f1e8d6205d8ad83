"""Data whose truth is known, and stand-ins that watch a sampler in the project's own loop."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import torch

from bench.closed_form.mixture import Mixture, MixtureModel, on_range
from bench.diffusion.grid import GridKind
from bench.diffusion.levels import NoiseLevel, Step
from bench.diffusion.model import Model
from bench.diffusion.noise import Noise
from bench.diffusion.prediction import Prediction
from bench.diffusion.roles import Corrector, Predictor, Solver, Update
from bench.diffusion.sampler import Sampler
from bench.diffusion.sde import SDE
from bench.params import Plugin
from bench.plugins.registry import registry
from bench.types import Array

Tensor = torch.Tensor
P = TypeVar("P", bound=Plugin)
Part = Predictor | Corrector | Solver
GAUSSIAN, MIXTURE = "gaussian-cifar10", "gmm-cifar10"
SHAPE = (3, 8, 8)
"""Every fourth frequency, along both axes, of the checkpoints' 3 x 32 x 32 coefficients."""


@functools.cache
def _data(checkpoint: str, low: float, high: float) -> Mixture:
    from bench.checkpoints.exact import exact_data

    found, colour = exact_data(registry().get("checkpoints", checkpoint).thing)
    whole = on_range(found, (low, high), colour)
    return Mixture(whole.weight, whole.mean[:, :, ::4, ::4], whole.variance[:, :, ::4, ::4])


def truth(checkpoint: str, sde: SDE) -> Mixture:
    """The data that an exact checkpoint stands for on the SDE's range, thinned to `SHAPE`."""
    return _data(checkpoint, *sde.data_range)


def gaussian(sde: SDE) -> tuple[Array, Array]:
    """Mean and variance of the Gaussian checkpoint's data; arrays of `SHAPE`."""
    found = truth(GAUSSIAN, sde)
    return found.mean[0], found.variance[0]


def marginal(sde: SDE, level: NoiseLevel) -> tuple[Array, Array]:
    """Mean and variance of the Gaussian data at a level."""
    mean, variance = gaussian(sde)
    return level.alpha * mean, level.alpha**2 * variance + level.sigma**2


class Watched(Model):
    """An exact model; ``asked`` collects the kinds of the states that it is asked at."""

    def __init__(self, checkpoint: str, sde: SDE, dtype: torch.dtype = torch.float64) -> None:
        self.model = MixtureModel(truth(checkpoint, sde), "cpu", dtype, color=None, range_=sde.data_range)
        self.shape = SHAPE
        self.asked: set[tuple[Any, ...]] = set()
        self.questions: list[tuple[Tensor, NoiseLevel]] = []

    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        self.asked.add(kind(x))
        if len(self.questions) < 64:
            self.questions.append((x.clone(), level))
        return self.model.score(x, level)

    def images(self, x: Tensor) -> Tensor:
        return x


class Free(Model):
    """A network that costs nothing: it answers with one and the same tensor."""

    def __init__(self, answer: Tensor) -> None:
        self.shape = tuple(answer.shape[1:])
        self.answer = answer

    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return self.answer

    def images(self, x: Tensor) -> Tensor:
        return x


def kind(x: Tensor) -> tuple[Any, ...]:
    """Shape without the batch, precision and device of a state."""
    return (tuple(x.shape[1:]), str(x.dtype), str(x.device))


class Probe:
    """Stands in for a predictor, corrector or solver in the loop, and watches each of its steps."""

    def __init__(self, part: Any) -> None:
        self.part = part
        self.kinds: set[tuple[Any, ...]] = set()
        self.changed_in_place = False
        self.last: tuple[Tensor, Step, Any] | None = None
        """What the last step, to clean data, was given."""
        self.given: list[tuple[Tensor, Step, range]] = []
        """What each step was given, and the numbers of its score calls."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.part, name)

    def resolve(self, sde: SDE) -> Probe:
        """As the part's own."""
        self.part = self.part.resolve(sde)
        return self

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, *state: Any) -> Update:
        """As the part's own; a corrector has no state."""
        if step.last and state:
            self.last = (x.clone(), step, state[0])
        before, calls = x.clone(), p.calls
        found = self.part.step(x, step, p, noise, *state)
        if len(self.given) < 32:
            self.given.append((before, step, range(calls, p.calls)))
        self.changed_in_place |= not torch.equal(before, x)
        self.kinds |= {kind(one) for one in (found[0], found[1], *tensors(found[2:]))}
        return cast(Update, found)

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        """As the solver's own."""
        before = x.clone()
        found = self.part.solve(x, sde, p, noise)
        self.changed_in_place |= not torch.equal(before, x)
        self.kinds.add(kind(found))
        return cast(Tensor, found)


def tensors(thing: Any) -> list[Tensor]:
    """The tensors of a history with a batch's shape, in tuples, lists, dictionaries and dataclasses."""
    if isinstance(thing, torch.Tensor):
        return [thing] if thing.dim() == len(SHAPE) + 1 else []
    if isinstance(thing, dict):
        return [one for value in thing.values() for one in tensors(value)]
    if isinstance(thing, tuple | list):
        return [one for value in thing for one in tensors(value)]
    if dataclasses.is_dataclass(thing):
        return tensors([getattr(thing, field.name) for field in dataclasses.fields(thing)])
    return []


class Stream:
    """A run's noise: draws from its own generator, or what ``draw(count, x)`` gives; ``drawn`` counts."""

    def __init__(self, seed: int = 0, draw: Callable[[int, Tensor], Tensor] | None = None) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.draw = draw
        self.drawn = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.drawn += 1
        if self.draw is not None:
            return self.draw(self.drawn, x)
        return torch.randn(x.shape, generator=self.generator, dtype=x.dtype, device=x.device)


@dataclasses.dataclass
class Ran:
    """A finished run: its samples, its score calls, its noise draws, and the watched part."""

    x: Tensor
    calls: int
    drawn: int
    probe: Probe
    model: Model


def sampler(part: Any, sde: SDE, steps: int, grid: GridKind = "polynomial") -> Sampler:
    """The part alone in the loop; a corrector beside DDIM, which draws no noise."""
    if isinstance(part.part if isinstance(part, Probe) else part, Solver):
        return Sampler(sde, solver=part, denoise="none")
    if isinstance(part.part if isinstance(part, Probe) else part, Corrector):
        predictor = registry().build("predictors", "ddim", {})
        return Sampler(sde, predictor, part, steps=steps, grid=grid)
    return Sampler(sde, part, steps=steps, grid=grid, denoise="none")


def run(
    part: Part,
    sde: SDE,
    steps: int,
    prior: Tensor,
    *,
    noise: Noise | None = None,
    model: Model | None = None,
    grid: GridKind = "polynomial",
) -> Ran:
    """One run of ``part`` from the standard normal ``prior`` (B, ...), on the Gaussian unless told."""
    probe = Probe(part)
    stream = Stream() if noise is None else noise
    model = model or Watched(GAUSSIAN, sde, prior.dtype)
    p = Prediction(model, sde)
    other = stream if isinstance(part, Corrector) else Stream(1)
    first = Stream(2) if isinstance(part, Corrector) else stream
    with torch.no_grad():
        x = sampler(probe, sde, steps, grid).run(prior.clone(), p, first, other)
    return Ran(x, p.calls, getattr(stream, "drawn", 0), probe, model)


def prior(batch: int, dtype: torch.dtype = torch.float64, seed: int = 5) -> Tensor:
    """Standard normal (B, *SHAPE)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, *SHAPE, generator=generator, dtype=torch.float64).to(dtype)


def changed(plugin: P, **values: Any) -> P:
    """The plugin with other values of some parameters."""
    return type(plugin).build(plugin.values() | values)


def with_steps(part: Part, steps: int) -> Part:
    """A solver with its own parameter ``steps``, if it has one, set; any other part as it is."""
    return changed(part, steps=steps) if isinstance(part, Solver) and "steps" in part.values() else part


def ended(sde: SDE, at: float) -> SDE:
    """The SDE with sampling ended at time ``at``."""
    return changed(sde, eps=at)


def middle(sde: SDE) -> SDE:
    """The SDE ended where its noise has the size of the data, coordinates' deviations in geometric mean."""
    _, variance = gaussian(sde)
    ratio = float(np.log(variance).mean() / 2)
    t = sde.level_at_half_log_snr(-ratio).t
    return ended(sde, min(max(t, sde.eps), 0.8 * sde.end))
