"""Role Parametrisation: what a network answers with."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from bench.diffusion.levels import NoiseLevel
from bench.errors import BenchError
from bench.params import Plugin

if TYPE_CHECKING:
    from torch import Tensor


class Parametrisation(Plugin):
    """What a network answers with: ``output = p E[x0 | x] + q E[noise | x]``, with p and q by noise level.

    As ``x = alpha E[x0 | x] + sigma E[noise | x]``, the output and x give both:

        E[x0 | x]    = (sigma output - q x) / (p sigma - q alpha),
        E[noise | x] = (p x - alpha output) / (p sigma - q alpha).

    A subclass defines `weights`. Its ``name`` is what a card's ``predicts`` and `network` take.
    """

    @abstractmethod
    def weights(self, level: NoiseLevel) -> tuple[float, float]:
        """p and q at a noise level of the SDE that the network was trained on.

        Args:
            level: The level; sigma > 0.

        Returns:
            The factors of ``E[x0 | x]`` and of ``E[noise | x]``.
        """

    def target(self, x0: Tensor, noise: Tensor, level: NoiseLevel) -> Tensor:
        """What the network is trained to answer with where data and noise are known: ``p x0 + q noise``.

        Sampling needs `weights` alone. A subclass may write this as its paper does, for ``bench check`` to
        hold the weights to it.

        Args:
            x0: Clean data (B, ...).
            noise: Standard normal noise (B, ...).
            level: The noise level of ``x = alpha x0 + sigma noise``; sigma > 0.

        Returns:
            The target (B, ...).
        """
        p, q = self.weights(level)
        return p * x0 + q * noise

    def input_factor(self, level: NoiseLevel) -> float:
        """Factor of the state that the network is given.

        Args:
            level: The noise level of the state.

        Returns:
            The factor; 1 by default.
        """
        del level
        return 1.0

    def denoised(self, output: Tensor, x: Tensor, level: NoiseLevel) -> Tensor:
        """``E[x0 | x]`` of an output.

        Args:
            output: What the network answered (B, ...).
            x: The state (B, ...).
            level: Its noise level; sigma > 0.

        Returns:
            The expected clean data (B, ...).

        Raises:
            BenchError: The output does not tell it: at alpha = 0 it is of the noise alone.
        """
        p, q = self.weights(level)
        total = p * level.sigma - q * level.alpha
        if total == 0:
            raise BenchError(
                f"a network that predicts {self.name} does not tell the data where alpha = 0: take an SDE "
                "that ends above alpha = 0, such as vp"
            )
        return _combination(level.sigma / total, output, -q / total, x)

    def noise(self, output: Tensor, x: Tensor, level: NoiseLevel) -> Tensor:
        """``E[noise | x]`` of an output; at alpha = 0 it is ``x / sigma``, whatever the network answers.

        Args:
            output: What the network answered (B, ...).
            x: The state (B, ...).
            level: Its noise level; sigma > 0.

        Returns:
            The expected noise (B, ...).
        """
        if level.alpha == 0:
            return x / level.sigma
        p, q = self.weights(level)
        total = p * level.sigma - q * level.alpha
        return _combination(-level.alpha / total, output, p / total, x)


def _combination(a: float, output: Tensor, b: float, x: Tensor) -> Tensor:
    """``a output + b x``, as a new tensor."""
    total = output * a
    return total if b == 0 else total.add_(x, alpha=b)
