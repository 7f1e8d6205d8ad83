"""A loaded checkpoint as a model of the score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from bench.diffusion.levels import NoiseLevel
from bench.errors import BenchError

if TYPE_CHECKING:
    from torch import Tensor


class Model(ABC):
    """A loaded checkpoint, bound to a device and to the data range of a run.

    ``shape`` is the shape of one state without the batch; ``classes`` how many classes `class_gradient` tells
    apart.
    """

    shape: tuple[int, ...]
    classes: int = 0

    @abstractmethod
    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        """Score ``grad log p(x)`` of the marginal at ``level``; x (B, *shape), result alike."""

    def score_and_variance(self, x: Tensor, level: NoiseLevel) -> tuple[Tensor, Tensor]:
        """Score, and the learned variance's place v in [0, 1] between the reverse step's two bounds."""
        raise BenchError("the checkpoint has no learned variance (on this SDE)")

    def score_and_divergence(self, x: Tensor, level: NoiseLevel) -> tuple[Tensor, Tensor]:
        """Score and its divergence ``sum_i d score_i / d x_i`` (B,), where it is known in closed form."""
        raise BenchError("the divergence of this checkpoint's score is not known in closed form")

    def class_gradient(self, x: Tensor, level: NoiseLevel, labels: Tensor) -> Tensor:
        """``grad_x ln p_t(y | x)`` at a level for labels y (B,), integers; x (B, *shape), result alike."""
        raise BenchError("this checkpoint has no classifier")

    @abstractmethod
    def images(self, x: Tensor) -> Tensor:
        """States as images (B, C, H, W) on [0, 1], not clipped."""

    def states(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) on [0, 1] as states: the inverse of `images`."""
        raise BenchError("this checkpoint's model takes no images in")


class Denoiser(Model):
    """A model given by a denoiser of data on ``own_range``: ``D(x; sigma) = E[x0 | x0 + sigma noise = x]``.

    One denoiser serves every SDE: ``x / alpha`` is clean data with noise of level sigma / alpha, so

        score(x, t) = (alpha D(x / alpha; sigma / alpha) - x) / sigma^2,

    with x and sigma moved affinely from the run's data range to the denoiser's own.
    """

    def __init__(
        self, shape: tuple[int, ...], own_range: tuple[float, float], run_range: tuple[float, float]
    ):
        self.shape = shape
        self.gain = (own_range[1] - own_range[0]) / (run_range[1] - run_range[0])
        self.shift = own_range[0] - self.gain * run_range[0]
        self.run_range = run_range

    @abstractmethod
    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        """D(x; sigma) on the denoiser's own range; x (B, C, H, W)."""

    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        gain, shift = self.gain, self.shift
        y = x * (gain / level.alpha) + shift if shift else x * (gain / level.alpha)
        denoised = self.denoise(y, gain * level.sigma / level.alpha)
        # alpha (D - shift) / gain - x, all over sigma^2
        scaled = (denoised - shift) if shift else denoised
        return (scaled * (level.alpha / gain)).sub_(x).mul_(level.sigma**-2)

    def images(self, x: Tensor) -> Tensor:
        low, high = self.run_range
        return (x - low) / (high - low)

    def states(self, images: Tensor) -> Tensor:
        low, high = self.run_range
        return images * (high - low) + low
