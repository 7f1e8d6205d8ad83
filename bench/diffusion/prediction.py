"""Prediction: a checkpoint's model and its convention, as a score at (x, noise level); counts NFE."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from bench.diffusion.levels import NoiseLevel
from bench.diffusion.model import Model
from bench.diffusion.sde import SDE

if TYPE_CHECKING:
    from torch import Tensor, device


T = TypeVar("T")


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


class Prediction:
    """``p.score(x, level)`` or ``p.score(x, t)`` of one run, counting and timing every call of the model.

    ``calls`` is the NFE per sample: a call evaluates each sample of the batch once. ``on_call(x, calls)``
    is told of every call before it is made. With ``labels``, one level per scale of the uniform grid, the
    model is asked at the label's level in place of the scale's own. ``guidance(x, level)``, where it is set
    and not None, is added to the score.
    """

    def __init__(
        self, model: Model, sde: SDE, clock: Clock | None = None, labels: Sequence[NoiseLevel] | None = None
    ) -> None:
        self.model = model
        self.sde = sde
        self.clock = clock
        self.labels = labels
        self.calls = 0
        self.on_call: Callable[[Tensor, int], None] | None = None
        self.guidance: Callable[[Tensor, NoiseLevel], Tensor | None] | None = None

    def score(self, x: Tensor, at: NoiseLevel | float) -> Tensor:
        """The score at x (B, ...)."""
        return self._guided(self._asked(self.model.score, x, at), x, at)

    def score_and_variance(self, x: Tensor, at: NoiseLevel | float) -> tuple[Tensor, Tensor]:
        """The score and the learned variance, in one call (`Model.score_and_variance`)."""
        score, variance = self._asked(self.model.score_and_variance, x, at)
        return self._guided(score, x, at), variance

    def score_and_divergence(self, x: Tensor, at: NoiseLevel | float) -> tuple[Tensor, Tensor]:
        """The score and its exact divergence, in one call (`Model.score_and_divergence`)."""
        return self._asked(self.model.score_and_divergence, x, at)

    def _guided(self, score: Tensor, x: Tensor, at: NoiseLevel | float) -> Tensor:
        if self.guidance is None:
            return score
        guide = self.guidance(x, at if isinstance(at, NoiseLevel) else self.sde.at(at))
        return score if guide is None else score + guide

    def _asked(self, ask: Callable[[Tensor, NoiseLevel], T], x: Tensor, at: NoiseLevel | float) -> T:
        level = at if isinstance(at, NoiseLevel) else self.sde.at(at)
        if self.labels is not None and level.index is not None:
            level = self.labels[level.index]
        self.calls += 1
        if self.on_call is not None:
            self.on_call(x, self.calls)
        if self.clock is None:
            return ask(x, level)
        with self.clock:
            return ask(x, level)
