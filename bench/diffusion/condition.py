"""Condition: what changes a sampler's steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.diffusion.levels import NoiseLevel
from bench.diffusion.noise import Noise

if TYPE_CHECKING:
    from torch import Tensor


class Condition:
    """Conditioning that the loop applies at each step of one batch: a guide of the score, a projection.

    With a guide u the score becomes ``s(x, t) + u(x, t)``, and with a projection P every move ends on
    ``x <- P(x, level)``. The inherited methods do nothing; a subclass overrides one or both.
    """

    def guide(self, x: Tensor, level: NoiseLevel) -> Tensor | None:
        """The term that is added to the score, such as ``grad log p_t(y | x)``.

        Args:
            x: The state (B, ...).
            level: Its noise level.

        Returns:
            A tensor (B, ...); None adds nothing.

        Source: Song et al. (2021), eq. 14.
        """
        del x, level
        return None

    def project(self, x: Tensor, level: NoiseLevel, noise: Noise) -> Tensor:
        """The state with the known part put in.

        Args:
            x: The state (B, ...) after a move; it must not be changed in place.
            level: The level that the move led to. A run's last call has its result and the level of clean
                data, ``alpha = 1, sigma = 0``.
            noise: The run's stream for conditions.

        Returns:
            The new state (B, ...), or x itself.
        """
        del level, noise
        return x
