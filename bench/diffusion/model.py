"""A loaded checkpoint as a model of the score."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeVar

from bench.diffusion.levels import NoiseLevel, RowLevels
from bench.errors import BenchError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

NO_DATA = (
    "where alpha = 0 a score says nothing of the data: take an SDE that ends above alpha = 0, such as vp, or "
    "a checkpoint that knows the clean data there"
)


def denoised_of_score(x: Tensor, score: Tensor, level: NoiseLevel) -> Tensor:
    """``E[x0 | x] = (x + sigma^2 score) / alpha``; alpha > 0."""
    return x.add(score, alpha=level.sigma**2).div_(level.alpha)


def score_of_denoised(x: Tensor, denoised: Tensor, level: NoiseLevel) -> Tensor:
    """``score = (alpha E[x0 | x] - x) / sigma^2``; sigma > 0. May overwrite ``denoised``."""
    return denoised.mul_(level.alpha).sub_(x).mul_(level.sigma**-2)


def noise_of_denoised(x: Tensor, denoised: Tensor, level: NoiseLevel) -> Tensor:
    """``E[noise | x] = (x - alpha E[x0 | x]) / sigma``; sigma > 0."""
    return x.sub(denoised, alpha=level.alpha).div_(level.sigma)


def velocity_of_denoised(x: Tensor, denoised: Tensor, level: NoiseLevel) -> Tensor:
    """``alpha' D + sigma' (x - alpha D) / sigma`` with ``D = E[x0 | x]``; sigma > 0."""
    alpha_slope, sigma_slope = slopes(level)
    of_noise = sigma_slope / level.sigma
    return x.mul(of_noise).add_(denoised, alpha=alpha_slope - of_noise * level.alpha)


def velocity_of_score(x: Tensor, score: Tensor, level: NoiseLevel) -> Tensor:
    """``f x - g^2 score / 2``, ``f = alpha' / alpha``, ``g^2 / 2 = sigma (sigma' - f sigma)``; alpha > 0."""
    alpha_slope, sigma_slope = slopes(level)
    f = alpha_slope / level.alpha
    return x.mul(f).sub_(score, alpha=level.sigma * (sigma_slope - f * level.sigma))


def slopes(level: NoiseLevel) -> tuple[float, float]:
    """alpha' and sigma' of a level; `BenchError` where it was made without them."""
    if level.alpha_slope is None or level.sigma_slope is None:
        raise BenchError("a velocity needs the slopes of its noise level: take the level of sde.at(t)")
    return level.alpha_slope, level.sigma_slope


class Model(ABC):
    """A loaded checkpoint as a score: ``score(x, level) = grad log p_t(x)``, on the data range of a run.

    It lives on one device. A subclass defines `score` and `images`. `denoised`, `noise` and `velocity` follow
    from the score by default, and a model that knows more than the score at alpha = 0 defines `denoised` too;
    the other methods raise by default.
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

    def score_of_rows(self, x: Tensor, levels: RowLevels) -> Tensor | None:
        """The scores of states that are each at a level of its own, at once; None, the default, where a model
        is asked level by level (`at_once`).

        Args:
            x: States (B, *shape).
            levels: Their noise levels, alpha and sigma above 0.

        Returns:
            The scores (B, *shape), a tensor that the caller may overwrite.
        """
        del x, levels
        return None

    def denoised(self, x: Tensor, level: NoiseLevel) -> Tensor:
        """``E[x0 | x]``, the expected clean data; by default ``(x + sigma^2 score) / alpha``.

        Args:
            x: States (B, *shape).
            level: Their noise level.

        Returns:
            Clean states (B, *shape); at sigma = 0 they are ``x / alpha``, without a call of the network.

        Raises:
            BenchError: alpha is 0, and the model knows the score alone.
        """
        if level.sigma == 0:
            return x / level.alpha
        if level.alpha == 0:
            raise BenchError(NO_DATA)
        return denoised_of_score(x, self.score(x, level), level)

    def noise(self, x: Tensor, level: NoiseLevel) -> Tensor:
        """``E[noise | x]``, the expected noise; by default ``-sigma score``.

        Args:
            x: States (B, *shape).
            level: Their noise level.

        Returns:
            The noise (B, *shape); at alpha = 0 it is ``x / sigma``.
        """
        return self.score(x, level).mul_(-level.sigma)

    def velocity(self, x: Tensor, level: NoiseLevel) -> Tensor:
        """The probability flow's slope ``dx/dt = alpha' E[x0 | x] + sigma' E[noise | x]``.

        By default it is made of the score, ``f x - g^2 score / 2``, and at alpha = 0 of `denoised`.

        Args:
            x: States (B, *shape).
            level: Their noise level, with both slopes.

        Returns:
            dx/dt (B, *shape).

        Raises:
            BenchError: As `denoised`.

        Source: Song et al. (2021), eq. 13.
        """
        if level.alpha == 0:
            return velocity_of_denoised(x, self.denoised(x, level), level)
        return velocity_of_score(x, self.score(x, level), level)

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

    def velocity_and_divergence(self, x: Tensor, level: NoiseLevel) -> tuple[Tensor, Tensor]:
        """The velocity and its divergence ``sum_i d velocity_i / d x_i``.

        Args:
            x: States (B, *shape).
            level: Their noise level, with both slopes.

        Returns:
            The velocity (B, *shape) and its divergence (B,).

        Raises:
            BenchError: As `score_and_divergence`.
        """
        dimension = x.new_full((len(x),), x[0].numel())
        if level.alpha == 0:
            # E[x0 | x] is the same for all x
            velocity = self.velocity(x, level)
            return velocity, velocity_of_denoised(dimension, dimension.new_zeros(()), level)
        score, divergence = self.score_and_divergence(x, level)
        # of f x - g^2 score / 2, term by term
        return velocity_of_score(x, score, level), velocity_of_score(dimension, divergence, level)

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

    def of_rows(self, rows: Tensor) -> Model:
        """This model for states of some samples of a batch; by default itself.

        Args:
            rows: The sample of each state (M,), integers; a sample may be there several times, or not at all.

        Returns:
            The model that takes these M states.
        """
        del rows
        return self

    def at_once(
        self, questions: Sequence[Callable[[Model, bool], T]], clock: AbstractContextManager[object]
    ) -> list[T]:
        """The answers to several questions, such as the scores at several noise levels.

        A network that can be called once for all does so; by default the questions are asked one by one.

        Args:
            questions: ``question(model, timed)`` asks the model once; if ``timed``, it times the call itself.
            clock: Times a call for all.

        Returns:
            The answers, in order.
        """
        del clock
        return [question(self, True) for question in questions]

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

    @property
    def states_are_items(self) -> bool:
        """Whether each value of a state is one of its item, so that what acts on states acts on pixels."""
        return True

    def clipped(self, x: Tensor) -> Tensor:
        """States of the items of ``x``, clipped to the unit range.

        Args:
            x: States (B, *shape).

        Returns:
            States (B, *shape).
        """
        return self.states(self.images(x).clamp(0, 1))


class NegligibleData(Model):
    """What is known of a state at T without a network: ``E[noise | x] = x / sqrt(alpha^2 + sigma^2)``.

    The data are negligible there, so that the slope of the first step is analytic (AFS). On VP the noise is
    x, as GENIE has it; where alpha is 1 it is ``x / sqrt(1 + sigma^2)``, as AMED-Solver has it. Both are of
    data on [-1, 1]: on a range of another middle c and half width h it is
    ``(x - alpha c) / sqrt((alpha h)^2 + sigma^2)``. alpha > 0.

    Args:
        model: The model whose place it takes, for the state of the middle.
        data_range: The data range of the run.

    Source: Dockhorn et al. (2022), GENIE; Zhou et al. (2024), AMED-Solver.
    """

    def __init__(self, model: Model, data_range: tuple[float, float]) -> None:
        self.shape, self.model = model.shape, model
        low, high = data_range
        self.middle, self.half_width = (low + high) / 2, (high - low) / 2

    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        if self.middle:
            x = x - level.alpha * self.model.states(x.new_full((1, *self.shape), 0.5))
        return x / (-level.sigma * math.hypot(level.alpha * self.half_width, level.sigma))

    def images(self, x: Tensor) -> Tensor:
        return self.model.images(x)


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

    noisiest: float = 80.0
    """sigma, on the denoiser's own range, at which it is asked where alpha = 0 and sigma / alpha is infinite;
    80 is the largest that Karras et al. (2022) sample from."""

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
        return score_of_denoised(x, self.denoised(x, level), level)

    def denoised(self, x: Tensor, level: NoiseLevel) -> Tensor:
        if level.sigma == 0:
            return x / level.alpha
        gain, shift = self.gain, self.shift
        # at alpha = 0, x is noise alone, and so it is at the noisiest level that the denoiser knows
        sigma = self.noisiest if level.alpha == 0 else gain * level.sigma / level.alpha
        y = x * (sigma / level.sigma) if level.alpha == 0 else x * (gain / level.alpha)
        denoised = self.denoise(y + shift if shift else y, sigma)
        if shift:
            denoised = denoised - shift
        return denoised / gain

    def noise(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return noise_of_denoised(x, self.denoised(x, level), level)

    def velocity(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return velocity_of_denoised(x, self.denoised(x, level), level)

    def clipped(self, x: Tensor) -> Tensor:
        return x.clamp(*self.run_range)

    def images(self, x: Tensor) -> Tensor:
        low, high = self.run_range
        return (x - low) / (high - low)

    def states(self, images: Tensor) -> Tensor:
        low, high = self.run_range
        return images * (high - low) + low
