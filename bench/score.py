"""ScoreFunction: a checkpoint's model and its convention, as a score at (x, noise level); counts NFE."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from bench.errors import BenchError
from bench.sde import SDE, Level

if TYPE_CHECKING:
    from torch import Tensor, device

T = TypeVar("T")


class Model(ABC):
    """A loaded checkpoint, bound to a device and to the data range of a run.

    ``shape`` is the shape of one state without the batch; ``classes`` how many classes `class_gradient` tells
    apart.
    """

    shape: tuple[int, ...]
    classes: int = 0

    @abstractmethod
    def score(self, x: Tensor, level: Level) -> Tensor:
        """Score ``grad log p(x)`` of the marginal at ``level``; x (B, *shape), result alike."""

    def score_and_variance(self, x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        """Score, and the learned variance's place v in [0, 1] between the reverse step's two bounds."""
        raise BenchError("the checkpoint has no learned variance (on this SDE)")

    def score_and_divergence(self, x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        """Score and its divergence ``sum_i d score_i / d x_i`` (B,), where it is known in closed form."""
        raise BenchError("the divergence of this checkpoint's score is not known in closed form")

    def class_gradient(self, x: Tensor, level: Level, labels: Tensor) -> Tensor:
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

    def score(self, x: Tensor, level: Level) -> Tensor:
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


class Clock:
    """Time spent in calls, without stopping the device: host time on a CPU, events on a GPU."""

    def __init__(self, device: device) -> None:
        self._cuda = device.type == "cuda"
        self._seconds = 0.0
        self._start = 0.0
        self._events: list[tuple[object, object]] = []

    def __enter__(self) -> None:
        if self._cuda:
            import torch

            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            self._events.append((begin, end))
        else:
            self._start = time.perf_counter()

    def __exit__(self, *exc: object) -> None:
        if self._cuda:
            self._events[-1][1].record()  # type: ignore[attr-defined]
        else:
            self._seconds += time.perf_counter() - self._start

    def seconds(self) -> float:
        """Total so far; on a GPU this waits for the device."""
        if self._cuda and self._events:
            import torch

            torch.cuda.synchronize()
            self._seconds += sum(b.elapsed_time(e) for b, e in self._events) / 1000  # type: ignore[attr-defined]
            self._events.clear()
        return self._seconds


class ScoreFunction:
    """``score(x, level)`` or ``score(x, t)`` of one run, counting and timing every call of the model.

    ``calls`` is the NFE per sample: a call evaluates each sample of the batch once. ``on_call(x, calls)``
    is told of every call before it is made. With ``labels``, one level per scale of the uniform grid, the
    model is asked at the label's level in place of the scale's own. ``guidance(x, level)``, where it is set
    and not None, is added to the score.
    """

    def __init__(
        self, model: Model, sde: SDE, clock: Clock | None = None, labels: Sequence[Level] | None = None
    ) -> None:
        self.model = model
        self.sde = sde
        self.clock = clock
        self.labels = labels
        self.calls = 0
        self.on_call: Callable[[Tensor, int], None] | None = None
        self.guidance: Callable[[Tensor, Level], Tensor | None] | None = None

    def __call__(self, x: Tensor, at: Level | float) -> Tensor:
        """The score at x (B, ...)."""
        return self._guided(self._asked(self.model.score, x, at), x, at)

    def with_variance(self, x: Tensor, at: Level | float) -> tuple[Tensor, Tensor]:
        """The score and the learned variance, in one call (`Model.score_and_variance`)."""
        score, variance = self._asked(self.model.score_and_variance, x, at)
        return self._guided(score, x, at), variance

    def with_divergence(self, x: Tensor, at: Level | float) -> tuple[Tensor, Tensor]:
        """The score and its exact divergence, in one call (`Model.score_and_divergence`)."""
        return self._asked(self.model.score_and_divergence, x, at)

    def _guided(self, score: Tensor, x: Tensor, at: Level | float) -> Tensor:
        if self.guidance is None:
            return score
        guide = self.guidance(x, at if isinstance(at, Level) else self.sde.at(at))
        return score if guide is None else score + guide

    def _asked(self, ask: Callable[[Tensor, Level], T], x: Tensor, at: Level | float) -> T:
        level = at if isinstance(at, Level) else self.sde.at(at)
        if self.labels is not None and level.index is not None:
            level = self.labels[level.index]
        self.calls += 1
        if self.on_call is not None:
            self.on_call(x, self.calls)
        if self.clock is None:
            return ask(x, level)
        with self.clock:
            return ask(x, level)
