"""What a sampler costs besides its network: memory per sample, and time per step."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bench.diffusion.prediction import Prediction
from bench.diffusion.roles import Corrector
from bench.diffusion.sampler import Sampler
from bench.diffusion.sde import SDE
from bench.plugins.registry import registry
from bench.testing.probe import Free, Part, Stream, sampler, with_steps
from bench.testing.report import Finding, judged

IMAGE = (3, 32, 32)
BATCH = 16
ROUNDS = 5


class _Live(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive, and their peak."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for one in found if isinstance(found, tuple | list) else (found,):
            if isinstance(one, torch.Tensor):
                self._see(one.untyped_storage())
        return found

    def _see(self, storage: Any) -> None:
        place, size = storage._cdata, storage.nbytes()
        if place in self.known:
            return
        self.known.add(place)
        self.bytes += size
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(storage, self._gone, place, size)

    def _gone(self, place: int, size: int) -> None:
        self.known.discard(place)
        self.bytes -= size


def _run(part: Part, sde: SDE, steps: int, batch: int) -> Sampler:
    made = sampler(with_steps(part, steps), sde, steps)
    x = torch.ones(batch, *IMAGE)
    score = Prediction(Free(torch.zeros(batch, *IMAGE)), sde)
    with torch.no_grad():
        made.run(x, score, Stream(), Stream(1))
    return made


def memory(part: Part, sde: SDE) -> Iterator[Finding]:
    """Peak of live tensors over a free network, in states: it must not grow with the number of steps."""
    state = BATCH * 4 * IMAGE[0] * IMAGE[1] * IMAGE[2]
    peaks = []
    for steps in (10, 40):
        with _Live() as live:
            _run(part, sde, steps, BATCH)
        peaks.append(live.peak / state)
    grows = peaks[1] > peaks[0] + 0.5
    each = 4 * IMAGE[0] * IMAGE[1] * IMAGE[2] / 1024
    said = f"{peaks[0]:.1f} states at once ({peaks[0] * each:.0f} KiB a 3x32x32 sample)"
    said = f"{peaks[0]:.1f} states at 10 steps, {peaks[1]:.1f} at 40" if grows else said
    yield judged("memory", not grows, said, "the same at any number of steps", states=peaks)


def pace(part: Part, sde: SDE) -> Iterator[Finding]:
    """Time of a step over a free network beside reverse diffusion's, measured in turns; medians."""
    rival = registry().build("predictors", "reverse_diffusion", {})
    steps = 40
    times: dict[str, list[float]] = {"own": [], "rival": []}
    for turn in range(ROUNDS + 1):
        for who, one in (("own", part), ("rival", rival)):
            begun = time.perf_counter()
            _run(one, sde, steps, BATCH)
            if turn:  # the first warms up
                times[who].append((time.perf_counter() - begun) / steps)
    own, other = (float(torch.tensor(times[who]).median()) for who in ("own", "rival"))
    beside = "with ddim's step, " if isinstance(part, Corrector) else ""
    yield Finding(
        "own time",
        "info",
        f"{1e6 * own:.0f} us a step of {BATCH} images over a free network, {beside}"
        f"{own / other:.2f} times reverse_diffusion's",
        numbers={"microseconds": 1e6 * own, "ratio": own / other, "batch": BATCH},
    )
