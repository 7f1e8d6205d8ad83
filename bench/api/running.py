"""Running: the functions that sample, fit and check.

Each takes the same settings as its command and returns typed results.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from bench.devices import place_of_process
from bench.errors import BenchError, did_you_mean
from bench.events import Emit, silent
from bench.files import user_path
from bench.params import Plugin
from bench.plan.building import Objects, build_loggers, build_plugin
from bench.plan.contexts import MetricContexts
from bench.plan.dry_run import DryRun, dry_run
from bench.plan.fit_request import FIT_SEED, FitRequest, fit_target
from bench.plan.installed import installed_registry
from bench.plan.objects import Selection, register_objects
from bench.plan.planning import Plan
from bench.plan.request import Request
from bench.plugins.registry import Registry
from bench.reporting.results_view import Results
from bench.results.store import Store
from bench.testing import SDES
from bench.types import several_texts

if TYPE_CHECKING:
    from bench.checkpoints.cards import Card
    from bench.diffusion.fitting import Fittable
    from bench.engine.executor import Executor
    from bench.engine.fitting import Fit
    from bench.engine.ledger import Rerun
    from bench.results.loggers import Logger
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
        from bench.engine.ledger import Rerun
        from bench.engine.loop import Engine
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
    request = Request(values, profile, suite, several_texts(only), steps_scale)
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
