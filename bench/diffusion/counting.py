"""The number of network evaluations, counted where a loaded model calls its network."""

from __future__ import annotations

import contextvars
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclasses.dataclass
class Evaluations:
    """Network evaluations so far: one for each state of each call.

    ``of_rows`` holds those of parts of a batch (`evaluations_of`): the samples, and how many each has.
    ``part`` is the least number of states that a call was divided into, for want of memory; None where no
    call was.
    """

    count: int = 0
    part: int | None = None
    of_rows: list[tuple[Tensor, float]] = dataclasses.field(default_factory=list)

    @property
    def of_all(self) -> float:
        """The evaluations that are of no part: each sample of the batch has an equal share of them."""
        return self.count - sum(len(rows) * each for rows, each in self.of_rows)

    def most(self, size: int) -> float:
        """The greatest number of evaluations of one sample.

        Args:
            size: Number of samples of the batch.
        """
        import torch

        counts = torch.full((size,), self.of_all / size, dtype=torch.float64)
        for rows, each in self.of_rows:
            counts.index_add_(0, rows.cpu(), torch.full((len(rows),), each, dtype=torch.float64))
        return float(counts.max())


_CURRENT: contextvars.ContextVar[Evaluations | None] = contextvars.ContextVar("evaluations", default=None)


@contextmanager
def counted_evaluations() -> Iterator[Evaluations]:
    """Count the evaluations of all models within the block, whoever calls them.

    Batches that are computed in several threads are counted apart. A block within another counts for both.

    Yields:
        The number so far.
    """
    outer, own = _CURRENT.get(), Evaluations()
    token = _CURRENT.set(own)
    try:
        yield own
    finally:
        _CURRENT.reset(token)
        if outer is not None:
            outer.count += own.count
            outer.of_rows += own.of_rows
            outer.part = _least(outer.part, own.part)


@contextmanager
def evaluations_of(rows: Tensor | None) -> Iterator[None]:
    """Count the evaluations within the block as those of these samples, an equal share for each.

    Those of a block within it are of its own samples.

    Args:
        rows: Numbers of the samples within their batch (M,), integers; None stands for the whole batch.
    """
    current = _CURRENT.get()
    before = 0.0 if current is None else current.of_all
    yield
    if current is not None and rows is not None and len(rows):
        current.of_rows.append((rows, (current.of_all - before) / len(rows)))


def _least(a: int | None, b: int | None) -> int | None:
    return min((one for one in (a, b) if one is not None), default=None)


def report_part(states: int) -> None:
    """Note that a call was divided into parts of so many states, for want of memory.

    Args:
        states: Number of states of a part.
    """
    current = _CURRENT.get()
    if current is not None:
        current.part = _least(current.part, states)


def count_evaluations(states: int) -> None:
    """Count a call; a model calls this wherever it evaluates its network or exact score.

    Args:
        states: Number of states that the call evaluates.
    """
    current = _CURRENT.get()
    if current is not None:
        current.count += states
