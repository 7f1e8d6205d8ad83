"""What the fast samplers share: predictions of data and noise from a score, and their bounded history.

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


def expected_data(x: Tensor, s: Tensor, level: NoiseLevel) -> Tensor:
    """``D = E[x0 | x] = (x + sigma^2 s) / alpha`` at the state x with its score s, all (B, ...)."""
    return x.add(s, alpha=level.sigma**2).div_(level.alpha)


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
