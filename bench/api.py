"""The Python API, which notebooks and the command line call.

Each function takes the same settings as its command and returns typed results.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from numpy.typing import NDArray

from bench.data.images import Images
from bench.data.memory import MemoryImages
from bench.devices import choose_device, place_of_process
from bench.errors import BenchError, did_you_mean
from bench.events import Emit, silent
from bench.files import user_path
from bench.metrics.features import Rounding
from bench.params import Plugin
from bench.plan.building import Objects, build_loggers, build_metrics, build_plugin
from bench.plan.contexts import MetricContexts, metric_context
from bench.plan.dry_run import DryRun, dry_run
from bench.plan.fit_request import FIT_SEED, FitRequest, fit_target
from bench.plan.installed import installed_registry
from bench.plan.objects import Selection, register_objects
from bench.plan.planning import Plan
from bench.plan.request import Request, results_folder
from bench.plan.settings import settings, suites
from bench.plan.sources import open_run
from bench.plugins.registry import Registry
from bench.reporting.results_view import Results
from bench.results.store import Store
from bench.testing import SDES

if TYPE_CHECKING:
    from torch import Tensor

    from bench.checkpoints.cards import Card
    from bench.diffusion.fitting import Fittable
    from bench.engine.executor import Executor
    from bench.engine.fitting import Fit
    from bench.engine.foreign import ImageMeasurement
    from bench.engine.loop import Rerun
    from bench.engine.remeasuring import Remeasurement
    from bench.reporting.compare.comparison import Comparison
    from bench.reporting.page.report import PageReport
    from bench.reporting.page.site import Site
    from bench.reporting.table import Table
    from bench.results.export import Export
    from bench.results.loggers import Logger
    from bench.results.merge import Merge
    from bench.testing.report import Report

Choice = Selection | Sequence[Selection]
"""One selection, or several that multiply out."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A planned call of `run`: the plan, its results folder, and everything that its execution needs."""

    plan: Plan
    store: Store
    contexts: MetricContexts
    registry: Registry
    executor: Executor
    loggers: tuple[Logger, ...] = ()

    def dry_run(self, rerun: Rerun = "failed") -> DryRun:
        """What the execution of the job would do."""
        return dry_run(self.plan, self.store, self.contexts, rerun, self.executor.at_once)

    def execute(self, rerun: Rerun = "failed", emit: Emit = silent) -> Results:
        """Execute the runs and return their records; `BenchError` for an unknown ``rerun``."""
        # the engine imports torch, which tables and comparisons need not load
        from bench.engine.loop import Engine, Rerun
        from bench.engine.session import Session
        from bench.results.loggers import Loggers

        known = get_args(Rerun)
        if rerun not in known:
            raise BenchError(f"unknown rerun {rerun!r}{did_you_mean(str(rerun), known)}")
        for suite_plan in self.plan.suite_plans:
            self.store.write_suite(suite_plan)
        several = self.executor.at_once > 1
        # of the processes that torchrun or srun started, the first one logs
        first = not place_of_process("RANK", "SLURM_PROCID")
        loggers = Loggers(self.loggers, self.store, emit) if self.loggers and first else None
        engine = Engine(
            self.store,
            self.executor,
            Session(self.registry),
            self.contexts,
            emit=emit,
            on_record=None if loggers is None else loggers.log,
            rerun=rerun,
            prune=self.plan.settings.prune,
            forecast=self.dry_run(rerun).forecast if several else None,
        )
        try:
            return Results(engine.execute(self.plan.runs), self.store)
        finally:
            if loggers is not None:
                loggers.close()


def plan_job(
    request: Request,
    registry: Registry | None = None,
    *,
    objects: Objects | None = None,
    writes: bool = True,
    emit: Emit = silent,
) -> Job:
    """Plan a request: its checked runs and its results folder. Nothing is sampled.

    Args:
        request: The settings.
        registry: Plugins by name; None for the installed ones.
        objects: Plugins passed as objects, by kind and name.
        writes: Whether the results folder may be written.
        emit: Receives progress of hashing, and of measuring references.
    """
    registry = registry or installed_registry()
    settings, _, _ = request.resolve(registry)
    loggers = build_loggers(registry, objects or {}, settings)
    out = user_path(settings.out)
    contexts = MetricContexts(registry, out, emit)
    plan = request.plan(contexts, objects)
    parameters = settings.parameters.get("executor", {})
    executor = build_plugin(registry, objects or {}, "executors", settings.executor, parameters)
    executor = executor.for_runs(plan.specs)
    return Job(plan, Store(out, writes=writes, emit=emit), contexts, registry, executor, loggers)


def run(
    *,
    checkpoint: Choice | None = None,
    model: Card | None = None,
    suite: str | None = None,
    task: Selection | None = None,
    data: str | None = None,
    sde: Choice | None = None,
    predictor: Choice | None = None,
    corrector: Choice | None = None,
    solver: Choice | None = None,
    metric: Choice | None = None,
    steps: int | None = None,
    grid: Selection | None = None,
    order: str | None = None,
    denoise: str | None = None,
    labels: str | int | None = None,
    label_scales: int | None = None,
    afs: bool | None = None,
    samples: int | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    repeats: int | None = None,
    parameters: Mapping[str, Mapping[str, object]] | None = None,
    device: str | None = None,
    precision: str | None = None,
    compile: bool | None = None,
    executor: Selection | None = None,
    logger: Choice | None = None,
    out: str | Path | None = None,
    profile: str | None = None,
    only: str | Sequence[str] = (),
    steps_scale: float | None = None,
    rerun: Rerun = "failed",
    prune: bool | None = None,
    registry: Registry | None = None,
    emit: Emit | None = None,
) -> Results:
    """Sample a checkpoint with one or several samplers, and measure the samples.

    Settings that are None come from bench.toml, as for ``bench run``. Several selections multiply out to one
    run per combination and seed. A repeated call reads finished runs from disk. A class or an instance can
    take the place of any plugin's name, and ``model`` that of a checkpoint; such runs stay in this process.

    Args:
        checkpoint: Name of a checkpoint, or several.
        model: A network in memory, made by `network`, in place of ``checkpoint``.
        suite: Name of a suite of bench.toml, which sets its own samplers.
        task: What a run does with the sampler. Default: generate.
        data: Images that the task works on: a folder, an ``.npz``, a run, or a data set.
        sde: Forward SDE. Default: the checkpoint's own.
        predictor: Predictor, or ``none``.
        corrector: Corrector, or ``none``.
        solver: ODE or SDE solver, in place of predictor and corrector.
        metric: Metrics. Default: the checkpoint's own.
        steps: Number of steps of the time grid.
        grid: Time grid, such as ``uniform``, ``logsnr`` or ``polynomial``.
        order: ``corrector_first`` or ``predictor_first``, at each noise level.
        denoise: How a run ends: ``mean``, ``tweedie`` or ``none`` (see `Sampler`).
        labels: Classes that a class-conditional checkpoint is given: ``seed`` (drawn), ``turn`` (sample i is
            of class i mod their number), or one class. Default: ``seed``.
        label_scales: Number of trained noise scales; the network is called at the nearest lower one.
        afs: Whether the first step's slope at T is taken analytically, which saves a network call.
        samples: Number of samples per run.
        batch_size: Samples per batch, the unit of randomness and of resuming.
        seed: First seed.
        repeats: Number of seeds: ``seed``, ``seed + 1``, and so on.
        parameters: Plugin parameters by role, such as ``{"corrector": {"snr": 0.16}}``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: What the network computes in: ``fp32``, ``tf32`` or ``bf16``; ``auto`` is bf16 for networks
            on devices that multiply it, otherwise fp32.
        compile: Whether to compile the network.
        executor: Executor of the batches.
        logger: Loggers that receive the records, such as ``tensorboard``.
        out: Results folder.
        profile: Name of a profile of bench.toml.
        only: Patterns of ``SDE ROW COLUMN`` that select runs of a suite.
        steps_scale: Factor of a suite's step counts.
        rerun: Runs to execute: ``missing`` (without a record), ``failed`` (also failed ones), ``all`` (anew).
        prune: Whether to remove a run's samples once it is recorded. Those that metrics of other runs read,
            such as the fine solutions of ``flow_error``, stay.
        registry: Plugins by name; None for the installed ones.
        emit: Receives progress events; None shows progress in a notebook or terminal.

    Returns:
        The records of all runs; failed runs are among them.

    Raises:
        BenchError: The settings contradict each other, or a name is unknown.
        OSError: The results folder can't be written.
    """
    if model is not None and checkpoint is not None:
        raise BenchError("model takes the place of checkpoint: give one of them")
    if parameters is not None and not all(isinstance(own, Mapping) for own in parameters.values()):
        raise BenchError('parameters takes values by role and name, such as {"corrector": {"snr": 0.16}}')
    selections: dict[str, object] = {
        "checkpoint": checkpoint if model is None else model,
        "task": task,
        "sde": sde,
        "predictor": predictor,
        "corrector": corrector,
        "solver": solver,
        "grid": grid,
        "metric": metric,
        "executor": executor,
        "logger": logger,
    }
    own_settings: dict[str, object] = {
        "data": data,
        "steps": steps,
        "order": order,
        "denoise": denoise,
        "labels": labels,
        "label_scales": label_scales,
        "afs": afs,
        "samples": samples,
        "batch_size": batch_size,
        "seed": seed,
        "repeats": repeats,
        "parameters": None if parameters is None else {role: dict(own) for role, own in parameters.items()},
        "device": device,
        "precision": precision,
        "compile": compile,
        "out": out,
        "prune": prune,
    }
    registry, names, objects = register_objects(registry or installed_registry(), _without_none(selections))
    values = names | _without_none(own_settings)
    request = Request(values, profile, suite, _texts(only), steps_scale)
    if emit is not None:
        return plan_job(request, registry, objects=objects, emit=emit).execute(rerun, emit)
    from rich.console import Console

    from bench.reporting.progress import Display

    console = Console(stderr=True, highlight=False)
    if not (console.is_terminal or console.is_jupyter):
        return plan_job(request, registry, objects=objects).execute(rerun)
    with Display(console) as display:
        job = plan_job(request, registry, objects=objects, emit=display)
        display.expect(job.dry_run(rerun).forecast)
        return job.execute(rerun, display)


def _without_none(values: Mapping[str, object]) -> dict[str, object]:
    """The values that a caller gave."""
    return {name: value for name, value in values.items() if value is not None}


def _texts(value: str | Sequence[str]) -> tuple[str, ...]:
    """Several texts; a single one stands for itself, not for its letters."""
    return (value,) if isinstance(value, str) else tuple(value)


def fit(
    plugin: str | Fittable,
    to: str | Path,
    *,
    checkpoint: str | None = None,
    model: Card | None = None,
    sde: Selection | None = None,
    predictor: Selection | None = None,
    grid: Selection | None = None,
    steps: int | None = None,
    nfe: int | None = None,
    samples: int = 64,
    batch_size: int = 64,
    seed: int = FIT_SEED,
    labels: str | int | None = None,
    parameters: Mapping[str, Mapping[str, object]] | None = None,
    device: str | None = None,
    precision: str | None = None,
    overwrite: bool = False,
    registry: Registry | None = None,
    emit: Emit = silent,
) -> Fit:
    """Fit a plugin to a checkpoint, such as a time grid; runs use the file by its parameter ``artifact``.

    Args:
        plugin: Name of a plugin that can be fitted (`Fittable`), or an instance without an artifact.
        to: The artifact's file. If it holds the same fit already, nothing is fitted.
        checkpoint: Name of the checkpoint.
        model: A network in memory, made by `network`, in place of ``checkpoint``.
        sde: Forward SDE. Default: the checkpoint's own.
        predictor: The predictor that a grid is fitted for. Default: ddim.
        grid: The time grid that a predictor is fitted on. Default: polynomial.
        steps: Number of steps of the runs that it is fitted for.
        nfe: In place of ``steps``: their network calls per sample.
        samples: Number of samples of the fit.
        batch_size: Samples per batch.
        seed: Seed of the samples of the fit; a run of this seed can't use the artifact.
        labels: Classes that a class-conditional checkpoint is given, as in `run`.
        parameters: Plugin parameters by role, those of the fitted plugin too.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: What the network computes in: ``fp32``, ``tf32`` or ``bf16``.
        overwrite: Whether a file of another fit is replaced.
        registry: Plugins by name; None for the installed ones.
        emit: Receives progress events.

    Returns:
        The artifact, with the network evaluations and seconds that it cost.

    Raises:
        BenchError: Nothing that can be fitted has the name, the settings contradict each other, or the file
            holds another fit.
        StoreError: The file can't be written.
    """
    from bench.engine.fitting import run_fit

    registry = registry or installed_registry()
    request = FitRequest(
        plugin=plugin,
        checkpoint=checkpoint if model is None else model,
        predictor=predictor,
        grid=grid,
        steps=steps,
        nfe=nfe,
        parameters={role: dict(own) for role, own in (parameters or {}).items()},
        settings=_without_none(
            {"sde": sde, "samples": samples, "batch_size": batch_size, "seed": seed, "labels": labels}
            | {"device": device, "precision": precision}
        ),
    )
    file = fit_target(to)
    planned = request.plan(registry, emit)
    result = run_fit(planned, file, emit, overwrite=overwrite)
    result.artifact.keep()
    return result


def measure(
    images: str | Path | Tensor | NDArray[Any] | Images,
    *,
    metric: Choice = "fid",
    reference: str | Path | None = None,
    rounding: str | None = None,
    parameters: Mapping[str, object] | None = None,
    device: str | None = None,
    out: str | Path | None = None,
    registry: Registry | None = None,
    emit: Emit = silent,
) -> ImageMeasurement:
    """Measure images from any source: FID, or other metrics.

    Args:
        images: A folder of PNG, JPEG, WebP or BMP files, RGB or gray, an ``.npz`` of images (uint8,
            n x height x width x 3, or n x height x width) or points (floats, n x D), a run, a data set by
            name, a float tensor (n, C, H, W) on [0, 1], a uint8 array (n, H, W, C), or points (n, D).
        metric: One metric or several.
        reference: The reference of the metrics: a data set, statistics (``.npz``), or images. Default: each
            metric's own.
        rounding: How float samples become bytes: ``round`` or ``truncate``.
        parameters: Parameters of the metrics by name.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        out: Results folder in which fingerprints of runs are looked up.
        registry: Plugins by name; None for the installed ones.
        emit: Receives progress events.

    Returns:
        Facts about the images, and each metric's value with its reference.

    Raises:
        BenchError: The images can't be read, or a metric can't measure them.
    """
    from bench.engine.foreign import measure_images_of, metrics_of

    if not isinstance(images, str | Path | Images):
        images = MemoryImages(images)
    registry, names, objects = register_objects(registry or installed_registry(), {"metric": metric})
    labels = names["metric"]
    own = dict(parameters or {})
    own |= {} if reference is None else {"reference": str(reference)}
    own |= {} if rounding is None else {"rounding": rounding}
    values: dict[str, object] = {"metric": [labels] if isinstance(labels, str) else labels}
    values |= {"parameters": {"metric": own}} | ({} if device is None else {"device": device})
    values |= {} if out is None else {"out": out}
    chosen, _ = settings(values)
    context = metric_context(chosen, registry, emit)
    metrics = metrics_of(chosen.metric, chosen.parameters.get("metric", {}), context, objects)
    return measure_images_of(images, metrics, context)


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

    return compare_sides(a, b, results_folder(out), _texts(metrics), _texts(limits))


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
    others = None if published_of is None else _texts(published_of)
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
    from bench.reporting.page.report import write_page
    from bench.reporting.page.sources import PageSource
    from bench.reporting.suite_tables import make_tables, suite_or_folder, tables_of_records

    if to == "":
        raise BenchError("to must name a file")
    others = None if published_of is None else _texts(published_of)
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


def check(
    thing: str | Plugin | Card | type[Plugin],
    *,
    role: str | None = None,
    sdes: Sequence[str] = SDES,
    data: str | None = None,
    registry: Registry | None = None,
    emit: Emit = silent,
    **parameters: object,
) -> Report:
    """Check a plugin against the rules of its role, on data whose truth is known; takes seconds on a CPU.

    Args:
        thing: The plugin: its registered name, its class, or an instance; or a checkpoint: its name, its
            card, or a `network` in memory.
        role: Role of the plugin, for a name that plugins of several roles have.
        sdes: Names of the SDEs that a sampler or grid is checked on.
        data: Name of the data that a checkpoint is held to (a data set, folder, ``.npz``, run or exact
            checkpoint); None for those of its card.
        registry: Plugins by name; None for the installed ones.
        emit: Receives an `Advance` after each check.
        parameters: Parameters of the plugin by name, for a name or a class.

    Returns:
        The findings; ``report.passed`` is whether all checks passed.

    Raises:
        BenchError: There is no such plugin, its role has no checks, or a checkpoint's files or data are not
            here.
    """
    from bench.testing.kit import check as check_plugin
    from bench.testing.kit import find_plugin

    registry = registry or installed_registry()
    for sde in sdes:
        registry.get("sdes", sde)
    if isinstance(thing, str):
        thing, parameters = find_plugin(thing, role, parameters, registry), {}
    elif isinstance(thing, type):
        thing, parameters = thing.build(parameters), {}
    return check_plugin(thing, registry=registry, sdes=sdes, data=data, emit=emit)


def remeasure(
    metric: Choice,
    *,
    suite: str | None = None,
    checkpoint: str | None = None,
    parameters: Mapping[str, object] | None = None,
    device: str | None = None,
    out: str | Path | None = None,
    registry: Registry | None = None,
    emit: Emit = silent,
) -> list[Remeasurement]:
    """Add metrics to finished runs, from their samples on disk. Nothing is sampled.

    Args:
        metric: One metric or several.
        suite: Restricts the runs to a suite.
        checkpoint: Restricts the runs to a checkpoint.
        parameters: Parameters of the metrics by name.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        out: Results folder; None for that of bench.toml.
        registry: Plugins by name; None for the installed ones.
        emit: Receives progress events.

    Returns:
        The outcome for each record.

    Raises:
        BenchError: There is no such record, or a name or parameter is unknown.
        OSError: A record can't be written.
    """
    from bench.engine.remeasuring import measure_records

    registry, names, objects = register_objects(registry or installed_registry(), {"metric": metric})
    labels = names["metric"]
    values: dict[str, object] = {"metric": [labels] if isinstance(labels, str) else labels}
    values["parameters"] = {"metric": dict(parameters or {})}
    values |= {"device": device} if device is not None else {}
    chosen, _ = settings(values)
    root = results_folder(out)
    if not (root / "records").is_dir():
        if suite is not None:  # says what is wrong with the name, if something is
            Store(root, writes=False, emit=emit).suite_plans(suite, suites())
        raise BenchError(f"there are no results in {root}: bench run makes some, or choose another --out")
    contexts = MetricContexts(registry, root, emit)
    metrics = build_metrics(registry, chosen.metric, chosen.parameters.get("metric", {}), objects)
    return measure_records(
        metrics,
        Store(root, emit=emit),
        contexts.on(str(choose_device(chosen.device))),
        suite=suite,
        checkpoint=checkpoint,
        own_references="reference" not in chosen.parameters.get("metric", {}),
        emit=emit,
    )
