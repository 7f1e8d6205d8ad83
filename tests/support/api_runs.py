"""Runs by the Python API: their options, plugins passed as classes, and the cells of a notebook."""

from __future__ import annotations

import itertools
import linecache
from pathlib import Path
from typing import Any

import bench
from bench import (
    Metric,
    MetricContext,
    MetricResult,
    MetricState,
    Noise,
    Prediction,
    Predictor,
    Results,
    Step,
    Tensor,
    Update,
    param,
)
from bench.events import Event, Notice, silent
from tests.support.plugins import installed

OPTIONS: dict[str, Any] = {
    "checkpoint": "gaussian-cifar10",
    "sde": "vp",
    "steps": 4,
    "grid": "logsnr",
    "samples": 8,
    "batch_size": 4,
    "device": "cpu",
}
"""A run of two batches that takes no time."""


class Slope(Predictor):
    """dx/dt of the probability flow, by Euler's method, times ``gain``."""

    name = "slope"
    linear = True

    gain: float = param(default=1.0, help="a factor", above=0)

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        half_rate = 0.5 * (step.sigma_next - step.sigma)
        moved = x - self.gain * half_rate * step.sigma * p.score(x, step)
        return Update(moved, moved)


class Still(Slope):
    """Asks the network and stays where it is."""

    name = "still"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        return Update(x, x + 0 * p.score(x, step))


def run(events: list[Event] | None = None, **changes: Any) -> Results:
    """`bench.run` of `OPTIONS` with changes; None leaves an option out."""
    options = {key: value for key, value in (OPTIONS | changes).items() if value is not None}
    emit = silent if events is None else events.append
    return bench.run(**options, registry=installed(), emit=emit)


def fingerprints(results: Results) -> list[str]:
    return [record.fingerprint for record in results]


def notices(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


_cells = itertools.count()


def run_cell(source: str, *, listed: bool = True) -> dict[str, Any]:
    """Run source as a notebook's cell; ``listed=False`` as one whose source no one can read."""
    file = f"<cell {next(_cells)} of a test>"
    if listed:
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, file, "exec"), namespace)
    return namespace


class Mean(Metric):
    """Mean of all pixels."""

    name = "mean"
    min_samples = 2

    def start(self, context: MetricContext) -> MetricState:
        return MeanState()


class MeanState(MetricState):
    """Sum and number of the pixels so far."""

    def __init__(self) -> None:
        self.total, self.pixels, self.n = 0.0, 0, 0

    def update(self, images: Tensor) -> None:
        self.total += float(images.double().sum())
        self.pixels += images.numel()
        self.n += len(images)

    def compute(self) -> MetricResult:
        return MetricResult(self.total / self.pixels, n=self.n)


SUITE = """
[suites.mine]
about = "two predictors"
layout = "grid"
checkpoint = "gaussian-cifar10"
[[suites.mine.cells]]
sde = ["ve", "vp"]
predictor = ["ddim", "euler_maruyama"]
steps = 4
grid = "logsnr"
row = "{predictor}"
column = "P{steps}"
"""

SMALL_SUITE: dict[str, Any] = {"suite": "mine", "samples": 8, "batch_size": 4, "device": "cpu"}


def run_suite(**changes: Any) -> Results:
    """`bench.run` of `SUITE`, written to the current folder's bench.toml."""
    Path("bench.toml").write_text(SUITE)
    return bench.run(**SMALL_SUITE | changes, registry=installed(), emit=silent)
