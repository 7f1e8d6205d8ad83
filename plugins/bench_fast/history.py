"""What the fast samplers share: a bounded history of the network's predictions.

``lambda = ln(alpha / sigma)`` is half the log signal-to-noise ratio. All but states are plain floats.
"""

from __future__ import annotations

import math
from typing import NamedTuple

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
