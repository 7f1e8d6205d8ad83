"""What the fast samplers share: predictions of data and noise from a score, and their bounded history.

Everywhere ``lambda = ln(alpha / sigma)`` and ``rho = sigma / alpha``; all of it plain floats.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from bench import NoiseLevel, Step, Tensor


class Past(NamedTuple):
    """A prediction of the network (B, ...) and the level it was made at."""

    level: NoiseLevel
    output: Tensor


History = tuple[Past, ...]
"""Newest first."""


def remembered(new: Past, history: History | None, most: int) -> History:
    """The history with ``new`` in front, no longer than ``most``."""
    return (new, *(history or ())[: most - 1])


def data(x: Tensor, s: Tensor, level: NoiseLevel) -> Tensor:
    """``D = (x + sigma^2 s) / alpha``: the expected clean data."""
    return x.add(s, alpha=level.sigma**2).div_(level.alpha)


def log_snr(level: NoiseLevel) -> float:
    """lambda, half the logarithmic signal-to-noise ratio."""
    return math.log(level.alpha / level.sigma)


def log_snr_next(step: Step) -> float:
    """lambda where the step from ``step`` leads, not of the last one, where it is infinite."""
    return math.log(step.alpha_next / step.sigma_next)


def combine(*terms: tuple[float, Tensor]) -> Tensor:
    """``sum factor tensor``, as a new tensor."""
    (factor, first), *rest = terms
    total = first * factor
    for factor, tensor in rest:
        total.add_(tensor, alpha=factor)
    return total
