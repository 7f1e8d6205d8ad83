"""Condition: what changes a sampler's steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.diffusion.levels import NoiseLevel
from bench.diffusion.noise import Noise
from bench.errors import BenchError

if TYPE_CHECKING:
    from torch import Tensor


class Condition:
    """Conditioning of one batch, applied at each step: ``s(x, t) + u(x, t)`` and ``x <- P(x, level)``.

    The guide u is added to the score at every network call, and the projection P is applied after every move.
    The inherited methods do nothing; a subclass overrides `guide`, `project` or both, or `combine` where the
    score is no such sum.
    """

    @property
    def guides(self) -> bool:
        """Whether it changes the score: it overrides `guide` or `combine`."""
        cls = type(self)
        return cls.guide is not Condition.guide or cls.combine is not Condition.combine

    def of_rows(self, rows: Tensor) -> Condition:
        """This condition for states of some samples of its batch: a sampler may ask for a part of a batch, or
        at a time of its own for each sample (`Prediction.of_rows`).

        Args:
            rows: The sample of each state (M,), integers; a sample may be there several times, or not at all.

        Returns:
            The condition of these M states.

        Raises:
            BenchError: The condition takes whole batches alone: by default.
        """
        raise BenchError(
            f"the condition {type(self).__name__} guides whole batches at one noise level: take a "
            "sampler whose samples are all at the same level, or define of_rows"
        )

    def guide(self, x: Tensor, level: NoiseLevel) -> Tensor | None:
        """The term u that is added to the score, such as ``grad log p_t(y | x)``.

        Args:
            x: The state (B, ...).
            level: Its noise level.

        Returns:
            A tensor (B, ...); None for no term.

        Source: Song et al. (2021), eq. 14.
        """
        del x, level
        return None

    def combine(self, score: Tensor, x: Tensor, level: NoiseLevel) -> Tensor:
        """The conditioned score; by default ``score + guide(x, level)``.

        Args:
            score: The network's score (B, ...) of the state.
            x: The state (B, ...).
            level: Its noise level.

        Returns:
            The score (B, ...) that the sampler receives.
        """
        guide = self.guide(x, level)
        return score if guide is None else score + guide

    def combine_denoised(self, denoised: Tensor, x: Tensor, level: NoiseLevel) -> Tensor:
        """The conditioned ``E[x0 | x]`` where alpha = 0: there the score tells nothing of the data.

        By default the given one, and an error where `combine` changes the score.

        Args:
            denoised: The network's ``E[x0 | x]`` (B, ...) of the state.
            x: The state (B, ...).
            level: Its noise level, with alpha = 0.

        Returns:
            The expected clean data (B, ...).

        Raises:
            BenchError: The condition guides the score.
        """
        score = x * -(level.sigma**-2)
        if self.combine(score, x, level) is not score:
            raise BenchError(
                "where alpha = 0 a guide of the score has no limit: take an SDE that ends above alpha = 0, "
                "such as vp"
            )
        return denoised

    def project(self, x: Tensor, level: NoiseLevel, noise: Noise) -> Tensor:
        """The projection P of a state, such as one that replaces its known part.

        Args:
            x: The state (B, ...) after a move; it must not be changed in place.
            level: The noise level after the move. A run's last call passes its result and the level of clean
                data, ``alpha = 1, sigma = 0``.
            noise: The run's stream for conditions.

        Returns:
            The new state (B, ...), or x itself.
        """
        del level, noise
        return x
