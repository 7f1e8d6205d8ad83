"""Whether a time grid gives times that a sampler can visit, on every SDE and at any number of steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from bench.diffusion.grid import Grid, grid_times
from bench.diffusion.sde import SDE
from bench.errors import BenchError
from bench.testing.context import CheckContext
from bench.testing.duties import parameters
from bench.testing.probe import other_settings, with_values
from bench.testing.report import Finding, guard, verdict
from bench.types import Array

STEPS = (1, 2, 5, 10, 35, 50, 1000)
"""Numbers of steps at which a grid is checked."""
FURTHER = tuple(range(1, 65))
"""Numbers of steps that are tried for a grid that refuses all of `STEPS`, such as a list of levels."""
DENSE = (100, 1000)
"""Steps between which a grid must become dense."""
LOSS = 0.01
"""Share of a deviation that DDIM may lose at the second of them; without a hole it is 0.001 to 0.01."""
SHRINKS = 0.7
"""Where it loses more, it must lose less than this share of what it lost at the first: a tenth where
steps are spread over all levels, and all of it where a hole stays."""
SPREAD = 0.25
"""Deviation of the data for that, as a share of their range: about that of pixels."""


def check_grid(grid: Grid, context: CheckContext) -> Iterator[Finding]:
    """All checks."""
    yield from guard("parameters", lambda: parameters(grid))
    yield from guard("times", lambda: times(grid, context.sdes))
    yield from guard("other parameters", lambda: other_parameters(grid, context.sdes))
    yield from guard("same each time", lambda: determined(grid, context.sdes))
    yield from guard("dense", lambda: dense(grid, context.sdes))


def times(grid: Grid, sdes: Sequence[SDE]) -> Iterator[Finding]:
    """The times are float64 and fall from T to eps or above it.

    A grid that refuses a number of steps or an SDE by a `BenchError` of its own says so here; one that
    refuses all of them fails.
    """
    wrong, refusals, count = [], [], 0
    for sde in sdes:
        for place, steps in enumerate((*STEPS, *FURTHER)):
            if count and place >= len(STEPS):
                break
            try:
                t = grid.times(sde, steps)
            except BenchError as error:
                refusals.append(f"{error}")
                continue
            count += 1
            if np.asarray(t).dtype != np.float64:
                wrong.append(f"{np.asarray(t).dtype} on {sde.name} at {steps} steps, not float64")
            try:
                grid_times(grid, sde, steps)
            except BenchError as error:
                wrong.append(f"{error}")
    names = ", ".join(sde.name for sde in sdes)
    measured = f"{count} of its grids on {names}"
    measured += f"; {len(refusals)} refused: {refusals[0]}" if refusals else ""
    required = "float64, from T down, strictly, to eps or above"
    yield verdict("times", count > 0 and not wrong, wrong[0] if wrong else measured, required)


def other_parameters(grid: Grid, sdes: Sequence[SDE]) -> Iterator[Finding]:
    """Each parameter has an effect at another value, and the times keep the rules."""
    changes = other_settings(grid)
    if not changes:
        return
    wrong = []
    for name, value in changes:
        other, differs, count = with_values(grid, **{name: value}), False, 0
        for sde in sdes:
            for steps in (5, 50):
                try:
                    other.times(sde, steps)
                    own = grid_times(grid, sde, steps)
                except BenchError:
                    continue
                try:
                    t = grid_times(other, sde, steps)
                except BenchError as error:
                    wrong.append(f"{name} = {value}: {error}")
                    continue
                count += 1
                differs |= not np.array_equal(t, own)
        if count and not differs:
            wrong.append(f"{name} = {value} gives the same times")
    measured = wrong[0] if wrong else f"{', '.join(dict(changes))} at {len(changes)} other values"
    yield verdict("other parameters", not wrong, measured, "other times, by the same rules")


def determined(grid: Grid, sdes: Sequence[SDE]) -> Iterator[Finding]:
    """The times depend on parameters, SDE and steps alone: not on earlier calls, another instance, or the
    state of the random generators of Python, numpy and torch."""
    import random

    wrong = ""
    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    try:
        for sde in sdes:
            results: list[dict[int, Array]] = []
            fresh = type(grid).build(grid.values())
            calls = ((grid, (5, 10, 50)), (grid, (50, 10, 5)), (fresh, (10, 5, 50)))
            for seed, (one, order) in enumerate(calls):
                random.seed(seed)
                np.random.seed(seed)
                torch.manual_seed(seed)
                results.append({steps: t for steps in order if (t := _allowed(one, sde, steps)) is not None})
            if any(not np.array_equal(other[n], t) for other in results[1:] for n, t in results[0].items()):
                wrong = wrong or f"other times the second time, on {sde.name}"
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.random.set_rng_state(states[2])
    yield verdict("same each time", not wrong, wrong or "the same times", "the same, whatever came before")


def _allowed(grid: Grid, sde: SDE, steps: int) -> Array | None:
    try:
        return np.array(grid.times(sde, steps))
    except BenchError:
        return None


def ddim_loss(sde: SDE, t: Array) -> float:
    """The share of the data's deviation that DDIM loses on a grid, against the probability flow.

    On data N(0, v), with the angle ``tan theta = sigma / (alpha sqrt v)``, a step of the flow turns
    (alpha sqrt v, sigma) by the difference of angles, and DDIM multiplies the deviation by its cosine too.

    Args:
        sde: The SDE.
        t: Times, noisiest first; a step from the last of them to eps is added.
    """
    low, high = sde.data_range
    whole = np.append(t, sde.eps)
    theta = np.arctan2(sde.sigma(whole), sde.alpha(whole) * (SPREAD * (high - low)))
    return float(1 - np.cos(np.diff(theta)).prod())


def dense(grid: Grid, sdes: Sequence[SDE]) -> Iterator[Finding]:
    """With many steps the grid has no hole: DDIM on it comes to the flow on Gaussian data.

    A grid that refuses so many steps is not judged.
    """
    losses: dict[str, tuple[float, float]] = {}
    for sde in sdes:
        first, second = (_allowed(grid, sde, steps) for steps in DENSE)
        if first is not None and second is not None:
            losses[sde.name] = ddim_loss(sde, first), ddim_loss(sde, second)
    if not losses:
        yield Finding("dense", "info", f"not for {DENSE[1]} steps: not judged")
        return
    stuck = {name: pair for name, pair in losses.items() if pair[1] >= max(LOSS, SHRINKS * pair[0])}
    worst = max(stuck or losses, key=lambda name: losses[name][1])
    few, many = losses[worst]
    yield verdict(
        "dense",
        not stuck,
        f"DDIM is off by {many:.2g} at {DENSE[1]} steps on {worst}, by {few:.2g} at {DENSE[0]}",
        f"less than {LOSS:g}, or {SHRINKS:g} of that at {DENSE[0]}: no hole stays as steps grow",
        losses=[pair[1] for pair in losses.values()],
    )
