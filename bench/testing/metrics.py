"""Whether a metric gives the same samples the same value, and worse ones a worse one."""

from __future__ import annotations

import functools
import json
import math
import pickle
import statistics
import warnings
from collections.abc import Iterator, Sequence
from typing import get_args

import torch

from bench.errors import BenchError
from bench.metrics.blocks import jackknife_groups
from bench.metrics.context import MetricContext
from bench.metrics.role import Metric, MetricResult, ValueKind
from bench.plan.sources import open_images
from bench.testing.context import CheckContext
from bench.testing.duties import parameters
from bench.testing.probe import GAUSSIAN, with_values
from bench.testing.report import Finding, error_text, guard, verdict
from bench.testing.samples import COMPLETIONS, Batch, Samples

COUNT = 128
"""Samples of a measurement."""
SETS, SET = 16, 64
"""Sets of samples whose values scatter, and samples of each."""
ERROR_FACTOR = 3.0
"""What a standard error may be off. A factor n, or its root, that is forgotten is more at `SET` samples."""


class MetricCheck:
    """A metric under check, and the samples whose order in quality is known.

    Args:
        metric: The metric.
        context: Where the exact checkpoints come from.

    Raises:
        BenchError: The metric takes an output of tasks that is not known here.
    """

    def __init__(self, metric: Metric, context: CheckContext) -> None:
        # as in a run, an unnamed reference is the data that the samples are of
        unnamed = metric.values().get("reference") == ""
        self.metric = with_values(metric, reference=GAUSSIAN) if unnamed else metric
        opened = functools.partial(open_images, registry=context.registry)
        self.context = MetricContext(context.registry, torch.device("cpu"), opened)
        self.samples = Samples(metric, context)

    def draw(self, amount: float = 0.0) -> Batch:
        """The metric's inputs for `COUNT` samples, worse by an amount."""
        return self.samples.draw(COUNT, amount)

    def measure(self, batches: Sequence[Batch]) -> MetricResult:
        """The metric on these batches."""
        state = self.metric.start(self.context)
        for batch in batches:
            state.update(*(part.clone() for part in batch))
        return state.compute()


def split(whole: Batch, size: int) -> list[Batch]:
    """Batches of a size; the last may be smaller."""
    return list(zip(*(part.split(size) for part in whole), strict=True))


def rows(whole: Batch, index: torch.Tensor) -> Batch:
    """The samples of an index."""
    return tuple(part[index] for part in whole)


def check_metric(metric: Metric, context: CheckContext) -> Iterator[Finding]:
    """All checks.

    Raises:
        BenchError: The metric's own data is missing, or it takes an output of tasks that is not known here.
    """
    case = MetricCheck(metric, context)
    case.metric.provenance(case.context)
    yield from guard("parameters", lambda: parameters(metric))
    yield from guard("declared", lambda: declared(case))
    yield from guard("order of batches", lambda: order(case))
    yield from guard("worse samples", lambda: worse(case))
    yield from guard("number of samples", lambda: number(case))
    yield from guard("equal samples", lambda: equal(case))
    yield from guard("leave one out", lambda: leave_one_out(case))
    yield from guard("bad input", lambda: bad_input(case))
    yield from guard("input unchanged", lambda: unchanged(case))
    yield from guard("result so far", lambda: so_far(case))
    yield from guard("standard error", lambda: standard_error(case))
    yield from guard("memory", lambda: memory(case))


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
    """The same value whatever the size of batches, and whatever the order of samples unless it matters.

    Sizes are multiples of the completions of one image, which stay together.
    """
    x = case.draw()
    plain, again = (case.measure(split(x, 32)) for _ in range(2))
    others = [case.measure(split(x, size)) for size in (52, 4, COUNT)]
    if not case.metric.order_matters:
        others.append(case.measure(list(reversed(split(x, 32)))))
        mixed = torch.randperm(COUNT // COMPLETIONS, generator=torch.Generator().manual_seed(5))
        index = (mixed[:, None] * COMPLETIONS + torch.arange(COMPLETIONS)).flatten()
        others.append(case.measure(split(rows(x, index), 32)))
    off = max(abs(other.value - plain.value) for other in others) / max(abs(plain.value), 1e-12)
    wrong = "another value the second time" if again != plain else ""
    wrong = wrong or (f"n is {plain.n}, of {COUNT} samples" if plain.n != COUNT else "")
    wrong = wrong or ("not a finite number" if not math.isfinite(plain.value) else "")
    wrong = wrong or _outside(plain.value, plain.value_kind or case.metric.value_kind)
    wrong = wrong or (f"off by {off:.1e} in another order or split" if not off < 1e-5 else "")
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
    """Samples that are worse by a tenth and by a half make the value worse, in its own direction."""
    values = [case.measure(split(case.draw(amount), 32)).value for amount in (0.0, 0.1, 0.5)]
    sign = 1 if case.metric.direction == "lower" else -1
    if "labels" in case.metric.inputs:
        # a classifier of real images may not know these at all: then they tell nothing of it
        share = case.metric.value_kind == "share"
        chance = 5 * math.sqrt(0.25 / COUNT) if share else 0.1 * abs(values[0])
        if abs(values[0] - values[2]) < chance:
            yield Finding("worse samples", "info", "the classes of these samples are not told apart")
            return
    worsens = sign * values[0] < sign * values[1] < sign * values[2]
    measured = ", ".join(f"{value:.4g}" for value in values) + " of worse and worse samples"
    required = f"gets worse ({case.metric.direction} is better)"
    yield verdict("worse samples", worsens, measured, required, values=values)


def number(case: MetricCheck) -> Iterator[Finding]:
    """Of samples that are far off, twice as many have about the same value: it is no sum over samples."""
    x = case.draw(0.5)
    half, whole = (case.measure(split(rows(x, torch.arange(n)), 32)).value for n in (COUNT // 2, COUNT))
    ratio = whole / half if half else math.inf
    good = not 1.6 < ratio < 2.5 or case.metric.value_kind == "share"
    measured = f"{half:.4g} of {COUNT // 2} samples, {whole:.4g} of {COUNT}"
    yield verdict("number of samples", good, measured, "no sum over samples: not twice as much", ratio=ratio)


def equal(case: MetricCheck) -> Iterator[Finding]:
    """Samples that occur twice have a finite value, or are refused."""
    x = case.draw()
    half = torch.arange(COUNT // 2)
    try:
        value = case.measure(split(rows(x, torch.cat([half, half])), 32)).value
    except BenchError as error:
        yield verdict("equal samples", True, f"refused: {error}", "a finite value, or a BenchError")
        return
    yield verdict("equal samples", math.isfinite(value), f"{value:.4g}", "a finite value, or a BenchError")


def memory(case: MetricCheck) -> Iterator[Finding]:
    """What the state holds of a sample, by its pickled size where there is one.

    Nothing is required: a distance between samples needs them all.
    """
    sizes, x = [], case.draw()
    for n in (COUNT // 2, COUNT):
        state = case.metric.start(case.context)
        for batch in split(rows(x, torch.arange(n)), 32):
            state.update(*(part.clone() for part in batch))
        try:
            sizes.append(len(pickle.dumps(state)))
        except Exception:  # a state need not be plain data
            return
    size = max(sizes[1] - sizes[0], 0) / (COUNT // 2)
    inputs = sum(part[0].numel() * part.element_size() for part in x)
    yield Finding(
        "memory", "info", f"{size:,.0f} bytes a sample, of {inputs:,} given", numbers={"bytes": size}
    )


def leave_one_out(case: MetricCheck) -> Iterator[Finding]:
    """The values without each group of batches are those measured without them."""
    batches = split(case.draw(), 16)
    state = case.metric.start(case.context)
    for batch in batches:
        state.update(*(part.clone() for part in batch))
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
    """NaN and infinity in a sample are refused, in a later batch too, and so is a result of no samples."""
    wrong = []
    whole, nothing = split(rows(case.draw(), torch.arange(8)), 4), list[Batch]()
    first, *others = whole[0]

    def one(number: float) -> Batch:
        broken = whole[1][0].clone()
        broken[-1].view(-1)[-1] = number
        return (broken, *whole[1][1:])

    cases = [("NaN", [(torch.full_like(first, float("nan")), *others)]), ("no samples", nothing)]
    if first.is_floating_point():
        cases += [
            (f"{number} in the second batch", [whole[0], one(number)]) for number in (math.nan, math.inf)
        ]
    for name, batches in cases:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, of the arithmetic of NaN
                result = case.measure(batches)
        except BenchError:
            continue
        except Exception as error:
            wrong.append(f"{name}: {error_text(error)}, not a BenchError")
        else:
            if math.isfinite(result.value):
                wrong.append(f"{name}: gives {result.value:g}")
    yield verdict("bad input", not wrong, wrong[0] if wrong else "refused", "BenchError, or not a number")


def unchanged(case: MetricCheck) -> Iterator[Finding]:
    """A batch is not changed in place: the run's other metrics receive it too."""
    batch = rows(case.draw(0.5), torch.arange(COMPLETIONS))
    before = [part.clone() for part in batch]
    case.metric.start(case.context).update(*batch)
    same = all(torch.equal(one, other) for one, other in zip(batch, before, strict=True))
    yield verdict("input unchanged", same, "unchanged" if same else "changed in place", "unchanged")


def so_far(case: MetricCheck) -> Iterator[Finding]:
    """`MetricState.compute` is the result of the batches so far, may be called again, and more may follow."""
    batches = split(case.draw(), 32)
    state = case.metric.start(case.context)
    for batch in batches[:-1]:
        state.update(*(part.clone() for part in batch))
    first, again, half = state.compute(), state.compute(), case.measure(batches[:-1])
    state.update(*(part.clone() for part in batches[-1]))
    whole, plain = state.compute(), case.measure(batches)
    wrong = "" if first == again == half else "another result when it is asked for again"
    wrong = wrong or ("" if whole == plain else "another result after one was asked for before")
    yield verdict("result so far", not wrong, wrong or "the same", "that of all batches so far, each time")


def standard_error(case: MetricCheck) -> Iterator[Finding]:
    """The declared error is about the scatter of the values of different samples.

    Of `SETS` sets of `SET` samples, all of them off by a tenth: the error in root mean square over the
    values' standard deviation. By chance that is off by 1 / sqrt(2 `SETS`), by a sixth. An error may be
    larger by what it allows for besides, such as the scatter of the reference.
    """
    results = [case.measure([one]) for one in split(case.samples.draw(SETS * SET, 0.1), SET)]
    errors = [result.error for result in results if result.error is not None]
    if not errors:
        yield Finding("standard error", "info", "none is given")
        return
    good = all(math.isfinite(error) and error >= 0 for error in errors)
    scatter = statistics.stdev(result.value for result in results)
    size = math.sqrt(statistics.fmean(error**2 for error in errors))
    ratio = size / scatter if scatter else 1.0
    measured = f"{size:.3g}, where values of other samples scatter by {scatter:.3g}"
    yield verdict(
        "standard error",
        good and 1 / ERROR_FACTOR < ratio < ERROR_FACTOR,
        measured if good else "negative or not finite",
        f"within a factor of {ERROR_FACTOR:g} of it",
        ratio=ratio,
    )
