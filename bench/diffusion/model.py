"""A loaded checkpoint as a model of the score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from bench.diffusion.levels import NoiseLevel
from bench.errors import BenchError

if TYPE_CHECKING:
    from torch import Tensor


class Model(ABC):
    """A loaded checkpoint as a score: ``score(x, level) = grad log p_t(x)``, on the data range of a run.

    It lives on one device. A subclass defines `score` and `images`; the other methods raise by default.
    """

    shape: tuple[int, ...]
    """Shape of one state, without the batch axis."""
    classes: int = 0
    """Number of classes that `class_gradient` distinguishes; 0 without a classifier."""

    @abstractmethod
    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        """``grad log p_t(x)`` of the marginal at a noise level.

        Args:
            x: States (B, *shape).
            level: Their noise level.

        Returns:
            The score (B, *shape), a tensor that the caller may overwrite.
        """

    def score_and_variance(self, x: Tensor, level: NoiseLevel) -> tuple[Tensor, Tensor]:
        """The score, and the learned variance's position v between the reverse step's two bounds.

        ``c = exp(v ln c_forward + (1 - v) ln c_posterior)`` is the step's standard deviation (Nichol and
        Dhariwal 2021, eq. 15).

        Args:
            x: States (B, *shape).
            level: Their noise level.

        Returns:
            The score and v in [0, 1], both (B, *shape).

        Raises:
            BenchError: The checkpoint has no learned variance on the run's SDE.
        """
        raise BenchError("the checkpoint has no learned variance (on this SDE)")

    def score_and_divergence(self, x: Tensor, level: NoiseLevel) -> tuple[Tensor, Tensor]:
        """The score and its divergence ``sum_i d score_i / d x_i``.

        Args:
            x: States (B, *shape).
            level: Their noise level.

        Returns:
            The score (B, *shape) and its divergence (B,).

        Raises:
            BenchError: The divergence is not known in closed form.
        """
        raise BenchError("the divergence of this checkpoint's score is not known in closed form")

    def class_gradient(self, x: Tensor, level: NoiseLevel, labels: Tensor) -> Tensor:
        """``grad_x ln p_t(y | x)`` of a classifier on noisy states.

        Args:
            x: States (B, *shape).
            level: Their noise level.
            labels: Classes y (B,), integers.

        Returns:
            The gradient (B, *shape).

        Raises:
            BenchError: The checkpoint has no classifier.
        """
        raise BenchError("this checkpoint has no classifier")

    def of_classes(self, labels: Tensor) -> Model:
        """This model with the classes of one batch, for a class-conditional checkpoint.

        Args:
            labels: The class of each state (B,), integers; -1 stands for no class.

        Returns:
            The model of ``p_t(x | y)``, which takes states of that batch alone.

        Raises:
            BenchError: The checkpoint is not class-conditional.
        """
        del labels
        raise BenchError("this checkpoint is not class-conditional")

    @abstractmethod
    def images(self, x: Tensor) -> Tensor:
        """Items of states: on the unit range (pixels on [0, 1]), not clipped.

        Args:
            x: States (B, *shape).

        Returns:
            Items (B, *shape).
        """

    def states(self, images: Tensor) -> Tensor:
        """States of images: the inverse of `images`.

        Args:
            images: Items (B, *shape) on the unit range.

        Returns:
            States (B, *shape).

        Raises:
            BenchError: The model takes no images.
        """
        raise BenchError("this checkpoint's model takes no images")


class Denoiser(Model):
    """A model defined by a denoiser of data on ``own_range``: ``D(x; sigma) = E[x0 | x0 + sigma noise = x]``.

    One denoiser serves every SDE: ``x / alpha`` is clean data plus noise of deviation sigma / alpha, so

        score(x, t) = (alpha D(x / alpha; sigma / alpha) - x) / sigma^2,

    with x and sigma moved affinely from the run's data range to the denoiser's own.

    Args:
        shape: Shape of one item: (C, H, W) of an image, (D,) of a point.
        own_range: The range of the data on which the denoiser was trained.
        run_range: The data range of the run's SDE.

    Source: Karras et al. (2022), eq. 3.
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
        """``D(x; sigma) = E[x0 | x0 + sigma noise = x]`` on the denoiser's own range.

        Args:
            x: Noisy items (B, *shape).
            sigma: Standard deviation of their noise.

        Returns:
            The expected clean items (B, *shape).
        """

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
