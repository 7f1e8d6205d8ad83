"""Prediction: a checkpoint's model and its convention, asked at (x, noise level)."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self, TypeAlias, TypeVar

import numpy as np

from bench.diffusion.counting import evaluations_of
from bench.diffusion.levels import NoiseLevel, RowLevels
from bench.diffusion.model import (
    Model,
    NegligibleData,
    denoised_of_score,
    velocity_of_denoised,
    velocity_of_score,
)
from bench.diffusion.sde import SDE
from bench.errors import BenchError
from bench.types import Array

if TYPE_CHECKING:
    from torch import Tensor, device

    from bench.diffusion.condition import Condition

T = TypeVar("T")

At: TypeAlias = "NoiseLevel | float | Array | Tensor"
"""Where a state is: at a noise level, at a time t on the run's SDE, or each at a time of its own (B,)."""

OnCall = Callable[["Tensor", int], None]
"""``on_call(x, calls)``: the state (B, ...) of a network call, and the calls so far with this one."""


class Clock:
    """Time spent in calls, measured without a wait for the device: host time on a CPU, events on a GPU."""

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


def _is_per_row(at: At) -> bool:
    """Whether it is a time for each row."""
    return not isinstance(at, NoiseLevel) and getattr(at, "ndim", 0) > 0


Ask = Callable[["Prediction", "Tensor", At], "Tensor"]


def _any_time(method: Ask) -> Ask:
    """A method that takes a time for each row too, and the first step's analytic answer."""

    @functools.wraps(method)
    def ask(self: Prediction, x: Tensor, at: At) -> Tensor:
        if _is_per_row(at):
            return self._at_times(ask, x, at)
        if self._start is not None and self._level(at).t >= self.sde.end:
            return method(self._start, x, at)
        return method(self, x, at)

    return ask


class _Counter:
    """Network calls of a run: predictions that derive from each other share one."""

    def __init__(self) -> None:
        self.calls = 0


class Prediction:
    """A run's network, asked for what a sampler's equation is written in; times every call.

    ``p.score(x, t) = grad log p_t(x)``, ``p.denoised(x, t) = E[x0 | x]``, ``p.noise(x, t) = E[noise | x]``,
    ``p.velocity(x, t) = dx/dt`` of the probability flow; each is one network call. A sampler receives a
    prediction and calls it as often as its equations need. `guided`, `observed` and `of_rows` derive
    predictions that share the counter and the clock, and leave this one unchanged.

    These four take a time t for each state too, (B,): an exact checkpoint is then evaluated level by level, a
    network is called once. A sampler that asks for some samples of its batch, or for several states of one,
    says which by `of_rows`.

    Args:
        model: The loaded checkpoint.
        sde: The run's SDE.
        clock: Adds up the time of the calls; None does not time them.
        labels: The level at which the network is called for each level of the uniform grid, smallest noise
            first; None calls it at the step's own level.
    """

    def __init__(
        self, model: Model, sde: SDE, clock: Clock | None = None, labels: Sequence[NoiseLevel] | None = None
    ) -> None:
        self.model = model
        self.sde = sde
        self.clock = clock
        self.labels = labels
        self._counter = _Counter()
        self._condition: Condition | None = None
        self._on_call: OnCall | None = None
        self._rows: Tensor | None = None
        self._start: Prediction | None = None

    @property
    def calls(self) -> int:
        """Calls of this prediction so far, for progress; a run's NFE is counted in the loaded models."""
        return self._counter.calls

    def guided(self, condition: Condition) -> Self:
        """This prediction with the condition's guide: its score is ``condition.combine(score, x, level)``.

        Args:
            condition: The conditioning of the batch.

        Returns:
            A prediction that shares this one's counter and clock.
        """
        derived = copy.copy(self)
        derived._condition = condition if condition.guides else None
        return derived

    def observed(self, on_call: OnCall) -> Self:
        """This prediction with ``on_call(x, calls)`` before every network call.

        Args:
            on_call: Receives the state (B, ...) and the number of calls, this one included.

        Returns:
            A prediction that shares this one's counter and clock.
        """
        derived = copy.copy(self)
        derived._on_call = on_call
        return derived

    def with_analytic_start(self) -> Self:
        """This prediction, which answers at T as `NegligibleData` does: no network call, and no guide.

        Returns:
            A prediction that shares this one's counter and clock.
        """
        derived = copy.copy(self)
        derived._start = Prediction(NegligibleData(self.model, self.sde.data_range), self.sde)
        return derived

    def of_rows(self, rows: Tensor) -> Self:
        """This prediction for states of some samples of the batch.

        Class labels and a condition's guide are then those of these samples, and calls count for them: a
        run's record holds the mean number of network calls over samples, and the greatest. So a sampler asks
        for the samples alone that have not arrived, or for W times of each in one call, with
        ``rows = torch.arange(B).repeat(W)``.

        Args:
            rows: The sample of each state (M,), from 0 to B - 1, int64 on the states' device; a sample may be
                there several times, or not at all.

        Returns:
            A prediction of states (M, ...), which shares this one's counter and clock.

        Raises:
            BenchError: ``rows`` is no such tensor, or the condition takes whole batches alone.
        """
        if rows.dim() != 1 or rows.dtype.is_floating_point or rows.element_size() != 8:
            raise BenchError(
                f"of_rows takes the numbers of samples (M,), int64, not {tuple(rows.shape)} {rows.dtype}: of "
                "a mask take mask.nonzero()[:, 0]"
            )
        derived = self._part(rows)
        derived._rows = rows if self._rows is None else self._rows[rows]
        return derived

    @_any_time
    def score(self, x: Tensor, at: At) -> Tensor:
        """``grad log p_t(x)``, plus the condition's guide; one network call.

        Args:
            x: The state (B, ...).
            at: Its noise level, its time t on the run's SDE, or a time for each row (B,).

        Returns:
            The score (B, ...).
        """
        return self._with_guide(self._call(self.model.score, x, at), x, at)

    @_any_time
    def denoised(self, x: Tensor, at: At) -> Tensor:
        """``E[x0 | x]``, the expected clean data, of the conditioned score; one network call.

        Args:
            x: The state (B, ...).
            at: Its noise level, its time t on the run's SDE, or a time for each row (B,).

        Returns:
            Clean states (B, ...).

        Raises:
            BenchError: alpha is 0, and the checkpoint does not know the data there, or a condition guides the
                score alone.
        """
        level = self._level(at)
        if self._follows_model or level.alpha == 0:
            denoised = self._call(self.model.denoised, x, level)
            if self._condition is None:
                return denoised
            return self._condition.combine_denoised(denoised, x, level)
        return denoised_of_score(x, self.score(x, level), level)

    @_any_time
    def noise(self, x: Tensor, at: At) -> Tensor:
        """``E[noise | x]``, the expected noise, of the conditioned score; one network call.

        Args:
            x: The state (B, ...).
            at: Its noise level, its time t on the run's SDE, or a time for each row (B,).

        Returns:
            The noise (B, ...); where alpha is 0 it is ``x / sigma``.
        """
        level = self._level(at)
        if self._follows_model:
            return self._call(self.model.noise, x, level)
        return self.score(x, level).mul_(-level.sigma)

    @_any_time
    def velocity(self, x: Tensor, at: At) -> Tensor:
        """``alpha' E[x0 | x] + sigma' E[noise | x]``, the slope dx/dt of the probability flow; one call.

        Args:
            x: The state (B, ...).
            at: Its noise level, its time t on the run's SDE, or a time for each row (B,).

        Returns:
            dx/dt (B, ...).

        Raises:
            BenchError: As `denoised`.

        Source: Song et al. (2021), eq. 13.
        """
        level = self._with_slopes(at)
        if self._follows_model:
            return self._call(self.model.velocity, x, level)
        if level.alpha == 0:
            return velocity_of_denoised(x, self.denoised(x, level), level)
        return velocity_of_score(x, self.score(x, level), level)

    def clipped(self, clean: Tensor) -> Tensor:
        """Predicted clean states, their items clipped to the data's range: pixels, whatever the states are.

        Args:
            clean: Clean states (B, ...), such as `denoised` returns.

        Returns:
            The states (B, ...).
        """
        return self.model.clipped(clean)

    def velocity_and_divergence(self, x: Tensor, at: At) -> tuple[Tensor, Tensor]:
        """The velocity, without the guide, and its exact divergence; one network call.

        Args:
            x: The state (B, ...).
            at: Its noise level, or its time t on the run's SDE.

        Returns:
            dx/dt (B, ...) and its divergence ``sum_i d velocity_i / d x_i`` (B,).

        Raises:
            BenchError: The checkpoint's divergence is not known in closed form.
        """
        return self._call(self.model.velocity_and_divergence, x, self._with_slopes(at))

    @property
    def _follows_model(self) -> bool:
        """Whether the model's own conversions apply: no guide, and each level is its own label."""
        return self._condition is None and self.labels is None

    def _level(self, at: At) -> NoiseLevel:
        if _is_per_row(at):
            raise BenchError("a variance or a divergence is asked for at one time for the whole batch")
        return at if isinstance(at, NoiseLevel) else self.sde.at(float(at))

    def _at_times(self, ask: Ask, x: Tensor, at: At) -> Tensor:
        """The answers at a time for each row (B,), one network call.

        Rows of one time are asked for together, as at a level of the whole batch.
        """
        import torch

        times = np.asarray(at.tolist() if isinstance(at, torch.Tensor) else at, dtype=np.float64)
        if times.shape != (len(x),):
            raise BenchError(f"times of shape {times.shape} for {len(x)} states: give one, or one for each")
        distinct, of_row, counts = np.unique(times, return_inverse=True, return_counts=True)
        if len(distinct) == 1:
            return ask(self, x, float(distinct[0]))
        if ask.__name__ == "score" and self._follows_model and self._start is None:
            levels = RowLevels(times, self.sde.alpha(times), self.sde.sigma(times))
            if min(levels.alpha.min(), levels.sigma.min()) > 0:
                scores = self._scores_of_rows(x, levels)
                if scores is not None:
                    return scores
        order = torch.from_numpy(np.argsort(of_row, kind="stable")).to(x.device)
        parts = order.split(counts.tolist())

        def question(t: float, rows: Tensor) -> Callable[[Model, bool], Tensor]:
            return lambda model, timed: ask(self._silent(model, timed)._part(rows), x[rows], t)

        self._note_call(x)
        questions = [question(t, rows) for t, rows in zip(distinct.tolist(), parts, strict=True)]
        with evaluations_of(self._rows):
            answers = torch.cat(self.model.at_once(questions, self.clock or contextlib.nullcontext()))
        return torch.empty_like(answers).index_copy_(0, order, answers)

    def _scores_of_rows(self, x: Tensor, levels: RowLevels) -> Tensor | None:
        """The scores by one call of the model, where it takes a level for each state."""
        with evaluations_of(self._rows), self.clock or contextlib.nullcontext():
            scores = self.model.score_of_rows(x, levels)
        if scores is not None:
            self._note_call(x)
        return scores

    def _part(self, rows: Tensor) -> Self:
        """This prediction of other rows, whose calls count for the same samples."""
        derived = copy.copy(self)
        derived.model = self.model.of_rows(rows)
        if self._condition is not None:
            derived._condition = self._condition.of_rows(rows)
        return derived

    def _silent(self, model: Model, timed: bool) -> Self:
        """This prediction of another model, whose calls no one notes."""
        derived = copy.copy(self)
        derived.model, derived.clock = model, self.clock if timed else None
        derived._counter, derived._on_call, derived._rows = _Counter(), None, None
        return derived

    def _note_call(self, x: Tensor) -> None:
        self._counter.calls += 1
        if self._on_call is not None:
            self._on_call(x, self._counter.calls)

    def _with_slopes(self, at: At) -> NoiseLevel:
        """The level, with the slopes of the run's SDE where it was made without."""
        level = self._level(at)
        if level.alpha_slope is not None:
            return level
        own = self.sde.at(level.t)
        return dataclasses.replace(level, alpha_slope=own.alpha_slope, sigma_slope=own.sigma_slope)

    def score_and_variance(self, x: Tensor, at: At) -> tuple[Tensor, Tensor]:
        """The score, plus the condition's guide, and the learned variance; one network call.

        Args:
            x: The state (B, ...).
            at: Its noise level, or its time t on the run's SDE.

        Returns:
            The score and the position v of the variance (`Model.score_and_variance`), both (B, ...).

        Raises:
            BenchError: The checkpoint has no learned variance on the run's SDE.
        """
        score, variance = self._call(self.model.score_and_variance, x, at)
        return self._with_guide(score, x, at), variance

    def score_and_divergence(self, x: Tensor, at: At) -> tuple[Tensor, Tensor]:
        """The score, without the guide, and its exact divergence; one network call.

        Args:
            x: The state (B, ...).
            at: Its noise level, or its time t on the run's SDE.

        Returns:
            The score (B, ...) and its divergence ``sum_i d score_i / d x_i`` (B,).

        Raises:
            BenchError: The checkpoint's divergence is not known in closed form.
        """
        return self._call(self.model.score_and_divergence, x, at)

    def _with_guide(self, score: Tensor, x: Tensor, at: At) -> Tensor:
        if self._condition is None:
            return score
        return self._condition.combine(score, x, self._level(at))

    def _call(self, network: Callable[[Tensor, NoiseLevel], T], x: Tensor, at: At) -> T:
        level = self._level(at)
        if self.labels is not None and level.index is not None:
            level = self.labels[level.index]
        self._note_call(x)
        with evaluations_of(self._rows), self.clock or contextlib.nullcontext():
            return network(x, level)
