"""The table at the end of a run: runs that differ in the seed alone are one line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict, cast

import numpy as np

from bench.reporting.layouts import Entry, TextTable
from bench.reporting.table import most_calls
from bench.reporting.text import LIMIT, dagger_note, with_most

if TYPE_CHECKING:
    from bench.results.record import Cost, MetricRecord, Record


class Interval(TypedDict):
    """``details["interval"]`` of a value: its 95 % interval over samples."""

    low: float
    high: float


class Fit(TypedDict):
    """``details["fit"]`` of a value: the line in 1 / n whose limit the value is."""

    value: float
    slope: float
    points: list[tuple[int, float]]
    r2: float
    fit_error: float


def spread(values: Sequence[float]) -> str:
    """``mean ± std (n)`` over seeds; the bare value where all are equal."""
    mean = float(np.mean(values))
    if len(set(values)) == 1:
        return f"{mean:.4g}"
    return f"{mean:.4g} ± {float(np.std(values, ddof=1)):.2g} (std over {len(values)} seeds)"


def over_samples(values: Sequence[MetricRecord]) -> str:
    """How precisely the samples of one run determine its value; this is not the spread over seeds."""
    text = ""
    errors = [value.error for value in values if value.error is not None]
    if errors:
        mean = f"{float(np.mean(errors)):.2g}"
        single = f" ± {mean} (standard error over samples)"
        text = single if len(values) == 1 else f", standard error of each over its samples {mean}"
    if "interval" in values[0].details and len(values) == 1:
        interval = cast(Interval, values[0].details["interval"])
        text += f", 95 % interval over samples {interval['low']:.4g} to {interval['high']:.4g}"
    return text


def fits(metrics: Mapping[str, MetricRecord]) -> list[str]:
    """The straight lines behind values at infinitely many samples, by label."""
    lines = []
    for label, metric in metrics.items():
        if "fit" not in metric.details:
            continue
        fit = cast(Fit, metric.details["fit"])
        slope = f"{'-' if fit['slope'] < 0 else '+'} {abs(fit['slope']):.3g} / n"
        points = fit["points"]
        lines.append(
            f"{label}: {fit['value']:.4g} {slope}, fitted to {len(points)} sizes from n = {points[0][0]} to "
            f"{points[-1][0]}: R^2 {fit['r2']:.3g}, standard error of the fit {fit['fit_error']:.2g}; "
            f"at n = {metric.n} it is {metric.details['at_n']:.4g}"
        )
    return lines


def summary_layout(records: Iterable[Record]) -> TextTable:
    """A line per cell and metric over the finished records, without the columns that are empty."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.status == "finished":
            for label in record.metrics:
                groups.setdefault((record.cell, label), []).append(record)
    header = (
        "sampler",
        "metric",
        "value",
        "exact",
        LIMIT,
        "samples",
        "NFE per sample",
        "samples/s",
        "in network",
    )
    lines = [_line(label, group) for (_, label), group in groups.items()]
    return TextTable(header, tuple(lines)).without_empty_columns()


def _line(label: str, records: Sequence[Record]) -> tuple[Entry, ...]:
    """A line of the summary: the records of a cell, one per seed."""
    values = [record.metrics[label] for record in records]
    costs: list[Cost] = [record.cost for record in records if record.cost is not None]
    first = values[0]
    value = spread([v.value for v in values]) + over_samples(values)
    if "minimum_of" in first.details and len(values) > 1:
        value += f", minimum {min(v.value for v in values):.4g}"
    return (
        Entry(records[0].title),
        Entry(label),
        Entry(value, flagged=bool(first.note)),
        Entry("" if first.exact is None else f"{first.exact:.4g}"),
        Entry("" if first.limit is None else f"{first.limit:.4g}"),
        Entry(str(first.n)),
        Entry(with_most(spread([cost.nfe for cost in costs]), most_calls(costs)) if costs else ""),
        Entry(spread([cost.samples_per_second for cost in costs]) if costs else ""),
        Entry(f"{100 * float(np.mean([c.network_share for c in costs])):.1f} %" if costs else ""),
    )


def notes(records: Iterable[Record]) -> list[str]:
    """What the daggers of `summary_layout` mean, and why a value is negative."""
    lines = [line for r in records if r.status == "finished" for line in metric_notes(r.metrics)]
    # daggers first
    return sorted(set(lines), key=lambda line: (not line.startswith("†"), line))


def metric_notes(metrics: Mapping[str, MetricRecord]) -> list[str]:
    """What the daggers of values mean, and why a value is negative."""
    daggers = [dagger_note(label, metric.note) for label, metric in metrics.items() if metric.note]
    negative = [
        f"{label} below zero: its bias is subtracted, so that noise may make a small value negative"
        for label, metric in metrics.items()
        if metric.value < 0 and metric.bias.startswith("none")
    ]
    return daggers + negative
