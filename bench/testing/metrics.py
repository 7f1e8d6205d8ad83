"""Whether a metric gives the same samples the same value, and worse ones a worse one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import get_args

import numpy as np
import torch

from bench.checkpoints.exact import exact_data
from bench.closed_form.mixture import MixtureModel, on_range
from bench.errors import BenchError
from bench.metrics.blocks import jackknife_groups
from bench.metrics.context import MetricContext
from bench.metrics.role import Metric, MetricResult, ValueKind
from bench.testing.context import CheckContext
from bench.testing.duties import parameters
from bench.testing.probe import GAUSSIAN
from bench.testing.report import Finding, error_text, guard, verdict

COUNT = 128
"""Samples of a measurement."""


class MetricCheck:
    """A metric under check, and the samples whose order in quality is known.

    Args:
        metric: The metric.
        context: Where the Gaussian checkpoint comes from.
    """

    def __init__(self, metric: Metric, context: CheckContext) -> None:
        self.metric = metric
        self.context = MetricContext(context.registry, torch.device("cpu"))
        sde = context.sde("ve")
        data, color = exact_data(context.card(GAUSSIAN))
        self.data = on_range(data, sde.data_range, color)
        self.model = MixtureModel(self.data, "cpu", torch.float32, color=color, range_=sde.data_range)

    def images(self, noise: float = 0.0) -> torch.Tensor:
        """Draws of the Gaussian fitted to CIFAR-10, (n, 3, 32, 32) on [0, 1], with white noise added."""
        generator = torch.Generator().manual_seed(41)
        z = torch.randn(COUNT, *self.model.shape, generator=generator)
        mean, deviation = self.data.mean[0], np.sqrt(self.data.variance[0])
        x = self.model.images(torch.from_numpy(mean).float() + torch.from_numpy(deviation).float() * z)
        return x + noise * torch.randn(x.shape, generator=generator)

    def measure(self, batches: Sequence[torch.Tensor]) -> MetricResult:
        """The metric on these batches."""
        state = self.metric.start(self.context)
        for batch in batches:
            state.update(batch.clone())
        return state.compute()


def check_metric(metric: Metric, context: CheckContext) -> Iterator[Finding]:
    """All checks.

    Raises:
        BenchError: The metric's own data is missing, or it does not take images.
    """
    if metric.has_companions():
        raise BenchError(f"{metric.name} reads further runs: bench check measures images alone")
    if metric.inputs != ("images",):
        inputs = ", ".join(metric.inputs)
        raise BenchError(
            f"{metric.name} takes a task's {inputs}: bench check knows the truth of metrics of images alone"
        )
    case = MetricCheck(metric, context)
    metric.provenance(case.context)
    yield from guard("parameters", lambda: parameters(metric))
    yield from guard("declared", lambda: declared(case))
    yield from guard("order of batches", lambda: order(case))
    yield from guard("worse samples", lambda: worse(case))
    yield from guard("leave one out", lambda: leave_one_out(case))
    yield from guard("bad input", lambda: bad_input(case))


def declared(case: MetricCheck) -> Iterator[Finding]:
    """Direction, smallest sensible n, a label for columns and files, and provenance that JSON can hold."""
    metric, wrong = case.metric, []
    if metric.direction not in ("lower", "higher"):
        wrong.append(f"direction is {metric.direction!r}")
    if metric.value_kind not in get_args(ValueKind):
        wrong.append(f"value_kind is {metric.value_kind!r}, not one of {', '.join(get_args(ValueKind))}")
    if metric.min_samples < 1:
        wrong.append(f"min_samples is {metric.min_samples}")
    if not metric.label or not all(c.isalnum() or c in "._-" for c in metric.label):
        wrong.append(f"label {metric.label!r} can't be the name of a column or file")
    json.dumps(metric.provenance(case.context))
    measured = f"{metric.value_kind}; {metric.direction} is better, from {metric.min_samples} samples"
    required = "direction, value_kind, min_samples, label, provenance"
    yield verdict("declared", not wrong, wrong[0] if wrong else measured, required)


def order(case: MetricCheck) -> Iterator[Finding]:
    """The same value whatever the size of batches, and their order unless the metric depends on it."""
    x = case.images()
    plain, again = (case.measure(x.split(32)) for _ in range(2))
    others = [case.measure(x.split(50)), case.measure([x])]
    if not case.metric.order_matters:
        others.append(case.measure(list(reversed(x.split(32)))))
    off = max(abs(other.value - plain.value) for other in others) / max(abs(plain.value), 1e-12)
    wrong = "another value the second time" if again != plain else ""
    wrong = wrong or (f"n is {plain.n}, of {COUNT} samples" if plain.n != COUNT else "")
    wrong = wrong or ("not a finite number" if not math.isfinite(plain.value) else "")
    wrong = wrong or _outside(plain.value, plain.value_kind or case.metric.value_kind)
    wrong = wrong or (f"off by {off:.1e} in another order or split" if off > 1e-5 else "")
    measured = wrong or f"{plain.value:.6g}, off by {off:.1e}"
    yield verdict("order of batches", not wrong, measured, "the same value (1e-5)")


def _outside(value: float, kind: ValueKind) -> str:
    """Why a value is not of its kind; empty where it is."""
    if kind == "distance" and value < 0:
        return f"a distance of {value:.6g}: one that can be negative is an estimate"
    if kind == "share" and not 0 <= value <= 1:
        return f"a share of {value:.6g}, which is not from 0 to 1"
    return ""


def worse(case: MetricCheck) -> Iterator[Finding]:
    """White noise of a tenth and a half of the range makes the value worse, in its own direction."""
    values = [case.measure(case.images(noise).split(32)).value for noise in (0.0, 0.1, 0.5)]
    sign = 1 if case.metric.direction == "lower" else -1
    rises = sign * values[0] < sign * values[1] < sign * values[2]
    measured = ", ".join(f"{value:.4g}" for value in values) + " with more and more noise"
    required = f"gets worse ({case.metric.direction} is better)"
    yield verdict("worse samples", rises, measured, required, values=values)


def leave_one_out(case: MetricCheck) -> Iterator[Finding]:
    """The values without each group of batches are those measured without them."""
    batches = case.images().split(16)
    state = case.metric.start(case.context)
    for batch in batches:
        state.update(batch.clone())
    values = state.leave_one_out()
    if not values:
        yield Finding("leave one out", "info", "not offered: bench compare pairs its seeds alone")
        return
    groups = jackknife_groups(len(batches))
    exact = [
        case.measure([batch for i, batch in enumerate(batches) if i not in group]).value for group in groups
    ]
    off = max(abs(a - b) for a, b in zip(values, exact, strict=True)) / max(max(map(abs, exact)), 1e-12)
    yield verdict(
        "leave one out", off < 1e-6, f"off by {off:.1e}", "as measured without them (1e-6)", off=off
    )


def bad_input(case: MetricCheck) -> Iterator[Finding]:
    """NaN in a sample is refused, and so is a result of no samples."""
    wrong = []
    for name, batches in (("NaN", [torch.full((4, 3, 32, 32), float("nan"))]), ("no samples", [])):
        try:
            result = case.measure(batches)
        except BenchError:
            continue
        except Exception as error:
            wrong.append(f"{name}: {error_text(error)}, not a BenchError")
        else:
            if math.isfinite(result.value):
                wrong.append(f"{name}: gives {result.value:g}")
    yield verdict("bad input", not wrong, wrong[0] if wrong else "refused", "BenchError, or not a number")
