"""What a sampler's plugins declare of a run: its network calls and its order of convergence."""

from __future__ import annotations

from collections.abc import Sequence

from bench.diffusion.levels import Step
from bench.diffusion.sampler import Sampler
from bench.tasks.role import Task


def declared_order(sampler: Sampler) -> float | None:
    """The order of convergence that a sampler without a corrector declares."""
    if sampler.corrector is not None and sampler.corrector.calls:
        return None
    part = sampler.solver or sampler.predictor
    order = None if part is None else part.convergence_order
    return None if order is None else float(order)


def planned_nfe(task: Task, sampler: Sampler, steps: Sequence[Step] | None = None) -> int | None:
    """Network calls per sample as the plugins declare them; None where unknown in advance.

    ``steps`` are the sampler's, where they are known already.

    Raises:
        TypeError: A plugin declares something that is no integer.
    """
    calls, each = _declared_nfe(task, sampler, steps), task.score_calls
    if calls is None or each is None:
        return None
    if type(calls) is not int:
        raise TypeError(f"the number of network calls is declared as {calls!r}, not as an integer")
    return calls * each


def _declared_nfe(task: Task, sampler: Sampler, steps: Sequence[Step] | None) -> int | None:
    last = sampler.denoise == "tweedie"
    if task.follows_flow:
        return None
    if sampler.solver is not None:
        calls = sampler.solver.nfe()
        return None if calls is None else calls + sampler.starts_by_limit + last
    moves = sampler.corrector.calls if sampler.corrector is not None else 0
    levels = sampler.steps if sampler.order == "corrector_first" else sampler.steps - 1
    predictor = sampler.predictor
    predicts: int | None = 0
    if predictor is not None and not predictor.idle:
        grid = sampler.schedule() if steps is None else steps
        first = int(sampler.starts_by_limit)  # DDIM's limit is one call
        predicts = predictor.nfe(grid[first:]) if len(grid) > first else 0
        predicts = None if predicts is None else predicts + first - int(sampler.afs)
    return None if predicts is None else predicts + levels * moves + last
