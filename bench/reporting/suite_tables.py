"""The tables of a suite, or of all runs: made from plans and records alone, written as files and plots."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError, did_you_mean, printable
from bench.events import Notice
from bench.files import inside, replace_file, user_path
from bench.plan.settings import suites
from bench.reporting.layouts import cost_layout, elsewhere_layout, table_layout
from bench.reporting.matching import Matcher
from bench.reporting.published_figures import all_figures, figures_of
from bench.reporting.published_tables import with_published
from bench.reporting.ranking import (
    best_of_curves,
    best_of_rows,
    measured_orders,
    pareto_front,
)
from bench.reporting.run_plans import RUNS, plans_of_runs
from bench.reporting.run_rows import RunRow, metric_records, run_rows
from bench.reporting.table import Cell, Table, cells_of
from bench.reporting.text import count, number
from bench.reporting.writers import cost_csv, elsewhere_csv, latex, markdown, runs_csv, wide_csv

if TYPE_CHECKING:
    from bench.results.manifest import SuitePlan
    from bench.results.record import Record
    from bench.results.store import Store

REASONS = 5
"""Failures that the notes describe; cells.csv has all."""


def make_tables(
    suite: str | None,
    store: Store,
    *,
    metric: str | None = None,
    name: str | None = None,
    to: Path | None = None,
    plots: bool = True,
    published_of: Sequence[str] | None = None,
) -> list[Table]:
    """The tables of a suite that was run, or of all runs: one per plan and metric.

    Args:
        suite: Name of the suite; None for all runs of the results, a plan per checkpoint, task, images,
            number of samples and precision.
        store: The results that it was run into.
        metric: Label of the metric; None for each that the suite was run with.
        name: Name of one plan; None for all.
        to: Folder to write ``SUITE/NAME/…`` to; None writes nothing.
        plots: Whether plots are written too.
        published_of: Checkpoints whose published figures stand below the tables; None for those of the suite.

    Raises:
        BenchError: Nothing was run of that suite, name or metric, a checkpoint has no published figure, or
            ``to`` can't be written.
    """
    tables = []
    figures = all_figures()
    matcher = Matcher(figures)
    if published_of is not None:
        figures_of(published_of, figures)
    plans = _plans(suite, store, name)
    if suite is None and metric is not None:
        # runs of other tasks have other metrics
        plans = [plan for plan in plans if metric in plan.metrics] or plans
    for plan in plans:
        if metric is not None and metric not in plan.metrics:
            raise BenchError(
                f"{plan.suite}/{plan.name} has no {metric!r}{did_you_mean(metric, plan.metrics)}: "
                f"{_measure_command(plan.suite, 'NAME')} adds a metric"
            )
        records = [store.read_record(run.fingerprint) for run in plan.cells]
        runs = tuple(run_rows(plan, records, matcher))
        if suite is None:
            # nobody planned a metric that a run lacks
            runs = tuple(row for row in runs if row.status != "missing" or row.reason)
        for label in plan.metrics if metric is None else (metric,):
            table = _make_table(plan, records, runs, label)
            table = with_published(table, plan, records, matcher, published_of)
            tables.append(table if to is None else write_table(table, to, plots=plots))
    return tables


def suite_or_folder(
    source: str | Path | None, out: str | Path | None, results: Path
) -> tuple[str | None, Path]:
    """What a command's argument names: a suite, or all runs of a results folder.

    Args:
        source: Name of a suite, or path of a results folder; None for all runs of ``results``.
        out: The results folder that the user named; beside it a name is that of a suite.
        results: The results folder of suites.

    Returns:
        The suite, None for all runs, and the results folder.

    Raises:
        BenchError: The name is that of a suite and of a folder.
    """
    if source is None:
        return None, results
    folder = user_path(source)
    if out is not None or not (folder / "records").is_dir():
        return str(source), results
    if "/" not in str(source) and (results / "suites" / source).is_dir():
        raise BenchError(
            f"{str(source)!r} is a suite and a results folder: write {source} --out {results} for the suite, "
            f"./{source} for the folder"
        )
    return None, folder


def tables_of_records(records: Sequence[Record], published_of: Sequence[str] = ()) -> list[Table]:
    """The tables of runs that no suite names, a line per cell, one per checkpoint, task and metric."""
    matcher = Matcher(all_figures())
    by_fingerprint = {record.fingerprint: record for record in records}
    tables = []
    for plan in plans_of_runs(records)[0]:
        own = [by_fingerprint[run.fingerprint] for run in plan.cells]
        runs = tuple(run_rows(plan, own, matcher))
        for label in plan.metrics:
            table = _make_table(plan, own, runs, label)
            tables.append(with_published(table, plan, own, matcher, published_of))
    return tables


def _plans(suite: str | None, store: Store, name: str | None) -> list[SuitePlan]:
    plans = _plans_of_runs(store) if suite is None else store.suite_plans(suite, suites())
    if name is None:
        return plans
    named = [plan for plan in plans if plan.name == name]
    if not named:
        place = store.root if suite is None else f"suite {suite}"
        raise BenchError(f"{place} has no table {name!r}{did_you_mean(name, [p.name for p in plans])}")
    return named


def _plans_of_runs(store: Store) -> list[SuitePlan]:
    plans, older = plans_of_runs(store.records())
    plans = [plan for plan in plans if plan.metrics]
    if not plans:
        raise BenchError(
            f"there is no finished run in {store.root}: bench run makes one, --out names another"
        )
    if older:
        store.emit(Notice(f"{count(older, 'older record')} of the same cell and seed left out of the tables"))
    return plans


def _measure_command(suite: str, metric: str) -> str:
    runs = "" if suite == RUNS else f" --suite {suite}"
    return f"bench measure{runs} --metric {metric}"


def _make_table(
    plan: SuitePlan, records: Sequence[Record | None], runs: tuple[RunRow, ...], metric: str
) -> Table:
    """The table of a plan's metric; ``runs`` are its `run_rows`."""
    values = list(metric_records(records, metric).values())
    lower = not values or values[0].direction == "lower"
    axis = values[0].axis if values else "log"
    cells = cells_of(runs, metric, minima=any("minimum_of" in value.details for value in values))
    table = Table(
        suite=plan.suite,
        name=plan.name,
        metric=metric,
        checkpoint=plan.checkpoint,
        samples=plan.samples,
        steps_scale=plan.steps_scale,
        precision=plan.precision,
        layout=plan.layout,
        x=plan.x,
        lower_is_better=lower,
        axis=axis,
        cells=tuple(cells),
        notes=(),
        excerpt=(),
        runs=runs,
    )
    if table.ranked:
        best = best_of_rows(cells, lower=lower)
        cells = [dataclasses.replace(cell, best=is_best) for cell, is_best in zip(cells, best, strict=True)]
    excerpt, excerpt_note = _excerpt(table)
    return dataclasses.replace(
        table,
        cells=tuple(cells),
        notes=tuple(_notes(table, plugin=values[0].metric if values else metric)),
        excerpt=tuple(excerpt) if table.layout == "curve" else tuple(cells),
        excerpt_note=excerpt_note,
    )


def _excerpt(table: Table) -> tuple[list[Cell], str]:
    """Of curves the best cells, and how they were chosen; of other layouts all."""
    cells, lower = table.cells, table.lower_is_better
    if table.layout != "curve":
        return list(cells), ""
    if table.x in (None, "nfe"):
        best = pareto_front(cells, "nfe", lower=lower)
        note = (
            "Shown: the Pareto front, cells that are better than all of as many network calls or fewer, "
            "by more than the spread."
        )
    else:
        best, note = best_of_curves(cells, lower=lower), "Shown: the best of each curve."
    excerpt = [cell for cell, is_best in zip(cells, best, strict=True) if is_best]
    if table.x in (None, "nfe"):
        excerpt.sort(key=lambda cell: (cell.sde, cell.nfe or 0.0))
    return excerpt, f"{note} All are in {table.metric}.md." if excerpt else ""


def _notes(table: Table, plugin: str) -> list[str]:
    """What the numbers are, and what the marks mean.

    ``plugin`` is the name of the metric's plugin, under which `bench measure` computes it.
    """
    cells = table.cells
    several = any(cell.seeds > 1 for cell in cells)
    notes = [
        f"Mean ± standard deviation over {max(cell.planned for cell in cells)} seeds."
        if several
        else "One seed: there is no spread, and no best is marked."
    ]
    if several and table.ranked:
        notes.append(
            "Emphasized: the best of its row, where it beats the next by more than the spread of both."
        )
    if any(cell.minimum is not None for cell in cells):
        notes.append("Minimum: the smallest value over the seeds, which papers report of this metric.")
    if any(cell.exact is not None for cell in cells):
        notes.append("Exact: the sampler's own value by theory, free of sampling noise.")
    if any(cell.limit is not None for cell in cells):
        notes.append(
            "Limit at tolerance 0: what a solver's value tends to by theory; at any other tolerance the "
            "solver's error adds to sampling noise."
        )
    notes += _floor_notes(table)
    runs = [run for run in table.runs if run.metric == table.metric]
    notes += [f"† {table.metric}: {note}." for note in sorted({run.note for run in runs if run.note})]
    short = sum(0 < cell.seeds < cell.planned for cell in cells)
    if short:
        notes.append(
            f"{short} of {len(cells)} cells have fewer seeds than planned, given as (seeds of planned)."
        )
    for status in ("missing", "failed"):
        n = sum(cell.status == status for cell in cells)
        if n:
            notes.append(f"{n} of {len(cells)} cells {status}.")
    notes += _misfit_notes(table, runs, plugin)
    failed = [cell for cell in cells if cell.reason]
    notes += [
        f"failed: {' '.join(filter(None, (c.sde, c.row, c.column)))}: {c.reason}" for c in failed[:REASONS]
    ]
    if len(failed) > REASONS:
        notes.append(f"failed: {len(failed) - REASONS} more; cells.csv has them all.")
    errors = [cell.error for cell in cells if cell.error is not None]
    if errors:
        error = number(statistics.median(errors))
        notes.append(
            f"Standard error over the samples of one seed's {table.metric}, median over cells: {error}."
        )
    return notes


def _floor_notes(table: Table) -> list[str]:
    """What the measurement resolves, and how fast the errors above it fall."""
    floors: dict[str, list[float]] = {}
    for cell in table.cells:
        if cell.floor is not None:
            floors.setdefault(cell.sde, []).append(cell.floor)
    if not floors:
        return []
    texts = [f"{number(statistics.median(values))} ({sde})" for sde, values in floors.items()]
    notes = [f"Floor, below which {table.metric} is not resolved: {', '.join(texts)}."]
    by_sde: dict[str, list[str]] = {}
    for one in measured_orders(table.cells):
        declared = "none declared" if one.declared is None else f"declared {one.declared:g}"
        text = f"{one.row} {one.order:.1f} ({declared}; NFE {one.first:g} to {one.last:g})"
        by_sde.setdefault(one.sde, []).append(text)
    notes += [f"Order of convergence here, {sde}: {', '.join(rows)}." for sde, rows in by_sde.items()]
    return notes


def _misfit_notes(table: Table, runs: Sequence[RunRow], plugin: str) -> list[str]:
    """Cells whose values do not compare with the others (`bench.reporting.run_rows.misfits`)."""
    places: dict[str, set[tuple[str, str, str]]] = {}
    for run in runs:
        if run.status == "missing" and run.reason:
            places.setdefault(run.reason, set()).add(run.place)
    command = _measure_command(table.suite, plugin)
    if any(cell.floor is not None for cell in table.cells):
        command = f"bench run with --metric {plugin}"
    command += "" if plugin == table.metric else ", with its parameters,"
    return [
        f"{count(len(cells), 'cell')} {'holds' if len(cells) == 1 else 'hold'} {table.metric} of {reason}, "
        f"left out here: {command} computes it anew."
        for reason, cells in places.items()
    ]


def write_table(table: Table, to: Path, *, plots: bool = True) -> Table:
    """Write ``to``/SUITE/NAME/…: CSV, Markdown, LaTeX and plots; the table with ``folder`` and ``files``.

    Raises:
        BenchError: The folder can't be written.
    """
    folder = inside(to, table.suite, table.name)
    files: list[str] = []

    def write(name: str, content: bytes) -> None:
        path = inside(to, table.suite, table.name, name)
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
        files.append(name)

    layout, costs = table_layout(table), cost_layout(table.cells)
    notes = list(table.notes)
    try:
        write("cells.csv", runs_csv(table.runs))
        write(f"{table.metric}.csv", wide_csv(table))
        write("cost.csv", cost_csv(table.cells))
        write("cost.md", markdown(f"{table.heading}: cost", costs, []).encode())
        if plots:
            notes += _write_plots(table, write)
        notes += _old_plots(table, folder, files, remove=plots)
        texts = {"md": markdown(table.heading, layout, notes), "tex": latex(table.heading, layout, notes)}
        elsewhere = f"{table.metric}-published.csv"
        if table.elsewhere:
            write(elsewhere, elsewhere_csv(table.cells))
            block = (table.elsewhere_heading, elsewhere_layout(table), table.elsewhere_notes)
            texts = {"md": f"{texts['md']}\n{markdown(*block)}", "tex": f"{texts['tex']}\n{latex(*block)}"}
        else:
            # of an earlier call
            inside(folder, elsewhere).unlink(missing_ok=True)
        for suffix, text in texts.items():
            write(f"{table.metric}.{suffix}", text.encode())
    except OSError as error:
        raise BenchError(f"{to} can't be written ({error.strerror}): choose another by --to") from error
    return dataclasses.replace(table, folder=folder, files=tuple(files), notes=tuple(notes))


def _old_plots(table: Table, folder: Path, files: Sequence[str], *, remove: bool) -> list[str]:
    """Remove the plots of this metric that an earlier call left and this one did not write, or name them."""
    kinds = dict.fromkeys(["plot", "nfe", "seconds", *([table.x] if table.x else [])])
    names = [f"{table.metric}-{kind}.{suffix}" for kind in kinds for suffix in ("csv", "png", "svg")]
    paths = [inside(folder, name) for name in names if name not in files]
    old = [path for path in paths if path.exists()]
    if remove:
        for path in old:
            path.unlink()
        return []
    if not old:
        return []
    return [f"Not drawn anew, and maybe of other values: {', '.join(path.name for path in old)}."]


def _write_plots(table: Table, write: Callable[[str, bytes], None]) -> list[str]:
    """Write the plots of a table; a line where there is none. Only an error of writing is raised."""
    if all(cell.value is None for cell in table.cells):
        return ["No plot: no cell has a value."]
    try:
        from bench.reporting.figure_layout import images
        from bench.reporting.suite_plots import table_plots

        for plot in table_plots(table):
            pictures = list(images(plot.figure))
            write(f"{plot.name}.csv", plot.csv())
            for suffix, content in pictures:
                write(f"{plot.name}.{suffix}", content)
    except OSError:
        raise
    except BenchError as error:
        return [f"No plot: {error}."]
    except Exception as error:
        # a fault of the drawing must not cost the table
        return [f"No plot: {printable(f'{type(error).__name__}: {error}')}."]
    return []
