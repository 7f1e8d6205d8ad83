"""What the fast samplers share: a bounded history of the network's predictions.

``lambda = ln(alpha / sigma)`` is half the log signal-to-noise ratio. All but states are plain floats.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from bench import NoiseLevel, Step, Tensor


class Entry(NamedTuple):
    """A prediction of the network (B, ...), of data or noise, and the level at which it was made."""

    level: NoiseLevel
    output: Tensor


History = tuple[Entry, ...]
"""Predictions of a run, newest first."""


def extend(history: History | None, entry: Entry, length: int) -> History:
    """The history with ``entry`` in front, of ``length`` entries at most."""
    return (entry, *(history or ())[: length - 1])


LowerOrderFinal = Literal["published", "always", "never"]
"""When the order of a multistep method falls at the end: by its authors' rule, or on every or no run."""


def final_order(order: int, steps_left: int) -> int:
    """The order of a step where it falls at the end: 1 for the move to eps, 2 for the one before, ...

    After the move to eps one step is left, the last, which is the expected data.
    """
    return max(min(order, steps_left), 1)


def half_log_snr(level: NoiseLevel) -> float:
    """``lambda = ln(alpha / sigma)`` at a level."""
    return math.log(level.alpha / level.sigma)


def half_log_snr_next(step: Step) -> float:
    """lambda at the level where a step leads; the last step, to clean data, has none."""
    return math.log(step.alpha_next / step.sigma_next)


def combine(*terms: tuple[float, Tensor]) -> Tensor:
    """``sum factor tensor``, as a new tensor."""
    (factor, first), *rest = terms
    total = first * factor
    for factor, tensor in rest:
        total.add_(tensor, alpha=factor)
    return total
