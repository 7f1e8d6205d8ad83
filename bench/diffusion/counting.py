"""The number of network evaluations, counted where a loaded model calls its network."""

from __future__ import annotations

import contextvars
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager


@dataclasses.dataclass
class Evaluations:
    """Network evaluations so far: one for each state of each call."""

    count: int = 0


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


def count_evaluations(states: int) -> None:
    """Count a call; a model calls this wherever it evaluates its network or exact score.

    Args:
        states: Number of states that the call evaluates.
    """
    current = _CURRENT.get()
    if current is not None:
        current.count += states
