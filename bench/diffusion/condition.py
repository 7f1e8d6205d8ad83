"""Condition: what changes a sampler's steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.diffusion.levels import NoiseLevel
from bench.diffusion.noise import Noise

if TYPE_CHECKING:
    from torch import Tensor


class Condition:
    """What a sampler's steps heed besides the score. Of one batch; the loop calls its two methods.

    A subclass overrides one or both; the inherited ones do nothing.
    """

    def guide(self, x: Tensor, level: NoiseLevel) -> Tensor | None:
        """What is added to the score at x (B, ...): ``grad log p_t(y | x)`` (Song et al. 2021, eq. 14)."""
        del x, level
        return None

    def project(self, x: Tensor, level: NoiseLevel, noise: Noise) -> Tensor:
        """The state x (B, ...) after a move that led to ``level``, with what is known put in.

        A run's last call is on its result, at clean data, ``alpha = 1, sigma = 0``. Nothing is changed in
        place.
        """
        del level, noise
        return x
