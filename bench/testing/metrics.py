"""Whether a metric reads the same samples the same way, and worse ones worse."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from bench.errors import BenchError
from bench.metrics.context import MetricContext
from bench.metrics.moments import jackknife_groups
from bench.metrics.role import Metric, MetricResult
from bench.plugins.registry import registry
from bench.testing.duties import parameters
from bench.testing.report import Finding, guarded, judged

COUNT = 128


def metrics(metric: Metric) -> Iterator[Finding]:
    """All checks; `BenchError` where the data that it needs is not there."""
    if metric.inputs != ("images",):
        said = f"{metric.name} reads {', '.join(metric.inputs)} of a task"
        raise BenchError(f"{said}: bench check knows the truth of metrics of images alone")
    metric.provenance(_context())
    yield from guarded("parameters", lambda: parameters(metric))
    yield from guarded("declared", lambda: declared(metric))
    yield from guarded("order of batches", lambda: order(metric))
    yield from guarded("worse samples", lambda: worse(metric))
    yield from guarded("leave one out", lambda: left_out(metric))
    yield from guarded("bad input", lambda: bad_input(metric))


@functools.cache
def _context() -> MetricContext:
    return MetricContext(registry(), torch.device("cpu"))


def images(noise: float = 0.0) -> torch.Tensor:
    """Draws of the Gaussian fitted to CIFAR-10, (n, 3, 32, 32) on [0, 1], with white noise added."""
    from bench.checkpoints.load import load_model

    sde = registry().build("sdes", "ve", {})
    card = registry().get("checkpoints", "gaussian-cifar10").thing
    model = load_model(card, sde, torch.device("cpu"), registry())
    data = model.data  # type: ignore[attr-defined]
    generator = torch.Generator().manual_seed(41)
    z = torch.randn(COUNT, *model.shape, generator=generator)
    x = torch.from_numpy(data.mean[0]).float() + torch.from_numpy(np.sqrt(data.variance[0])).float() * z
    x = model.images(x)
    return x + noise * torch.randn(x.shape, generator=generator)


def reading(metric: Metric, batches: Sequence[torch.Tensor]) -> MetricResult:
    """The metric on these batches."""
    measured = metric.start(_context())
    for batch in batches:
        measured.update(batch.clone())
    return measured.compute()


def declared(metric: Metric) -> Iterator[Finding]:
    """Direction, least sensible n, a label for columns and files, and data that JSON can hold."""
    wrong = []
    if metric.direction not in ("lower", "higher"):
        wrong.append(f"direction is {metric.direction!r}")
    if metric.min_samples < 1:
        wrong.append(f"least is {metric.min_samples}")
    if not metric.label or not all(c.isalnum() or c in "._-" for c in metric.label):
        wrong.append(f"label {metric.label!r} can't be a column's or a file's name")
    json.dumps(metric.provenance(_context()))
    said = f"{metric.direction} is better, from {metric.min_samples} samples"
    yield judged("declared", not wrong, wrong[0] if wrong else said, "direction, least, label, provenance")


def order(metric: Metric) -> Iterator[Finding]:
    """Whatever the size of batches, and their order unless it is declared to matter, the same value."""
    x = images()
    plain, again = (reading(metric, x.split(32)) for _ in range(2))
    others = [reading(metric, x.split(50)), reading(metric, [x])]
    if not metric.order_matters:
        others.append(reading(metric, list(reversed(x.split(32)))))
    off = max(abs(one.value - plain.value) for one in others) / max(abs(plain.value), 1e-12)
    wrong = "another value the second time" if again != plain else ""
    wrong = wrong or (f"n is {plain.n}, of {COUNT} samples" if plain.n != COUNT else "")
    wrong = wrong or ("not a finite number" if not math.isfinite(plain.value) else "")
    wrong = wrong or (f"off by {off:.1e} in another order or split" if off > 1e-5 else "")
    said = wrong or f"{plain.value:.6g}, off by {off:.1e}"
    yield judged("order of batches", not wrong, said, "the same value (1e-5)")


def worse(metric: Metric) -> Iterator[Finding]:
    """White noise of a tenth and a half of the range makes it worse, in its own direction."""
    values = [reading(metric, images(noise).split(32)).value for noise in (0.0, 0.1, 0.5)]
    sign = 1 if metric.direction == "lower" else -1
    rises = sign * values[0] < sign * values[1] < sign * values[2]
    said = ", ".join(f"{v:.4g}" for v in values) + " with more and more noise"
    yield judged("worse samples", rises, said, f"reads worse ({metric.direction} is better)", values=values)


def left_out(metric: Metric) -> Iterator[Finding]:
    """What it says without each group of batches is what it reads without them."""
    batches = images().split(16)
    measured = metric.start(_context())
    for batch in batches:
        measured.update(batch.clone())
    offered = measured.leave_one_out()
    if not offered:
        yield Finding("leave one out", "info", "not offered: bench compare pairs its seeds alone")
        return
    parts = jackknife_groups(len(batches))
    exact = [reading(metric, [b for i, b in enumerate(batches) if i not in part]).value for part in parts]
    off = max(abs(a - b) for a, b in zip(offered, exact, strict=True)) / max(max(map(abs, exact)), 1e-12)
    yield judged("leave one out", off < 1e-6, f"off by {off:.1e}", "as measured without them (1e-6)", off=off)


def bad_input(metric: Metric) -> Iterator[Finding]:
    """NaN in a sample is refused, and so is a result of no samples."""
    told = []
    for name, batches in (("NaN", [torch.full((4, 3, 32, 32), float("nan"))]), ("no samples", [])):
        try:
            found = reading(metric, batches)
        except BenchError:
            continue
        except Exception as error:
            told.append(f"{name}: {type(error).__name__} in place of a BenchError")
        else:
            if math.isfinite(found.value):
                told.append(f"{name}: reads {found.value:g}")
    yield judged("bad input", not told, told[0] if told else "refused", "BenchError, or not a number")
