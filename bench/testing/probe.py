"""Stand-ins that observe a sampler in the project's own loop, and small tools of the checks."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import torch

from bench.diffusion.levels import NoiseLevel, RowLevels, Step
from bench.diffusion.model import Model
from bench.diffusion.noise import Noise
from bench.diffusion.prediction import At, Prediction
from bench.diffusion.roles import Corrector, Predictor, Solver, Update
from bench.diffusion.sde import SDE
from bench.params import Plugin
from bench.testing.laws import SHAPE

Tensor = torch.Tensor
P = TypeVar("P", bound=Plugin)
T = TypeVar("T")
Part = Predictor | Corrector | Solver
S = TypeVar("S", bound=Predictor | Corrector | Solver)
GAUSSIAN, MIXTURE = "gaussian-cifar10", "gmm-cifar10"
"""The exact checkpoints that checks of tasks, metrics and executors use."""


OBSERVED = 32
"""Steps of a run of which each is observed: more than those of the runs that are looked into."""


class Kind(NamedTuple):
    """What a step must keep of a state: its shape without the batch, its precision and its device."""

    shape: tuple[int, ...]
    precision: str
    device: str


def kind(x: Tensor) -> Kind:
    """The kind of a state (B, ...)."""
    return Kind(tuple(x.shape[1:]), str(x.dtype), str(x.device))


class ObservedModel(Model):
    """An exact model that records the kinds and the number of the states it gets, and its first 64 calls."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.shape = model.shape
        self.kinds: set[Kind] = set()
        self.last: tuple[object, ...] = ()
        self.calls: list[tuple[Tensor, NoiseLevel]] = []
        self.states_seen = 0

    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        """The exact score."""
        self._note(x, level)
        return self.model.score(x, level)

    def score_of_rows(self, x: Tensor, levels: RowLevels) -> Tensor | None:
        """The exact scores, each at its level."""
        scores = self.model.score_of_rows(x, levels)
        if scores is not None:
            self.kinds.add(kind(x))
            self.states_seen += len(x)
            for row in range(min(len(x), 64 - len(self.calls))):
                t, alpha, sigma = (float(each[row]) for each in (levels.t, levels.alpha, levels.sigma))
                self.calls.append((x[row : row + 1].clone(), NoiseLevel(t, alpha, sigma)))
        return scores

    def denoised(self, x: Tensor, level: NoiseLevel) -> Tensor:
        """The exact clean data."""
        self._note(x, level)
        return self.model.denoised(x, level)

    def velocity(self, x: Tensor, level: NoiseLevel) -> Tensor:
        """The exact slope of the flow."""
        self._note(x, level)
        return self.model.velocity(x, level)

    def _note(self, x: Tensor, level: NoiseLevel) -> None:
        like = x.shape, x.dtype, x.device
        if like != self.last:
            self.kinds.add(kind(x))
            self.last = like
        self.states_seen += len(x)
        if len(self.calls) < 64:
            self.calls.append((x.clone(), level))

    def images(self, x: Tensor) -> Tensor:
        """Items of states."""
        return self.model.images(x)

    def states(self, images: Tensor) -> Tensor:
        """States of items."""
        return self.model.states(images)

    def __deepcopy__(self, memo: dict[int, Any]) -> ObservedModel:
        """This model: a copy would be asked unseen."""
        return self


class CountedPrediction(Prediction):
    """A run's network that counts the states for which it, and what is derived from it, is asked."""

    def __init__(self, model: Model, sde: SDE) -> None:
        super().__init__(model, sde)
        self.total = [0]

    def _call(self, network: Callable[[Tensor, NoiseLevel], T], x: Tensor, at: At) -> T:
        self.total[0] += len(x)
        return super()._call(network, x, at)

    def _scores_of_rows(self, x: Tensor, levels: RowLevels) -> Tensor | None:
        scores = super()._scores_of_rows(x, levels)
        if scores is not None:
            self.total[0] += len(x)
        return scores


class FreeModel(Model):
    """A network that costs nothing: it returns one and the same tensor, or its first rows."""

    def __init__(self, output: Tensor) -> None:
        self.shape = tuple(output.shape[1:])
        self.output = output

    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        """The tensor, of as many rows as x."""
        return self.output[: len(x)]

    def denoised(self, x: Tensor, level: NoiseLevel) -> Tensor:
        """The tensor, of as many rows as x."""
        return self.output[: len(x)]

    def images(self, x: Tensor) -> Tensor:
        """The state itself."""
        return x

    def states(self, images: Tensor) -> Tensor:
        """The image itself."""
        return images


@dataclasses.dataclass
class StepCall:
    """The input of one step, and the numbers of the network calls that it made."""

    x: Tensor
    step: Step
    calls: range


class ObservedPart:
    """Takes the place of a predictor, corrector or solver in the loop and records what each step does."""

    def __init__(self, part: Any) -> None:
        self.part = part
        self.kinds: set[Kind] = set()
        self.changed_in_place = False
        self.last: tuple[Tensor, Step, Any] | None = None
        """State, step and history at the last step, which leads to clean data."""
        self.steps: list[StepCall] = []
        """The first `OBSERVED` steps; of those alone kinds and changes in place are recorded."""
        self.result: Tensor | None = None
        """What a solver returned."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.part, name)

    def resolve(self, sde: SDE) -> ObservedPart:
        """Resolve the part."""
        self.part = self.part.resolve(sde)
        return self

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, *state: Any) -> Update:
        """The part's step; a corrector has no history."""
        if step.last and state:
            self.last = (x.clone(), step, state[0])
        if len(self.steps) == OBSERVED:
            return cast(Update, self.part.step(x, step, p, noise, *state))
        before, calls = x.clone(), p.calls
        update = self.part.step(x, step, p, noise, *state)
        self.steps.append(StepCall(before, step, range(calls, p.calls)))
        self.changed_in_place |= not torch.equal(before, x)
        self.kinds |= {kind(tensor) for tensor in (update[0], update[1], *state_tensors(update[2:]))}
        return cast(Update, update)

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        """The solver's result."""
        before = x.clone()
        result = self.part.solve(x, sde, p, noise)
        self.changed_in_place |= not torch.equal(before, x)
        self.kinds.add(kind(result))
        self.result = result
        return cast(Tensor, result)


def state_tensors(history: object) -> list[Tensor]:
    """The tensors of a history that have a batch's shape, in tuples, lists, dictionaries and dataclasses."""
    if isinstance(history, torch.Tensor):
        return [history] if history.dim() == len(SHAPE) + 1 else []
    if isinstance(history, dict):
        return [tensor for value in history.values() for tensor in state_tensors(value)]
    if isinstance(history, tuple | list):
        return [tensor for value in history for tensor in state_tensors(value)]
    if dataclasses.is_dataclass(history):
        return state_tensors([getattr(history, field.name) for field in dataclasses.fields(history)])
    return []


class CountedNoise:
    """A noise stream of its own generator, or of ``draw(count, x)``, that counts its draws."""

    def __init__(self, seed: int = 0, draw: Callable[[int, Tensor], Tensor] | None = None) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.draw = draw
        self.draws = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.draws += 1
        if self.draw is not None:
            return self.draw(self.draws, x)
        return torch.randn(x.shape, generator=self.generator, dtype=x.dtype, device=x.device)


@dataclasses.dataclass
class Trial:
    """A sampler's run on exact data.

    Args:
        x: Its samples (B, *shape).
        calls: Network calls per sample, as the exact model counts them.
        counts: States for which the network was asked: by the prediction, by the model that the sampler can
            reach, and by the exact model within; they differ where a sampler goes round one of them.
        draws: Draws of noise.
        part: The sampler, observed.
        model: The network.
    """

    x: Tensor
    calls: int
    counts: tuple[int, int, int]
    draws: int
    part: ObservedPart
    model: Model

    @property
    def final_state(self) -> Tensor:
        """The state at the last noise level: the input of a predictor's last step, or a solver's result."""
        if isinstance(self.part.part, Solver):
            return self.x
        assert self.part.last is not None
        return self.part.last[0]

    @property
    def state_at_eps(self) -> Tensor | None:
        """The state at the last noise level, before a run denoises it; None of a solver that ends clean."""
        if not isinstance(self.part.part, Solver):
            return self.final_state
        return None if self.part.part.ends_clean else self.part.result


def prior(
    batch: int, dtype: torch.dtype = torch.float64, seed: int = 5, shape: tuple[int, ...] = SHAPE
) -> Tensor:
    """Standard normal (B, *shape)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, *shape, generator=generator, dtype=torch.float64).to(dtype)


def with_values(plugin: P, **values: object) -> P:
    """The plugin with other values of some parameters."""
    return type(plugin).build(plugin.values() | values)


def has_steps(part: Part) -> bool:
    """Whether it is a solver with a number of steps, which `Solver.refine` sets."""
    return isinstance(part, Solver) and part.refine(20) is not None


def with_steps(part: S, steps: int) -> S:
    """A solver or predictor of the values that its `refine` gives it for a number of steps.

    It is built from them, as a run builds it: nothing else that `refine` returns counts. Any other part, and
    one that `refine` returns itself, is unchanged.
    """
    fine = None if isinstance(part, Corrector) else part.refine(steps)
    return part if fine is None or fine is part else with_values(part, **fine.values())


def with_tolerance(part: Part, tolerance: float) -> Part | None:
    """A solver with its tolerance set, the parameter that declares the flag ``tol``; None without one."""
    names = [parameter.name for parameter in part.parameters() if parameter.flag == "tol"]
    return with_values(part, **{names[0]: tolerance}) if names else None


def history_of(part: ObservedPart) -> bool:
    """Whether a predictor's last step got a history from the one before."""
    return part.last is not None and part.last[2] is not None


def ended(sde: SDE, at: float) -> SDE:
    """The SDE with sampling ended at time ``at``."""
    return with_values(sde, eps=at)


def begun(sde: SDE) -> SDE:
    """The SDE with sampling begun at T - eps where it ends in noise, as sigma / alpha is finite there.

    A grid's first step, from T to about T - eps, grows no shorter with more steps, and its error stays.
    """
    return _class_begun(type(sde), sde.end - sde.eps).build(sde.values()) if sde.ends_in_noise else sde


@functools.cache
def _class_begun(cls: type[SDE], at: float) -> type[SDE]:
    return type(cls.__name__, (cls,), {"end": at, "__module__": cls.__module__, "__doc__": cls.__doc__})


def other_values(plugin: Plugin) -> dict[str, object]:
    """Another value for each parameter that allows one: the first of `other_settings`."""
    values: dict[str, object] = {}
    for name, value in other_settings(plugin):
        values.setdefault(name, value)
    return values


def other_settings(plugin: Plugin) -> list[tuple[str, object]]:
    """Parameters at other values: every other choice of one with choices, and one of any other parameter.

    A number is far enough from its own that a mistake would show; one that may be none, and is, gets a value.
    """
    settings: list[tuple[str, object]] = []
    for parameter in plugin.parameters():
        value, every = plugin.values()[parameter.name], False
        candidates: list[Any] = []
        if isinstance(value, bool):
            candidates = [not value]
        elif isinstance(value, int):
            candidates = [value + 1, value - 1]
        elif isinstance(value, float):
            # shares lie between 0 and 1, where powers differ most in the middle
            shares = [0.5, 1.0] if 0 <= value <= 1 else []
            candidates = [*shares, 1.5 * value, 0.5 * value, value * 0.9 + 0.01, value * 0.9]
            candidates = [other for other in candidates if abs(other - value) > 0.09 * abs(value)]
        elif isinstance(value, list) and parameter.type == "list of float":
            candidates = [[*value, 2.5], [*value, 0.5], [0.5, 0.25]]
        elif isinstance(value, str) and "|" in parameter.type:
            candidates, every = [other for other in parameter.type.split("|") if other != value], True
        elif value is None:
            candidates = (
                [1.0, 0.5] if "float" in parameter.type else [2, 1] if "int" in parameter.type else []
            )
        for other in candidates:
            try:
                with_values(plugin, **{parameter.name: other})
            except Exception:  # out of range: the next one
                continue
            settings.append((parameter.name, other))
            if not every:
                break
    return settings
