"""Whether a time grid gives times that a sampler can visit, on every SDE and at any number of steps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.diffusion.grid import Grid, grid_times
from bench.errors import BenchError
from bench.testing.context import CheckContext
from bench.testing.duties import parameters
from bench.testing.report import Finding, guard, verdict

STEPS = (1, 2, 5, 10, 35, 1000)
"""Numbers of steps at which a grid is checked."""
FURTHER = tuple(range(1, 65))
"""Numbers of steps that are tried for a grid that refuses all of `STEPS`, such as a list of levels."""


def check_grid(grid: Grid, context: CheckContext) -> Iterator[Finding]:
    """All checks."""
    yield from guard("parameters", lambda: parameters(grid))
    yield from guard("times", lambda: times(grid, context))


def times(grid: Grid, context: CheckContext) -> Iterator[Finding]:
    """The times fall from T to eps or above it, and are the same each time.

    A grid that refuses a number of steps or an SDE by a `BenchError` of its own says so here; one that
    refuses all of them fails.
    """
    wrong, refusals, count = [], [], 0
    for sde in context.sdes:
        for place, steps in enumerate((*STEPS, *FURTHER)):
            if count and place >= len(STEPS):
                break
            try:
                grid.times(sde, steps)
            except BenchError as error:
                refusals.append(f"{error}")
                continue
            count += 1
            try:
                t = grid_times(grid, sde, steps)
            except BenchError as error:
                wrong.append(f"{error}")
                continue
            if not np.array_equal(t, grid_times(grid, sde, steps)):
                wrong.append(f"other times the second time, on {sde.name} at {steps} steps")
    names = ", ".join(sde.name for sde in context.sdes)
    measured = f"{count} of its grids on {names}"
    measured += f"; {len(refusals)} refused: {refusals[0]}" if refusals else ""
    yield verdict("times", count > 0 and not wrong, wrong[0] if wrong else measured, "from T down, strictly")
