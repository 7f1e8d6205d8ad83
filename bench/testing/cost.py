"""What a sampler costs besides its network: memory per sample, and time per step."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from bench.diffusion.prediction import Prediction
from bench.diffusion.roles import Corrector
from bench.diffusion.sde import SDE
from bench.testing.context import CheckContext
from bench.testing.probe import CountedNoise, FreeModel, Part, prior, with_steps
from bench.testing.report import Finding, verdict

IMAGE = (3, 32, 32)
BATCH = 16
ROUNDS = 5
HEAVY = 500
"""Calls of torch from which on a step is heavy: its own work, not the states' size, decides its time."""


class LiveBytes(TorchFunctionMode):
    """Counts the bytes of all live tensors that calls of torch return, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.peak = 0
        self.known: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: Any) -> None:
        address, size = storage._cdata, storage.nbytes()
        if address in self.known:
            return
        self.known.add(address)
        self.bytes += size
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(storage, self._forget, address, size)

    def _forget(self, address: int, size: int) -> None:
        self.known.discard(address)
        self.bytes -= size


class Calls(TorchFunctionMode):
    """Counts calls of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def is_heavy(part: Part, sde: SDE, context: CheckContext) -> bool:
    """Whether a step of the part costs more than `HEAVY` calls of torch, such as a search of a long path.

    Such a sampler is judged at fewer steps: the count, unlike a time, is the same on every machine. It is of
    a second run: a first one may prepare what later ones find.
    """

    def heavy() -> bool:
        for _ in range(2):
            with Calls() as calls:
                context.trial(with_steps(part, 10), sde, 10, prior(1))
        return bool(calls.count > 10 * HEAVY)

    result: bool = context.once(("heavy", part), heavy)
    return result


def _run(part: Part, sde: SDE, steps: int, context: CheckContext) -> None:
    """The part on a batch of images over a free network."""
    p = Prediction(FreeModel(torch.zeros(BATCH, *IMAGE)), sde)
    sampler = context.sampler(with_steps(part, steps), sde, steps)
    with torch.no_grad():
        sampler.run(torch.ones(BATCH, *IMAGE), p, CountedNoise(), CountedNoise(1))


def memory(part: Part, context: CheckContext) -> Iterator[Finding]:
    """Peak of live tensors over a free network, in states: it must not grow with the number of steps."""
    state = BATCH * 4 * IMAGE[0] * IMAGE[1] * IMAGE[2]
    peaks = []
    for steps in (10, 40):
        with LiveBytes() as live:
            _run(part, context.sdes[0], steps, context)
        peaks.append(live.peak / state)
    grows = peaks[1] > peaks[0] + 0.5
    each = 4 * IMAGE[0] * IMAGE[1] * IMAGE[2] / 1024
    measured = f"{peaks[0]:.1f} states at once ({peaks[0] * each:.0f} KiB a 3x32x32 sample)"
    measured = f"{peaks[0]:.1f} states at 10 steps, {peaks[1]:.1f} at 40" if grows else measured
    yield verdict("memory", not grows, measured, "the same at any number of steps", states=peaks)


def pace(part: Part, context: CheckContext) -> Iterator[Finding]:
    """Time of a step over a free network beside reverse diffusion's, measured in turns; medians."""
    other = context.predictor("reverse_diffusion")
    steps, rounds = (10, 3) if is_heavy(part, context.sdes[0], context) else (40, ROUNDS)
    times: tuple[list[float], list[float]] = [], []
    for turn in range(rounds + 1):
        for sampler, seconds in zip((part, other), times, strict=True):
            start = time.perf_counter()
            _run(sampler, context.sdes[0], steps, context)
            if turn:  # the first turn warms up
                seconds.append((time.perf_counter() - start) / steps)
    own, usual = (float(torch.tensor(seconds).median()) for seconds in times)
    beside = "with ddim's step, " if isinstance(part, Corrector) else ""
    yield Finding(
        "own time",
        "info",
        f"{1e6 * own:.0f} us a step of {BATCH} images over a free network, {beside}"
        f"{own / usual:.2f} times reverse_diffusion's",
        numbers={"microseconds": 1e6 * own, "ratio": own / usual, "batch": BATCH},
    )
