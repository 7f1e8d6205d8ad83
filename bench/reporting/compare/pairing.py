"""Runs as plain data, and which of two sides belong together: by cell (title and samples) and seed."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

from bench.errors import BenchError
from bench.metrics.moments import jackknife_groups

HARMLESS = ("bootstrap",)
"""Parameters of metrics that change no value: the replicates of its interval."""

COSTS = ("nfe", "seconds")
"""What a limit can be set on beside metrics: network calls and seconds, both per sample."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A value of one run; ``without`` is it with each group of batches left out. ``direction`` is empty
    where the source does not tell it; ``made`` holds the metric's parameters and reference data."""

    value: float
    direction: str = ""
    without: tuple[float, ...] = ()
    note: str = ""
    made: Any = None


@dataclasses.dataclass(frozen=True)
class Run:
    """One cell at one seed. ``batches`` are (size, nfe, seconds); ``nfe`` and ``seconds`` are per sample."""

    title: str
    samples: int
    seed: int
    fingerprint: str = ""
    status: str = "finished"
    reason: str = ""
    created: str = ""
    figures: dict[str, Figure] = dataclasses.field(default_factory=dict)
    nfe: float | None = None
    seconds: float | None = None
    batches: tuple[tuple[int, float, float], ...] = ()

    @property
    def cell(self) -> str:
        """The title without its seed."""
        return re.sub(r" · seed \d+$", "", self.title)

    def figure(self, name: str) -> Figure | None:
        """A metric, or a cost (`COSTS`) with its value without each group of batches."""
        if name not in COSTS:
            return self.figures.get(name)
        value = self.nfe if name == "nfe" else self.seconds
        if value is None:
            return None
        rest = []
        for group in jackknife_groups(len(self.batches)):
            left = [batch for i, batch in enumerate(self.batches) if i not in group]
            spent = sum(size * nfe if name == "nfe" else seconds for size, nfe, seconds in left)
            rest.append(spent / sum(size for size, _, _ in left))
        return Figure(value, "lower", tuple(rest))

    def group_sizes(self) -> list[int]:
        """Samples in each of `bench.metrics.moments.jackknife_groups` of the batches."""
        return [sum(self.batches[i][0] for i in group) for group in jackknife_groups(len(self.batches))]


@dataclasses.dataclass(frozen=True)
class Side:
    """The runs of A or B, one per cell and seed, and what was noticed about them."""

    name: str
    runs: list[Run]
    notes: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Pair:
    """One cell on both sides: finished runs of the same seeds, in order."""

    a: tuple[Run, ...]
    b: tuple[Run, ...]

    @property
    def title(self) -> str:
        """The cell; both where A and B are different samplers."""
        a, b = self.a[0].cell, self.b[0].cell
        return a if a == b else f"{a} → {b}"

    @property
    def samples(self) -> int:
        """Samples of each run."""
        return self.a[0].samples


@dataclasses.dataclass(frozen=True)
class Pairing:
    """What is on both sides, and the names of what is not: on one alone, failed, without a common seed."""

    pairs: list[Pair]
    only_a: list[str]
    only_b: list[str]
    failed_a: list[str]
    failed_b: list[str]
    other_seeds: list[str]


Key = tuple[str, int]
"""Title without seed, samples."""
Cells = dict[Key, list[Run]]


def pair(a: Side, b: Side) -> Pairing:
    """Pair cells by title and samples; one cell on each side is a pair whatever its title.

    B's notes get a line for each metric that was not taken alike on both sides.
    `BenchError` where nothing pairs, saying why.
    """
    left, right = _cells(a), _cells(b)
    keys = [(key, key) for key in left if key in right]
    if not keys and len(left) == len(right) == 1:
        (first,), (second,) = left, right
        keys = [(first, second)] if first[1] == second[1] else []
    pairs, other = [], []
    for key_a, key_b in keys:
        done = [{r.seed: r for r in runs if r.status == "finished"} for runs in (left[key_a], right[key_b])]
        common = sorted(done[0].keys() & done[1].keys())
        if common:
            pairs.append(Pair(*(tuple(runs[seed] for seed in common) for runs in done)))
        elif all(done):
            other.append(f"{_name(key_a)} (A: {listed(done[0])}; B: {listed(done[1])})")
    failed_a, failed_b = ([f"{r.title}: {r.reason}" for r in s.runs if r.status == "failed"] for s in (a, b))
    if not pairs and other:
        raise BenchError(f"no seed is on both sides of {other[0]}: run both with the same --seed")
    if not pairs and keys:
        raise BenchError(f"nothing to compare, a cell failed: {[*failed_b, *failed_a][0]}")
    if not pairs:
        raise BenchError(_nothing_shared(left, right))
    for name, differs in refused(pairs).items():
        b.notes.append(f"{name} is not compared: in B it is of {differs}; bench measure takes it anew")
    only_a = [_name(key) for key in left if key not in {mine for mine, _ in keys}]
    only_b = [_name(key) for key in right if key not in {theirs for _, theirs in keys}]
    return Pairing(pairs, only_a, only_b, failed_a, failed_b, other)


def refused(pairs: Iterable[Pair]) -> dict[str, str]:
    """Metrics that A and B took with other parameters or data, and in which: not the same measure."""
    found: dict[str, str] = {}
    for x, y in ((x, y) for p in pairs for x, y in zip(p.a, p.b, strict=True)):
        for name in sorted(x.figures.keys() & y.figures.keys()):
            differs = unlike(y.figures[name].made, x.figures[name].made)
            if differs:
                found.setdefault(name, differs)
    return found


def unlike(one: Any, other: Any) -> str:
    """In what the parameters and data (``with``) of two readings differ; empty where they don't, or where
    they are not known of one."""
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return ""
    found = []
    for kind, what in (("parameters", "other parameters"), ("provenance", "other data")):
        mine, theirs = dict(one.get(kind) or {}), dict(other.get(kind) or {})
        keys = [k for k in sorted(mine.keys() | theirs.keys()) if mine.get(k) != theirs.get(k)]
        if kind == "parameters":
            keys = [k for k in keys if k not in HARMLESS]
        told = [f"{k} {_short(mine.get(k))}, not {_short(theirs.get(k))}" for k in keys]
        found += [f"{what} ({'; '.join(told)})"] if told else []
    return " and ".join(found)


def _short(value: Any) -> str:
    text = "unknown" if value is None else str(value)
    return f"{text[:8]}…" if re.fullmatch("[0-9a-f]{32,}", text) else text


def listed(values: Iterable[Any]) -> str:
    """Sorted, with commas between."""
    return ", ".join(map(str, sorted(values)))


def _cells(side: Side) -> Cells:
    found: Cells = {}
    for run in side.runs:
        found.setdefault((run.cell, run.samples), []).append(run)
    return found


def _name(key: Key) -> str:
    return f"{key[0]} · {key[1]} samples"


def _nothing_shared(left: Cells, right: Cells) -> str:
    single = len(left) == len(right) == 1
    other = [(p[1], q[1]) for p in left for q in right if p[1] != q[1] and (single or p[0] == q[0])]
    if other:
        return (
            f"the numbers of samples differ (A: {listed({n for n, _ in other})}; "
            f"B: {listed({n for _, n in other})}): run both with the same --samples"
        )
    return (
        f"no cell of A ({len(left)} in all) is in B ({len(right)}): "
        "to compare two samplers, give one cell of each by its fingerprint"
    )
