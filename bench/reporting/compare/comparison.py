"""What two sides of paired runs say: differences with intervals, ratios of cost, limits on them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from bench.errors import BenchError, did_you_mean
from bench.reporting.compare.paired import Estimate, alone, geometric_mean, holm, over_batches, over_seeds
from bench.reporting.compare.pairing import Pair, Run, listed, refused

NO_INTERVAL = "–"
"""The verdict where there is none."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A metric of one pair: means over the common seeds, their difference B - A, and what it says."""

    pair: Pair
    metric: str
    direction: str
    seeds: list[int]
    a: float
    b: float
    estimate: Estimate
    p_holm: float | None
    note: str

    @property
    def relative(self) -> float | None:
        """(B - A) / abs(A)."""
        return self.estimate.difference / abs(self.a) if self.a else None

    @property
    def worse(self) -> float:
        """By how much B is worse than A; negative where it is better."""
        return -self.estimate.difference if self.direction == "higher" else self.estimate.difference

    @property
    def verdict(self) -> str:
        """At 5 %, over all rows of the metric (Holm)."""
        if self.p_holm is None:
            return NO_INTERVAL
        if self.p_holm >= 0.05:
            return "no difference shown"
        return "B worse" if self.worse > 0 else "B better"


def shared_metrics(pairs: Sequence[Pair], wanted: Sequence[str] = ()) -> list[str]:
    """Metrics that a pair has on both sides, taken alike, or those ``wanted``; `BenchError` where a wanted
    one is not among them, or there is none."""
    runs = [both for p in pairs for both in zip(p.a, p.b, strict=True)]
    found = sorted({m for a, b in runs for m in a.figures.keys() & b.figures.keys()})
    for name in wanted:
        if name not in found:
            raise BenchError(f"no pair has the metric {name!r} on both sides{did_you_mean(name, found)}")
    if not found:
        mine, theirs = ({m for both in runs for m in both[side].figures} for side in (0, 1))
        raise BenchError(
            f"no metric was taken on both sides (A: {listed(mine)}; B: {listed(theirs)}): "
            "bench run --metric takes another of the samples on disk"
        )
    other = refused(pairs)
    _refuse(other, wanted or ([] if set(found) - set(other) else found))
    return list(dict.fromkeys(wanted)) or [name for name in found if name not in other]


def _refuse(other: Mapping[str, str], names: Sequence[str]) -> None:
    """`BenchError` for the first of these metrics that is not the same measure on both sides."""
    for name in names:
        if name in other:
            raise BenchError(
                f"{name} in B is of {other[name]}, and can't be compared with A's: bench measure takes it "
                "anew where samples are kept"
            )


def compare(pairs: Sequence[Pair], metric: str) -> list[Row]:
    """A row per pair that has the metric (or cost) on both sides, p adjusted over the rows (Holm).

    Two or more common seeds: paired t test over seeds. One: paired jackknife over groups of batches,
    where both have the same; else no interval. `BenchError` where A and B took the metric with other
    parameters or reference data.
    """
    _refuse(refused(pairs), [metric])
    rows = [row for row in (_row(p, metric) for p in pairs) if row is not None]
    adjusted = holm([row.estimate.p for row in rows])
    return [dataclasses.replace(row, p_holm=p) for row, p in zip(rows, adjusted, strict=True)]


def _row(pair: Pair, metric: str) -> Row | None:
    found = [
        (x, y, f, g)
        for x, y in zip(pair.a, pair.b, strict=True)
        if (f := x.figure(metric)) is not None and (g := y.figure(metric)) is not None
    ]
    if not found:
        return None
    a, b = [f.value for _, _, f, _ in found], [g.value for _, _, _, g in found]
    x, y, f, g = found[0]
    if len(found) > 1:
        estimate = over_seeds(a, b)
    elif _same_batches(x, y) and len(f.without) == len(g.without) == len(x.group_sizes()) > 1:
        estimate = over_batches(f.value, g.value, f.without, g.without, x.group_sizes())
    else:
        estimate = alone(f.value, g.value)
    return Row(
        pair=pair,
        metric=metric,
        direction=f.direction or g.direction or "lower",
        seeds=[x.seed for x, _, _, _ in found],
        a=math.fsum(a) / len(a),
        b=math.fsum(b) / len(b),
        estimate=estimate,
        p_holm=None,
        note=f.note or g.note,
    )


def _same_batches(a: Run, b: Run) -> bool:
    return [size for size, _, _ in a.batches] == [size for size, _, _ in b.batches] != []


def ratios(pair: Pair) -> tuple[float | None, float | None]:
    """NFE of B over A, and speed (samples per second) of B over A: geometric means over seeds and batches."""
    calls = [y.nfe / x.nfe for x, y in zip(pair.a, pair.b, strict=True) if x.nfe and y.nfe]
    speeds = []
    for x, y in zip(pair.a, pair.b, strict=True):
        if _same_batches(x, y) and all(s > 0 for r in (x, y) for _, _, s in r.batches):
            each = [s / t for (_, _, s), (_, _, t) in zip(x.batches, y.batches, strict=True)]
            speeds.append(geometric_mean(each) or 0.0)
        elif x.seconds and y.seconds:
            speeds.append(x.seconds / y.seconds)
    return geometric_mean(calls), geometric_mean(speeds)


def overall(pairs: Sequence[Pair]) -> tuple[float | None, float | None]:
    """Geometric means of `ratios` over the pairs that have them."""
    each = [ratios(p) for p in pairs]
    nfe, speed = ([r[i] for r in each] for i in (0, 1))
    return geometric_mean([r for r in nfe if r]), geometric_mean([r for r in speed if r])


def remarks(rows: Sequence[Row]) -> list[str]:
    """What is to be known of the rows, a line each."""
    found = []
    if any(row.estimate.interval is None for row in rows):
        found.append("no interval: one seed, no batches to pair: give --repeats")
    told: dict[str, int] = {}
    for row in rows:
        told[row.metric] = told.get(row.metric, 0) + (row.p_holm is not None)
    if max(told.values(), default=0) > 1:
        found.append(
            "p and verdicts are adjusted for the number of cells of a metric (Holm); intervals are each "
            "cell's own"
        )
    found += sorted(
        {
            f"† {row.metric}: {row.note}: read it as a check that the run works, not as a measurement"
            for row in rows
            if row.note
        }
    )
    return found


@dataclasses.dataclass(frozen=True)
class Limit:
    """By how much B may be worse: ``amount`` in the metric's units, or relative to A."""

    text: str
    metric: str
    amount: float
    relative: bool

    @classmethod
    def read(cls, text: str) -> Limit:
        """``METRIC:X%`` or ``METRIC:X``; `BenchError` for anything else."""
        metric, _, amount = text.rpartition(":")
        number = amount.strip().removesuffix("%")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not metric or not 0 <= value < math.inf:
            raise BenchError(
                f"--fail-on takes METRIC:X% or METRIC:X with X at least 0 (fd_cifar10:5%), not {text!r}"
            )
        relative = amount.strip().endswith("%")
        return cls(text, metric.strip(), value / 100 if relative else value, relative)

    def broken(self, row: Row) -> bool:
        """Whether B is worse by more than the limit, and not by chance alone: the cell's own interval,
        where it has one, excludes zero."""
        interval = row.estimate.interval
        return self.exceeded(row) and (interval is None or interval[0] > 0 or interval[1] < 0)

    def exceeded(self, row: Row) -> bool:
        """Whether B is worse by more than the limit, be it by chance."""
        return row.worse > (self.amount * abs(row.a) if self.relative else self.amount)
