"""Runs of two sides, and which belong together: those of one cell and one seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Literal

from bench.errors import BenchError
from bench.metrics.blocks import jackknife_groups
from bench.metrics.role import ValueKind
from bench.reporting.basis import Basis, difference
from bench.reporting.text import listed

COSTS = ("nfe", "seconds")
"""What limits can be set on besides metrics: network calls and seconds, both per sample."""


@dataclasses.dataclass(frozen=True)
class RunValue:
    """A value of one run.

    ``without`` holds the value without each group of batches; ``error`` is its standard error over samples.
    ``direction`` and ``kind`` are empty and ``basis`` is None where the source does not know them.
    """

    value: float
    direction: Literal["lower", "higher", ""] = ""
    kind: ValueKind | Literal["cost", ""] = ""
    error: float | None = None
    without: tuple[float, ...] = ()
    note: str = ""
    basis: Basis | None = None


@dataclasses.dataclass(frozen=True)
class RunBatch:
    """A batch of a run: its size, network calls per sample, and seconds in all."""

    size: int
    nfe: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class Run:
    """One cell at one seed, as read from a record or a CSV.

    ``cell`` is `Record.cell`: runs of equal ``cell`` and ``seed`` are paired. ``title`` is for display.
    ``nfe`` and ``seconds`` are per sample. ``images`` is a digest of the shape of the samples and of the
    images that the task works on. ``batch_size``, ``device``, ``precision`` and ``images`` are None or empty
    where the source does not know them.
    """

    cell: str
    title: str
    samples: int
    seed: int
    fingerprint: str = ""
    status: Literal["finished", "failed"] = "finished"
    reason: str = ""
    created: str = ""
    values: dict[str, RunValue] = dataclasses.field(default_factory=dict)
    nfe: float | None = None
    seconds: float | None = None
    batches: tuple[RunBatch, ...] = ()
    batch_size: int | None = None
    device: str = ""
    precision: str = ""
    images: str = ""

    @property
    def label(self) -> str:
        """Title and seed."""
        return f"{self.title} · seed {self.seed}"

    @property
    def cell_label(self) -> str:
        """Title and number of samples: what all seeds share."""
        return f"{self.title} · {self.samples} samples"

    @property
    def failure(self) -> str:
        """The run and why it failed."""
        return f"{self.label}: {self.reason}"

    def value(self, name: str) -> RunValue | None:
        """A metric, or a cost (`COSTS`) with its value without each group of batches."""
        if name not in COSTS:
            return self.values.get(name)
        value = self.nfe if name == "nfe" else self.seconds
        if value is None:
            return None
        without = []
        for group in jackknife_groups(len(self.batches)):
            rest = [batch for i, batch in enumerate(self.batches) if i not in group]
            total = sum(b.size * b.nfe if name == "nfe" else b.seconds for b in rest)
            without.append(total / sum(b.size for b in rest))
        return RunValue(value, "lower", "cost", without=tuple(without))

    def directed(self, name: str) -> bool:
        """Whether it is known which values of a metric are better."""
        value = self.value(name)
        return value is not None and value.direction != ""

    def shares_noise_with(self, other: Run) -> bool:
        """Whether both draw the same noise: at one seed, in batches of one size, on one kind of device, for
        images of one shape and task data; False where this is unknown."""
        known = bool(self.batch_size and self.device and (self.cell == other.cell or self.images))
        return (
            known
            and (self.seed, self.batch_size, self.samples) == (other.seed, other.batch_size, other.samples)
            and _generator(self.device) == _generator(other.device)
            and (self.cell == other.cell or self.images == other.images)
        )

    def group_sizes(self) -> list[int]:
        """Samples in each of `jackknife_groups` of the batches."""
        return [sum(self.batches[i].size for i in group) for group in jackknife_groups(len(self.batches))]


def _generator(device: str) -> str:
    """What decides the numbers of a random generator: CPUs agree, GPUs of one name do."""
    return device.partition(" ")[0] if device.startswith("cpu") else device


@dataclasses.dataclass(frozen=True)
class Side:
    """The runs of A or B, one per cell and seed, with notes on how they were read."""

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
        """The cell's title; both titles where A and B are different cells."""
        a, b = self.a[0].title, self.b[0].title
        return a if self.a[0].cell == self.b[0].cell else f"{a} → {b}"

    @property
    def samples(self) -> int:
        """Samples of each run."""
        return self.a[0].samples

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs of both sides."""
        return self.a + self.b

    @property
    def share_noise(self) -> bool:
        """Whether the runs of each seed draw the same noise."""
        return all(a.shares_noise_with(b) for a, b in zip(self.a, self.b, strict=True))

    def differences(self, *names: str) -> str:
        """The fields in which A and B are known to differ, as in ``batch size (A: 64; B: 128)``."""
        texts = []
        for name in names:
            a, b = ({getattr(run, name) for run in side} - {None, ""} for side in (self.a, self.b))
            if a and b and a != b:
                values = "" if name == "images" else f" (A: {listed(a)}; B: {listed(b)})"
                texts.append(name.replace("_", " ") + values)
        return ", ".join(texts)


@dataclasses.dataclass(frozen=True)
class Pairing:
    """The pairs of two sides, and what has no partner: cells of one side (labels), failed runs, cells
    without a common seed."""

    pairs: list[Pair]
    only_a: list[str]
    only_b: list[str]
    failed_a: list[Run]
    failed_b: list[Run]
    other_seeds: list[str]

    @property
    def newly_failed(self) -> list[Run]:
        """Runs that failed in B and not in A."""
        before = {(run.cell, run.seed) for run in self.failed_a}
        return [run for run in self.failed_b if (run.cell, run.seed) not in before]


Cells = dict[str, list[Run]]
"""Runs by cell."""


def pair(a: Side, b: Side) -> Pairing:
    """Pair the runs of one cell and seed; where each side has one cell, these two are a pair.

    Raises:
        BenchError: Nothing can be paired; the message says why.
    """
    cells_a, cells_b = _cells(a), _cells(b)
    keys = _common_cells(cells_a, cells_b)
    pairs, other_seeds = [], []
    for key_a, key_b in keys:
        by_seed_a, by_seed_b = _finished(cells_a[key_a]), _finished(cells_b[key_b])
        seeds = sorted(by_seed_a.keys() & by_seed_b.keys())
        if seeds:
            pairs.append(Pair(tuple(by_seed_a[s] for s in seeds), tuple(by_seed_b[s] for s in seeds)))
        elif by_seed_a and by_seed_b:
            label = cells_a[key_a][0].cell_label
            other_seeds.append(f"{label} (A: {listed(by_seed_a)}; B: {listed(by_seed_b)})")
    failed_a, failed_b = ([run for run in side.runs if run.status == "failed"] for side in (a, b))
    if not pairs and other_seeds:
        raise BenchError(f"no seed is on both sides of {other_seeds[0]}: run both with the same --seed")
    if not pairs and keys:
        raise BenchError(f"nothing to compare, a run failed: {[*failed_b, *failed_a][0].failure}")
    if not pairs:
        raise BenchError(_nothing_common(cells_a, cells_b))
    paired_a, paired_b = {key for key, _ in keys}, {key for _, key in keys}
    only_a = [runs[0].cell_label for key, runs in cells_a.items() if key not in paired_a]
    only_b = [runs[0].cell_label for key, runs in cells_b.items() if key not in paired_b]
    return Pairing(pairs, only_a, only_b, failed_a, failed_b, other_seeds)


def _cells(side: Side) -> Cells:
    cells: Cells = {}
    for run in side.runs:
        cells.setdefault(run.cell, []).append(run)
    return cells


def _common_cells(cells_a: Cells, cells_b: Cells) -> list[tuple[str, str]]:
    """The cells of A and B that belong together."""
    common = [(cell, cell) for cell in cells_a if cell in cells_b]
    # to compare two samplers: one cell on each side is a pair, whatever the two are
    if common or not len(cells_a) == len(cells_b) == 1:
        return common
    ((cell_a, (first, *_)),), ((cell_b, (second, *_)),) = cells_a.items(), cells_b.items()
    return [(cell_a, cell_b)] if first.samples == second.samples else []


def _finished(runs: Iterable[Run]) -> dict[int, Run]:
    """Finished runs by seed."""
    return {run.seed: run for run in runs if run.status == "finished"}


def _nothing_common(cells_a: Cells, cells_b: Cells) -> str:
    """Why no cell is on both sides."""
    single = len(cells_a) == len(cells_b) == 1
    firsts = [(x[0], y[0]) for x in cells_a.values() for y in cells_b.values()]
    other = [(x, y) for x, y in firsts if x.samples != y.samples and (single or x.title == y.title)]
    if other:
        return (
            f"the numbers of samples differ (A: {listed({x.samples for x, _ in other})}; "
            f"B: {listed({y.samples for _, y in other})}): run both with the same --samples"
        )
    return (
        f"no cell of A ({len(cells_a)} in all) is in B ({len(cells_b)}): "
        "to compare two samplers, give one cell of each by its fingerprint"
    )


def incomparable_metrics(pairs: Iterable[Pair]) -> dict[str, str]:
    """Metrics that A and B computed with other parameters or data, and in which they differ."""
    reasons: dict[str, str] = {}
    for x, y in ((x, y) for p in pairs for x, y in zip(p.a, p.b, strict=True)):
        for name in sorted(x.values.keys() & y.values.keys()):
            text = difference(y.values[name].basis, x.values[name].basis)
            if text:
                reasons.setdefault(name, text)
    return reasons
