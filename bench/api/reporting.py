"""Reporting: the functions that read results and sample nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from bench.errors import BenchError, did_you_mean
from bench.events import Emit, silent
from bench.files import user_path
from bench.plan.settings import results_folder
from bench.reporting.results_view import Results
from bench.results.store import Store
from bench.types import several_texts

if TYPE_CHECKING:
    from bench.metrics.features import Rounding
    from bench.plugins.registry import Registry
    from bench.reporting.compare.comparison import Comparison
    from bench.reporting.page.report import PageReport
    from bench.reporting.page.site import Site
    from bench.reporting.table import Table
    from bench.results.export import Export
    from bench.results.merge import Merge


def export(
    run: str | Path | Results | Sequence[str | Path],
    to: str | Path,
    *,
    rounding: Rounding = "round",
    overwrite: bool = False,
    out: str | Path | None = None,
    emit: Emit = silent,
) -> list[Export]:
    """Write the samples of runs as 8-bit images, for other programs: PNG files, or an ``.npz``.

    A sample x on [0, 1] becomes ``255 x``, clipped and rounded to the nearest integer, as metrics of features
    round it. The target appears when it is complete; after a kill the same call begins again.

    Args:
        run: A run's fingerprint (its first 4 digits or more), its record's ``.json``, or a results folder of
            one run; several of these; or `Results`, for all of its runs.
        to: A folder for 00000.png, 00001.png, ... in the order of the samples, and of several runs a folder
            of these for each, called by its fingerprint; or, for one run, ``NAME.npz`` with ``arr_0``, uint8
            (n, H, W, C), or of points float32 (n, D) on the unit range.
        rounding: ``round``, or ``truncate`` for the integer below.
        overwrite: Whether an ``.npz``, or a folder that an export made, is replaced.
        out: Results folder in which fingerprints are looked up; None for that of bench.toml.
        emit: Receives progress events.

    Returns:
        An `Export` per run.

    Raises:
        BenchError: A run has no images on disk, or the target exists or is no place for an export.
        StoreError: The target can't be written, such as on a full disk.
    """
    from bench.metrics.features import Rounding
    from bench.plan.sources import open_run
    from bench.results.export import export_images

    if rounding not in get_args(Rounding):
        raise BenchError(f"unknown rounding {rounding!r}{did_you_mean(str(rounding), get_args(Rounding))}")
    if isinstance(run, Results):
        folder, names = run.store.root, [record.fingerprint for record in run.records]
    else:
        folder = results_folder(None if out is None else Path(out))
        names = [str(run)] if isinstance(run, str | Path) else [str(name) for name in run]
    if not names:
        raise BenchError("there is no run to export: give a fingerprint or a record")
    samples = [open_run(name, folder) for name in names]
    by_fingerprint = {one.fingerprint: one for one in samples}
    return export_images(by_fingerprint, to, rounding=rounding, overwrite=overwrite, emit=emit)


def merge(*folders: str | Path, out: str | Path, emit: Emit = silent) -> Merge:
    """Join results folders, such as those of machines without a shared disk.

    Args:
        folders: Results folders; they are read alone.
        out: The results folder that they are joined in. What it has stays.
        emit: Receives progress events.

    Returns:
        The numbers of records and batches that are new there.

    Raises:
        BenchError: There is no folder, one is no results folder, or one has ``out`` in it.
        StoreError: ``out`` can't be written.
    """
    if not folders:
        raise BenchError("there is nothing to join: give results folders")
    from bench.results.merge import merge_results

    return merge_results([user_path(folder) for folder in folders], user_path(out), emit)


def compare(
    a: str | Path | Results,
    b: str | Path | Results,
    *,
    metrics: str | Sequence[str] = (),
    limits: str | Sequence[str] = (),
    out: str | Path | None = None,
) -> Comparison:
    """Compare two sides, run by run: difference B - A, interval, significance, cost.

    Args:
        a: Side A: a record's ``.json``, a ``.csv``, a results folder, a planned suite, a fingerprint, or
            `Results`.
        b: Side B, likewise.
        metrics: Labels of the metrics to compare; empty for all that both sides have.
        limits: How much worse B may be, as ``METRIC:X%`` or ``METRIC:X``.
        out: Results folder in which names are looked up; None for that of bench.toml.

    Returns:
        The differences, the broken limits, and the runs without a partner.

    Raises:
        BenchError: A side can't be read, or nothing can be paired.
    """
    from bench.reporting.compare.comparison import compare_sides

    return compare_sides(a, b, results_folder(out), several_texts(metrics), several_texts(limits))


def table(
    suite: str | None = None,
    *,
    metric: str | None = None,
    name: str | None = None,
    out: str | Path | None = None,
    to: str | Path | None = None,
    plots: bool = True,
    published_of: str | Sequence[str] | None = None,
    emit: Emit = silent,
) -> list[Table]:
    """The tables of a suite, or of all runs of a results folder, from their records alone.

    Args:
        suite: Name of the suite; None for all runs of the folder, whether a suite named them or not.
        metric: Label of the metric; None for all metrics of the runs.
        name: One of the plans, such as ``gaussian-cifar10-1024``; None for all.
        out: Results folder; None for that of bench.toml.
        to: Folder in which ``SUITE/NAME/`` (``runs/NAME/`` without a suite) is written, with CSV, Markdown,
            LaTeX and plots; None writes nothing.
        plots: Whether to write plots.
        published_of: Checkpoints whose published figures stand below the tables, where the same sampler was
            run; None for those that the suite names.
        emit: Receives a `Notice` for each damaged file.

    Returns:
        One table per plan and metric; a notebook shows each.

    Raises:
        BenchError: There is no run of that suite, name or metric, no published figure of a checkpoint, or
            ``to`` can't be written.
    """
    from bench.reporting.suite_tables import make_tables

    folder = results_folder(out)
    store = Store(folder, writes=False, emit=emit)
    if to == "":
        raise BenchError("to must name a folder")
    target = None if to is None else user_path(to)
    others = None if published_of is None else several_texts(published_of)
    return make_tables(suite, store, metric=metric, name=name, to=target, plots=plots, published_of=others)


def report(
    *sources: str | Path | Results,
    to: str | Path = "report.html",
    out: str | Path | None = None,
    published_of: str | Sequence[str] | None = None,
    pictures: bool = True,
    registry: Registry | None = None,
    emit: Emit = silent,
) -> PageReport:
    """Write suites, results folders or results as one page of HTML, from their records alone.

    The file holds its charts, tables, samples and every run's settings. It opens from disk and sends no
    request.

    Args:
        sources: Names of suites that were run, results folders, or `Results`; none for all runs of ``out``.
        to: The file; one that exists is replaced.
        out: Results folder of the suites; None for that of bench.toml.
        published_of: Checkpoints whose published figures stand below the tables; None for those that the
            suites name.
        pictures: Whether samples are in the page: 16 of each cell's first seed.
        registry: Plugins by name, for the commands that make the runs again; None for the installed ones.
        emit: Receives a `Notice` for each damaged file.

    Returns:
        The file and what is in it, in numbers.

    Raises:
        BenchError: Nothing was run of a suite or in a folder, no checkpoint has such published figures, or
            the file can't be written.
    """
    from bench.plan.installed import installed_registry
    from bench.reporting.page.report import write_page
    from bench.reporting.page.sources import PageSource
    from bench.reporting.suite_tables import make_tables, suite_or_folder, tables_of_records

    if to == "":
        raise BenchError("to must name a file")
    others = None if published_of is None else several_texts(published_of)
    pages = []
    for source in sources or (None,):
        if isinstance(source, Results):
            tables = tables_of_records(source.records, others or ())
            name = source.store.root.name if len(sources) > 1 else ""
            pages.append(PageSource(tuple(tables), source.store, source.records, name))
            continue
        suite, folder = suite_or_folder(source, out, results_folder(out))
        store = Store(folder, writes=False, emit=emit)
        name = folder.name if suite is None and len(sources) > 1 else ""
        pages.append(PageSource(tuple(make_tables(suite, store, published_of=others)), store, title=name))
    return write_page(pages, user_path(to), registry or installed_registry(), pictures=pictures)


def publish(
    *sources: str | Path,
    to: str | Path,
    out: str | Path | None = None,
    pictures: bool = True,
    registry: Registry | None = None,
    emit: Emit = silent,
) -> Site:
    """Write a static folder for a project page: a report of each source, its records, and an index.

    Args:
        sources: Names of suites that were run, or results folders; none for all runs of ``out``.
        to: The folder. Its other files stay.
        out: Results folder of the suites; None for that of bench.toml.
        pictures: Whether samples are in the pages.
        registry: Plugins by name, for the commands that make the runs again; None for the installed ones.
        emit: Receives a `Notice` for each damaged file.

    Returns:
        The folder and its reports.

    Raises:
        BenchError: Nothing was run of a suite or in a folder, or the folder can't be written.
    """
    from bench.plan.installed import installed_registry
    from bench.reporting.page.site import write_site
    from bench.reporting.page.sources import PageSource
    from bench.reporting.suite_tables import make_tables, suite_or_folder

    if to == "":
        raise BenchError("to must name a folder")
    titles, pages = [], []
    for source in sources or (None,):
        suite, folder = suite_or_folder(source, out, results_folder(out))
        store = Store(folder, writes=False, emit=emit)
        pages.append(PageSource(tuple(make_tables(suite, store)), store))
        titles.append(suite or folder.name or "results")
    return write_site(titles, pages, user_path(to), registry or installed_registry(), pictures=pictures)
