"""A comparison: differences of runs with intervals, ratios of cost, and limits on them."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING

from bench.errors import BenchError, did_you_mean
from bench.reporting.compare.limits import Limit, LimitCheck
from bench.reporting.compare.pairing import Pair, Pairing, Run, RunValue, Side, incomparable_metrics, pair
from bench.reporting.compare.rows import Row
from bench.reporting.compare.sides import read_side, records_side
from bench.reporting.compare.statistics import (
    Estimate,
    geometric_mean,
    holm,
    jackknife_error,
    no_difference,
    over_batches,
    over_seeds,
    over_unpaired_batches,
    over_unpaired_seeds,
    reach,
    single,
)
from bench.reporting.text import count, dagger_note, listed

if TYPE_CHECKING:
    from bench.results.record import Record
    from bench.types import JSONObject


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The difference ``B - A`` per cell and metric, with intervals and costs.

    A notebook shows the object as a table.

    Args:
        a: Side A.
        b: Side B, which is compared with A.
        pairing: The pairs of runs, and the runs without a partner.
        rows: A row per metric and pair.
        checks: A check per limit.
    """

    a: Side
    b: Side
    pairing: Pairing
    rows: list[Row]
    checks: list[LimitCheck] = dataclasses.field(default_factory=list)

    @property
    def broken(self) -> bool:
        """Whether B breaks a limit; a run that failed in B alone breaks every limit."""
        return any(check.broken for check in self.checks) or bool(self.checks and self.pairing.newly_failed)

    @property
    def remarks(self) -> list[str]:
        """What a reader of the rows must know, a line each."""
        return [*remarks(self.rows), *pair_remarks(self.pairing.pairs)]

    @property
    def ratios(self) -> Ratios:
        """Geometric means of the pairs' ratios."""
        return overall_ratios(self.pairing.pairs)

    def plain(self) -> JSONObject:
        """The comparison as JSON data.

        Returns:
            Sides, rows, cells, ratios, runs without a partner, remarks and checks.
        """
        pairing, ratios = self.pairing, self.ratios
        return {
            "a": _plain_side(self.a),
            "b": _plain_side(self.b),
            "rows": [row.plain() for row in self.rows],
            "cells": [_plain_pair(p) for p in pairing.pairs],
            "nfe_ratio": ratios.nfe,
            "speed_ratio": ratios.speed,
            "only_a": list(pairing.only_a),
            "only_b": list(pairing.only_b),
            "failed_a": [run.failure for run in pairing.failed_a],
            "failed_b": [run.failure for run in pairing.failed_b],
            "other_seeds": list(pairing.other_seeds),
            "remarks": list(self.remarks),
            "fail_on": [
                row.plain() | {"limit": check.limit.text, "broken": check.limit.broken_by(row)}
                for check in self.checks
                for row in check.rows
            ],
        }

    def _repr_html_(self) -> str:
        from bench.reporting.compare.layout import comparison_layout, summary_line
        from bench.reporting.writers import html

        heading = f"B {self.b.name} compared with A {self.a.name}"
        return html(heading, comparison_layout(self), [summary_line(self), *self.remarks])


def compare_sides(
    a: str | Path | Iterable[Record],
    b: str | Path | Iterable[Record],
    out: Path = Path("results"),
    metrics: Sequence[str] = (),
    limits: Sequence[str] = (),
) -> Comparison:
    """Compare B with A.

    Args:
        a: Side A: a name that `read_side` knows (a file, folder, suite or fingerprint), or records.
        b: Side B, likewise.
        out: The results folder in which names are looked up.
        metrics: Labels of the metrics to compare; none for all that both sides have.
        limits: By how much B may be worse, as ``METRIC:X%`` or ``METRIC:X``.

    Raises:
        BenchError: A side can't be read, nothing can be paired, or a metric or limit can't be compared.
    """
    parsed = [Limit.parse(text) for text in limits]
    sides = [
        read_side(str(source), out) if isinstance(source, str | Path) else records_side(source, name)
        for source, name in ((a, "A"), (b, "B"))
    ]
    pairing = pair(*sides)
    for name, reason in incomparable_metrics(pairing.pairs).items():
        sides[1].notes.append(
            f"{name} is not compared: in B it is of {reason}; bench measure computes it anew"
        )
    names = common_metrics(pairing.pairs, metrics)
    rows = [row for name in names for row in metric_rows(pairing.pairs, name)]
    checks = [LimitCheck(limit, metric_rows(pairing.pairs, limit.metric)) for limit in parsed]
    for check in checks:
        if not check.rows:
            raise BenchError(f"--fail-on {check.limit.text}: no pair has {check.limit.metric} on both sides")
        check.limit.check(check.rows)
    return Comparison(sides[0], sides[1], pairing, rows, checks)


def common_metrics(pairs: Sequence[Pair], selection: Sequence[str] = ()) -> list[str]:
    """Metrics that a pair has on both sides and that compare, or those of the selection.

    Raises:
        BenchError: A selected metric is not among them, or there is none.
    """
    runs = [both for p in pairs for both in zip(p.a, p.b, strict=True)]
    common = sorted({m for a, b in runs for m in a.values.keys() & b.values.keys()})
    for name in selection:
        if name not in common:
            raise BenchError(f"no pair has the metric {name!r} on both sides{did_you_mean(name, common)}")
    if not common:
        names_a, names_b = ({m for both in runs for m in both[side].values} for side in (0, 1))
        raise BenchError(
            f"no metric is on both sides (A: {listed(names_a)}; B: {listed(names_b)}): "
            "bench run --metric computes another from the samples on disk"
        )
    incomparable = incomparable_metrics(pairs)
    comparable = [name for name in common if name not in incomparable]
    _check_comparable(pairs, selection or ([] if comparable else common))
    return list(dict.fromkeys(selection)) or comparable


def _check_comparable(pairs: Sequence[Pair], names: Iterable[str]) -> None:
    """`BenchError` for the first of these metrics that A and B computed with other parameters or data."""
    incomparable = incomparable_metrics(pairs)
    for name in names:
        if name in incomparable:
            raise BenchError(
                f"{name} in B is of {incomparable[name]}, and can't be compared with A's: bench measure "
                "computes it anew where samples are on disk"
            )


def metric_rows(pairs: Sequence[Pair], metric: str) -> list[Row]:
    """A row per pair that has the metric (or cost) on both sides, p adjusted over the rows (Holm).

    Two or more common seeds: t test over seeds. One: jackknife over groups of batches, where both have values
    without each. Both are paired where the runs draw the same noise (`Run.shares_noise_with`), unpaired where
    not. Else no interval.

    Raises:
        BenchError: A and B computed the metric with other parameters or reference data.
    """
    _check_comparable(pairs, [metric])
    rows = [row for row in (_row(p, metric) for p in pairs) if row is not None]
    adjusted = holm([row.estimate.p for row in rows])
    return [dataclasses.replace(row, p_holm=p) for row, p in zip(rows, adjusted, strict=True)]


def _row(pair: Pair, metric: str) -> Row | None:
    common = [
        (x, y, f, g)
        for x, y in zip(pair.a, pair.b, strict=True)
        if (f := x.value(metric)) is not None and (g := y.value(metric)) is not None
    ]
    if not common:
        return None
    a, b = [f.value for _, _, f, _ in common], [g.value for _, _, _, g in common]
    _, _, f, g = common[0]
    kind = f.kind or g.kind
    same_runs = all(one.fingerprint == other.fingerprint != "" for one, other, _, _ in common)
    estimate = _estimate(common, same_runs=same_runs)
    # equal shares of few samples, or equal differences of them, are no proof that nothing varies
    if kind == "share" and estimate.error == 0 and not same_runs:
        estimate = Estimate(estimate.difference, len(common))
    return Row(
        pair=pair,
        metric=metric,
        direction=f.direction or g.direction or "lower",
        seeds=[x.seed for x, _, _, _ in common],
        a=math.fsum(a) / len(a),
        b=math.fsum(b) / len(b),
        estimate=estimate,
        p_holm=None,
        note=f.note or g.note,
        kind=kind,
        percent_base=_percent_base(kind, [(one, value) for one, _, value, _ in common]),
    )


def _estimate(common: Sequence[tuple[Run, Run, RunValue, RunValue]], *, same_runs: bool) -> Estimate:
    """The difference of the values of A and B at their common seeds."""
    a, b = [f.value for _, _, f, _ in common], [g.value for _, _, _, g in common]
    x, y, f, g = common[0]
    paired = same_runs or all(one.shares_noise_with(other) for one, other, _, _ in common)
    if len(common) > 1:
        return over_seeds(a, b) if paired else over_unpaired_seeds(a, b)
    sizes = x.group_sizes(), y.group_sizes()
    if len(f.without) == len(sizes[0]) > 1 and len(g.without) == len(sizes[1]) > 1:
        if paired and _same_batches(x, y):
            return over_batches(f.value, g.value, f.without, g.without, sizes[0])
        return over_unpaired_batches(f.value, g.value, f.without, g.without, *sizes)
    return no_difference() if same_runs and f.value == g.value else single(f.value, g.value)


def _percent_base(kind: str, values: Sequence[tuple[Run, RunValue]]) -> float | None:
    """The mean of the values where a percentage of it has a meaning (`Row.percent_base`)."""
    mean = math.fsum(value.value for _, value in values) / len(values)
    if kind not in ("distance", "cost") or mean <= 0:
        return None
    return mean if kind == "cost" or mean > reach(_standard_error(values)) else None


def _standard_error(values: Sequence[tuple[Run, RunValue]]) -> float:
    """Standard error of the mean of the values of several seeds, or of the value of one; 0 where unknown."""
    if len(values) > 1:
        return stdev(value.value for _, value in values) / math.sqrt(len(values))
    ((run, value),) = values
    if value.error is not None:
        return value.error
    sizes = run.group_sizes()
    return jackknife_error(value.value, value.without, sizes) if len(value.without) == len(sizes) > 1 else 0.0


def _same_batches(a: Run, b: Run) -> bool:
    return [batch.size for batch in a.batches] == [batch.size for batch in b.batches] != []


@dataclasses.dataclass(frozen=True)
class Ratios:
    """B over A: network calls, and speed in samples per second; None where they are unknown, or zero."""

    nfe: float | None
    speed: float | None


def pair_ratios(pair: Pair) -> Ratios:
    """The ratios of a pair: geometric means over seeds, and of the speed over batches."""
    both = list(zip(pair.a, pair.b, strict=True))
    return Ratios(
        _mean_ratio([_ratio(y.nfe, x.nfe) for x, y in both]),
        _mean_ratio([_speed_ratio(*each) for each in both]),
    )


def _speed_ratio(x: Run, y: Run) -> float | None:
    """Speed of y over that of x."""
    if _same_batches(x, y):
        each = [_ratio(p.seconds, q.seconds) for p, q in zip(x.batches, y.batches, strict=True)]
        if None not in each:
            return _mean_ratio(each)
    return _ratio(x.seconds, y.seconds)


def _ratio(one: float | None, other: float | None) -> float | None:
    """one / other; None where one of them is unknown, or zero, of which there is no ratio."""
    return one / other if one and other else None


def _mean_ratio(ratios: Sequence[float | None]) -> float | None:
    """Their geometric mean; None where one of them is unknown."""
    known = [ratio for ratio in ratios if ratio is not None]
    return geometric_mean(known) if len(known) == len(ratios) else None


def overall_ratios(pairs: Sequence[Pair]) -> Ratios:
    """Geometric means of `pair_ratios` over the pairs that have them."""
    each = [pair_ratios(p) for p in pairs]
    return Ratios(
        geometric_mean([ratios.nfe for ratios in each if ratios.nfe]),
        geometric_mean([ratios.speed for ratios in each if ratios.speed]),
    )


def remarks(rows: Sequence[Row]) -> list[str]:
    """What a reader of the rows must know, a line each."""
    lines = []
    if any(row.estimate.interval is None for row in rows):
        lines.append("no interval: one seed without batches, or shares that do not vary: give --repeats")
    tests = Counter(row.metric for row in rows if row.p_holm is not None)
    if max(tests.values(), default=0) > 1:
        lines.append(
            "p and verdicts are adjusted for the number of cells of a metric (Holm); intervals are each "
            "cell's own"
        )
    unknown = {row.metric for row in rows if not any(run.directed(row.metric) for run in row.pair.runs)}
    lines += [
        f"{name}: its files do not say which values are better; taken as lower" for name in sorted(unknown)
    ]
    reasons = {(row.metric, row.why_no_percentage) for row in rows if row.why_no_percentage}
    lines += [f"no percentage of {name}: {reason}" for name, reason in sorted(reasons)]
    notes = {dagger_note(row.metric, row.note) for row in rows if row.note}
    return lines + sorted(notes)


def pair_remarks(pairs: Sequence[Pair]) -> list[str]:
    """Which pairs share no noise, and which speeds are not of the samplers alone, a line each."""
    lines: dict[str, int] = {}
    for one in pairs:
        if not one.share_noise:
            text = one.differences("batch_size", "device", "images") or "what draws their noise is unknown"
            line = f"not paired, since A and B draw other noise: {text}"
            lines[line] = lines.get(line, 0) + 1
        text = one.differences("batch_size", "device", "precision")
        if text:
            line = f"speed B/A is not of the samplers alone: {text}"
            lines[line] = lines.get(line, 0) + 1
    return [line if len(pairs) == 1 else f"{count(n, 'cell')} {line}" for line, n in lines.items()]


def _plain_side(side: Side) -> JSONObject:
    return {"name": side.name, "runs": [run.fingerprint for run in side.runs], "notes": list(side.notes)}


def _plain_pair(pair: Pair) -> JSONObject:
    ratios = pair_ratios(pair)
    return {
        "cell": pair.title,
        "cell_a": pair.a[0].title,
        "cell_b": pair.b[0].title,
        "digest_a": pair.a[0].cell,
        "digest_b": pair.b[0].cell,
        "samples": pair.samples,
        "seeds": [run.seed for run in pair.a],
        "nfe_a": [run.nfe for run in pair.a],
        "nfe_b": [run.nfe for run in pair.b],
        "nfe_ratio": ratios.nfe,
        "speed_ratio": ratios.speed,
    }
