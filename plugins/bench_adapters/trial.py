"""What a scheduler of diffusers does to data and noise, measured with an ideal network before a run.

On data that is a single point c, a state is ``a c + b n``, and an ideal network answers ``E[x0 | x] = c``
whatever the level it is asked at. Two runs, of c = 0 and of c = 1 with the same noise, so give a and b of
every state: the level ``b / a`` that it really has, and the noise that is left at the end.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable
from typing import Any, Literal

from bench import Array, Tensor
from bench_adapters.common import depends_on_seed, quiet, seeded
from bench_adapters.schedulers import Family

DRAWS, FEW = 1024, 4
"""Samples of a scheduler that draws noise: of the first, the deviation of a state is known to 2.2 %; of the
second, whether a run ends."""

Levels = Literal["state", "timestep"]
"""Where a network is asked, and its answer meant: at the state's own level, or at that of the timestep."""
Network = Callable[[Tensor, float, float], Tensor]
"""``network(state, ratio of the timestep, ratio of the scheduler's arithmetic) -> E[x0 | x]``."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """Levels of a scheduler's run on noise levels.

    Args:
        states: (a, b) of the network's states ``a c + b n``, one for each call.
        timesteps: sigma / alpha of the levels that the timesteps stand for, one for each call.
        end: (a, b) of the result.
        draws_noise: Whether the result depends on the generator; b is then known to 2.2 %.
    """

    states: tuple[tuple[float, float], ...]
    timesteps: tuple[float, ...]
    end: tuple[float, float]
    draws_noise: bool

    @property
    def ratios(self) -> tuple[float, ...]:
        """sigma / alpha of the states."""
        return tuple(_ratio(*state) for state in self.states)

    @property
    def noise_left(self) -> float:
        """sigma / alpha of the result; 0 for clean data."""
        return _ratio(*self.end)

    @property
    def worst_call(self) -> tuple[int, float]:
        """The call whose timestep is farthest from its state, from 1, and the factor between the levels."""
        gaps = [
            math.inf if math.isinf(a) != math.isinf(b) else 0.0 if math.isinf(a) else abs(math.log(a / b))
            for a, b in zip(self.ratios, self.timesteps, strict=True)
        ]
        worst = max(range(len(gaps)), key=gaps.__getitem__)
        return worst + 1, math.exp(gaps[worst])


def run_scheduler(
    family: Family,
    scheduler: Any,
    ratios: Array,
    unit: Tensor,
    network: Network,
    generator: Any,
    levels: Levels,
) -> Tensor:
    """The scheduler's loop: ``scale_model_input``, network, ``step``.

    Args:
        family: What its states are.
        scheduler: The scheduler, its timesteps set.
        ratios: sigma / alpha of the levels of its noise schedule, ascending.
        unit: The state at T (B, ...), divided by ``sqrt(alpha^2 + sigma^2)``.
        network: Asked once for each timestep.
        generator: What it draws noise from.
        levels: The level at which the scheduler's answers are meant: that of its own arithmetic, so that it
            makes the expected data of them, or that of its timesteps, as pipelines have it.

    Returns:
        Its last state (B, ...).
    """
    extra = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    recalls = "old_pred_original_sample" in inspect.signature(scheduler.step).parameters
    old, back = None, None
    sample = (unit * family.start(scheduler, float(ratios[-1]))).to(unit.dtype)
    for t in scheduler.timesteps:
        scale = getattr(scheduler, "scale_model_input", None)
        scaled = sample if scale is None else scale(sample, t)
        state = family.network_state(scaled, sample).to(sample.dtype)
        timestep = family.timestep_ratio(scheduler, t, ratios)
        own = family.state_ratio(scheduler, t, ratios)
        answer = network(state, timestep, own)
        output = family.output(scheduler, state, own if levels == "state" else timestep, answer).to(
            unit.dtype
        )
        if recalls:  # CogVideoX's multistep solver is handed its own history
            stepped, old = scheduler.step(output, old, t, back, sample, **extra)[:2]
            back = t
        else:
            stepped = scheduler.step(output, t, sample, **extra).prev_sample
        sample = stepped.to(sample.dtype)
    return sample


def draws_noise(family: Family, make: Callable[[], Any], ratios: Array) -> bool:
    """Whether a scheduler's result depends on its generator.

    Args:
        family: What its states are.
        make: Makes the scheduler.
        ratios: sigma / alpha of its noise schedule, ascending.
    """
    import torch

    def run(seed: int) -> Tensor:
        def halved(state: Tensor, _timestep: float, _own: float) -> Tensor:
            # not a constant: a scheduler whose last step is the network's answer returns that
            return state / 2

        x = torch.zeros(1, 1, 2, 2)
        with seeded(seed, x) as generator, quiet():
            return run_scheduler(family, make(), ratios, x, halved, generator, "state")

    return depends_on_seed(run)


def try_scheduler(
    family: Family, make: Callable[[], Any], ratios: Array, levels: Levels = "state", *, draws: int = 0
) -> Trial:
    """A scheduler's run with an ideal network.

    Args:
        family: What its states are.
        make: Makes the scheduler, its timesteps set.
        ratios: sigma / alpha of its noise schedule, ascending; the run starts at the last.
        levels: As in `run_scheduler`.
        draws: Of a scheduler that draws noise (`draws_noise`): by how many its levels are measured; else 0.

    Raises:
        Exception: What the scheduler raises.
    """
    import torch

    top = float(ratios[-1])
    data, noise = (1 / math.hypot(1, top), 1 / math.hypot(1, 1 / top)) if math.isfinite(top) else (0.0, 1.0)
    draw = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    if draws:
        draw = torch.randn(1, 1, 1, draws, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        draw /= float(draw.square().mean().sqrt())
    timesteps: list[float] = []
    states: list[list[Tensor]] = []
    for point in (0.0, 1.0):
        visited: list[Tensor] = []
        timesteps.clear()

        def network(
            state: Tensor, timestep: float, _own: float, point: float = point, visited: list[Tensor] = visited
        ) -> Tensor:
            visited.append(state)
            timesteps.append(timestep)
            return torch.full_like(state, point)

        with seeded(1, draw) as generator, quiet():
            start = noise * draw + data * point
            visited.append(run_scheduler(family, make(), ratios, start, network, generator, levels))
        states.append(visited)
    *parts, end = (_parts(zero, one) for zero, one in zip(*states, strict=True))
    return Trial(tuple(parts), tuple(timesteps), end, draws > 0)


def _parts(zero: Tensor, one: Tensor) -> tuple[float, float]:
    """a and b of the states of c = 0 and c = 1."""
    return float((one - zero).mean()), float(zero.square().mean().sqrt())


def _ratio(a: float, b: float) -> float:
    return b / a if a > 0 else math.inf
