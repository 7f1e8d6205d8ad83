"""The table model: cells with value, spread, theory and published figures as fields; writers render it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from bench.reporting.published_figures import PublishedFigure
from bench.reporting.run_rows import RunRow, Status
from bench.reporting.text import listed

if TYPE_CHECKING:
    import pandas as pd

    from bench.results.record import Cost
    from bench.types import JSONObject


@dataclasses.dataclass(frozen=True)
class Cell:
    """A metric of one cell: the runs of all its seeds.

    Args:
        sde: Name of the SDE.
        row: Name of the row.
        column: Name of the column; empty in a list.
        x: Abscissa on a curve.
        status: ``finished`` if any seed is; else ``failed`` if any is; else ``missing``.
        value: Mean over the seeds.
        std: Sample standard deviation over the seeds; None for one seed.
        minimum: Smallest value over several seeds, where papers report that of the metric.
        seeds: Number of finished seeds.
        planned: Number of planned seeds.
        error: Root mean square of the seeds' standard errors over their samples.
        exact: The value that theory gives for the cell's sampler.
        limit: The value that theory gives at tolerance 0 of its solver.
        floor: Smallest value that the measurement resolves.
        declared_order: Order of convergence that the sampler declares.
        published: The published figures of the same checkpoint, data set, metric, sampler, grid and calls.
        published_elsewhere: Those of the table's ``published_of``, of the same sampler, grid and calls alone.
        nfe: Network calls per sample.
        nfe_max: Greatest number of network calls of one sample; None where all have as many.
        pace: Samples per second, with its spread ``pace_std`` over seeds.
        network_share: Share of the time that is spent in the network, from 0 to 1.
        fit_nfe: Network evaluations in all of the fit of the sampler; None where nothing of it is fitted.
        fit_seconds: Duration of that fit, in seconds.
        peak_host_bytes: Greatest resident memory of the process that sampled, over the seeds.
        peak_gpu_bytes: Greatest memory of torch's tensors on the GPU, over the seeds; None on a CPU.
        batch_size: Samples per batch, which time and memory depend on.
        device: Kind of the device; several, sorted, where seeds ran on different ones.
        note: What limits the value; a cell with one is flagged.
        reason: Why a seed failed.
        best: Whether it is the best of its row.
    """

    sde: str
    row: str
    column: str
    x: float | None
    status: Status
    value: float | None
    std: float | None
    minimum: float | None
    seeds: int
    planned: int
    error: float | None
    exact: float | None
    limit: float | None
    floor: float | None
    declared_order: float | None
    published: tuple[PublishedFigure, ...]
    published_elsewhere: tuple[PublishedFigure, ...]
    nfe: float | None
    nfe_max: float | None
    pace: float | None
    pace_std: float | None
    network_share: float | None
    fit_nfe: float | None
    fit_seconds: float | None
    peak_host_bytes: int | None
    peak_gpu_bytes: int | None
    batch_size: int
    device: str
    note: str = ""
    reason: str = ""
    best: bool = False

    @property
    def spread(self) -> float | None:
        """What plots draw around the value: the deviation over seeds, or one seed's standard error."""
        return self.error if self.std is None else self.std

    @property
    def flagged(self) -> bool:
        """Whether a note limits the value."""
        return bool(self.note)

    @property
    def seconds_per_sample(self) -> float | None:
        """``1 / pace``."""
        return None if self.pace is None else 1 / self.pace


@dataclasses.dataclass(frozen=True)
class TableRow:
    """A row of an SDE: a cell per column of the table, None where the suite has none."""

    sde: str
    row: str
    cells: tuple[Cell | None, ...]


@dataclasses.dataclass(frozen=True)
class Table:
    """One metric of a suite on one checkpoint, as data that writers render. A notebook shows it as a table.

    Args:
        suite: Name of the suite.
        name: Name of the suite's plan, such as ``gaussian-cifar10-1024``.
        metric: Label of the metric.
        checkpoint: Name of the checkpoint.
        samples: Samples per run.
        steps_scale: Factor of the suite's step counts.
        precision: What the network computed in: ``fp32``, ``tf32`` or ``bf16``.
        layout: ``grid`` (rows by columns), ``curve`` (the metric along ``x``) or ``list``.
        x: Name of a curve's abscissa; None where it is the number of network calls.
        lower_is_better: Whether smaller values are better.
        axis: How plots draw the metric: ``log`` or ``linear``.
        cells: The cells, in the suite's order.
        notes: Lines that explain the table.
        excerpt: The cells that a terminal shows; for curves, the best ones.
        excerpt_note: How the excerpt was chosen; empty where it holds all cells.
        runs: A row per run and metric, the content of cells.csv.
        folder: Folder that the table was written to; None where it was not written.
        files: Names of the files in that folder.
        published_of: Checkpoints whose published figures stand below the table.
        published_notes: Those of the notes that explain the published figures of the cells themselves.
        elsewhere_notes: Lines that explain the published figures below the table.
    """

    suite: str
    name: str
    metric: str
    checkpoint: str
    samples: int
    steps_scale: float
    precision: str
    layout: Literal["grid", "curve", "list"]
    x: str | None
    lower_is_better: bool
    axis: Literal["log", "linear"]
    cells: tuple[Cell, ...]
    notes: tuple[str, ...]
    excerpt: tuple[Cell, ...] = dataclasses.field(repr=False)
    excerpt_note: str = ""
    runs: tuple[RunRow, ...] = dataclasses.field(default=(), repr=False)
    folder: Path | None = None
    files: tuple[str, ...] = ()
    published_of: tuple[str, ...] = ()
    published_notes: tuple[str, ...] = ()
    elsewhere_notes: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """What the table shows, and whether it is a small one of the full table's shape."""
        scale = self.steps_scale
        small = (
            "" if scale == 1 else f", all step counts times {scale:g}: a small table of the full one's shape"
        )
        precision = "" if self.precision == "fp32" else f", {self.precision}"
        return (
            f"{self.suite} · {self.metric} on {self.checkpoint}, "
            f"{self.samples} samples per seed{precision}{small}"
        )

    @property
    def elsewhere(self) -> tuple[PublishedFigure, ...]:
        """The published figures below the table, each once."""
        return tuple(dict.fromkeys(one for cell in self.cells for one in cell.published_elsewhere))

    @property
    def elsewhere_heading(self) -> str:
        """What the published figures below the table are of; empty where there are none."""
        figures = self.elsewhere
        if not figures:
            return ""
        names = "; ".join(dict.fromkeys(figure.checkpoint or figure.network for figure in figures))
        quantities = dict.fromkeys(figure.quantity for figure in figures)
        others = [] if self.checkpoint in {figure.checkpoint for figure in figures} else ["checkpoint"]
        others += [] if self.metric in quantities else ["metric"]
        text = " and ".join(f"another {other}" for other in others)
        return f"Published {', '.join(quantities)}" + (f", of {text}" if others else "") + f": {names}"

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources of all published figures, in the order of the cells."""
        figures = (one for cell in self.cells for one in (*cell.published, *cell.published_elsewhere))
        return tuple(dict.fromkeys(figure.citation for figure in figures))

    @property
    def ranked(self) -> bool:
        """Whether the cells of a row are alternatives, so that one is the best; along a curve they differ
        in cost."""
        return self.layout == "grid" and self.x is None

    @property
    def complete(self) -> bool:
        """Whether every planned run is finished and has the metric."""
        return all(cell.seeds == cell.planned for cell in self.cells)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in the suite's order."""
        return tuple(dict.fromkeys(cell.column for cell in self.cells))

    @property
    def rows(self) -> tuple[TableRow, ...]:
        """The cells by SDE and row, both in the suite's order."""
        columns = self.columns
        rows: dict[str, dict[str, dict[str, Cell]]] = {}
        for cell in self.cells:
            rows.setdefault(cell.sde, {}).setdefault(cell.row, {})[cell.column] = cell
        return tuple(
            TableRow(sde, row, tuple(by_column.get(column) for column in columns))
            for sde, by_row in rows.items()
            for row, by_column in by_row.items()
        )

    def frame(self) -> pd.DataFrame:
        """The cells as a pandas data frame.

        Returns:
            A row per cell; the columns are the fields of a cell, ``published`` and ``published_elsewhere`` as
            tuples of figures.
        """
        import pandas as pd

        names = [field.name for field in dataclasses.fields(Cell)]
        frame = pd.DataFrame({name: [getattr(cell, name) for cell in self.cells] for name in names})
        frame["flagged"] = [cell.flagged for cell in self.cells]
        frame["seconds_per_sample"] = [cell.seconds_per_sample for cell in self.cells]
        optional = [
            "x",
            "value",
            "std",
            "minimum",
            "error",
            "exact",
            "limit",
            "floor",
            "declared_order",
            "nfe",
            "nfe_max",
            "pace",
        ]
        optional += ["pace_std", "network_share", "fit_nfe", "fit_seconds", "peak_host_bytes"]
        optional += ["peak_gpu_bytes", "seconds_per_sample"]
        return frame.astype(dict.fromkeys(optional, float))

    def plain(self) -> JSONObject:
        """The table as JSON data, as ``bench table --json`` prints it.

        Returns:
            The table's fields, without ``excerpt`` and ``runs``, and ``complete``. Its ``cells`` are a list
            of their fields.
        """
        left_out = ("cells", "excerpt", "excerpt_note", "runs", "folder")
        names = [field.name for field in dataclasses.fields(self) if field.name not in left_out]
        return {
            **{name: getattr(self, name) for name in names},
            "complete": self.complete,
            "folder": None if self.folder is None else str(self.folder),
            "cells": [dataclasses.asdict(cell) for cell in self.cells],
        }

    def _repr_html_(self) -> str:
        from bench.reporting.layouts import elsewhere_layout, table_layout
        from bench.reporting.writers import html

        text = html(self.heading, table_layout(self), self.notes)
        if self.elsewhere:
            text += html(self.elsewhere_heading, elsewhere_layout(self), self.elsewhere_notes)
        return text


def cells_of(rows: Sequence[RunRow], metric: str, *, minima: bool = False) -> list[Cell]:
    """The cells of a metric, in the order of their first rows: seeds at one place are one cell.

    ``minima``: whether papers report the smallest value over several sets of samples.
    """
    by_place: dict[tuple[str, str, str], list[RunRow]] = {}
    for row in rows:
        if row.metric == metric:
            by_place.setdefault(row.place, []).append(row)
    return [_cell(seeds, minima) for seeds in by_place.values()]


def most_calls(costs: Sequence[RunRow] | Sequence[Cost]) -> float | None:
    """The greatest number of network calls of one sample, over runs; None where all samples of each have as
    many."""
    if all(cost.nfe_max is None for cost in costs):
        return None
    return max(cost.nfe_max or cost.nfe or 0.0 for cost in costs)


def _cell(seeds: Sequence[RunRow], minima: bool) -> Cell:
    first, statuses = seeds[0], {row.status for row in seeds}
    status: Status = "finished" if "finished" in statuses else "failed" if "failed" in statuses else "missing"
    finished = [row for row in seeds if row.status == "finished"]
    values = [row.value for row in finished if row.value is not None]
    paces = [row.samples_per_second for row in finished]
    # seeds are independent: their mean error is that of the squares
    square_error = _mean([None if row.error is None else row.error**2 for row in finished])
    return Cell(
        sde=first.sde,
        row=first.row,
        column=first.column,
        x=first.x,
        status=status,
        value=_mean(values),
        std=_std(values),
        minimum=min(values) if minima and len(values) > 1 else None,
        seeds=len(finished),
        planned=len(seeds),
        error=None if square_error is None else float(np.sqrt(square_error)),
        exact=_first([row.exact for row in finished]),
        limit=_first([row.limit_at_tolerance_0 for row in finished]),
        floor=_mean([row.floor for row in finished]),
        declared_order=_first([row.declared_order for row in finished]),
        published=tuple(dict.fromkeys(figure for row in finished for figure in row.published)),
        published_elsewhere=(),
        nfe=_mean([row.nfe for row in finished]),
        nfe_max=most_calls(finished),
        pace=_mean(paces),
        pace_std=_std(paces),
        network_share=_mean([row.network_share for row in finished]),
        fit_nfe=_first([row.fit_nfe for row in finished]),
        fit_seconds=_first([row.fit_seconds for row in finished]),
        peak_host_bytes=max((row.peak_host_bytes or 0 for row in finished), default=0) or None,
        peak_gpu_bytes=max((row.peak_gpu_bytes or 0 for row in finished), default=0) or None,
        batch_size=first.batch_size,
        device=listed({row.device for row in finished}),
        note=next((row.note for row in finished if row.note), ""),
        reason=next((row.reason for row in seeds if row.status == "failed"), ""),
    )


def _first(values: Sequence[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else None


def _std(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None
