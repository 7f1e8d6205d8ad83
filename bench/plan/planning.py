"""From settings to runs that are checked, fingerprinted and costed. Nothing here samples."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pydantic import ValidationError

from bench.checkpoints.cards import Card
from bench.devices import choose_device, choose_precision, emulates_bf16
from bench.errors import BenchError, did_you_mean, first_problem
from bench.events import Notice
from bench.files import user_path
from bench.metrics.features import check_metric
from bench.metrics.role import Metric
from bench.params import Plugin
from bench.plan.contexts import MetricContexts
from bench.plan.settings import NO_METRIC, SAMPLER_SETTINGS, Settings
from bench.plan.sources import open_images
from bench.plan.suites import ROLES, CellSettings, Place, Suite, add_place, expand
from bench.plugins.registry import Registry
from bench.results.manifest import SuitePlan, suite_plans
from bench.results.run_spec import RunSpec, UnplannedRun, companion_runs
from bench.tasks.role import Task

if TYPE_CHECKING:
    from bench.data.images import Images

from bench.plan.building import (
    Objects,
    build_metrics,
    build_plugin,
    parameters_by_plugin,
    with_reference,
)
from bench.plan.declarations import planned_nfe
from bench.plan.drafting import Draft, PluginErrors

MAX_RUNS = 100_000
"""Greatest number of runs of a plan."""


def _check_count(count: int) -> None:
    if count > MAX_RUNS:
        raise BenchError(f"the settings make {count:,} runs, more than {MAX_RUNS:,}: make several plans")


@dataclasses.dataclass(frozen=True)
class Plan:
    """Runs to execute, in order, and the settings that they were planned from.

    ``profile`` is the name of the bench.toml profile; ``suite`` and ``suite_plans`` are set for a suite.
    """

    runs: tuple[RunSpec | UnplannedRun, ...]
    settings: Settings
    profile: str
    suite: str | None = None
    suite_plans: tuple[SuitePlan, ...] = ()

    @property
    def specs(self) -> list[RunSpec]:
        """The runs that can start."""
        return [run for run in self.runs if isinstance(run, RunSpec)]

    @property
    def companions(self) -> list[RunSpec]:
        """The runs that metrics read beside those of the plan (`companion_runs`)."""
        return companion_runs(self.runs)


def with_default_solver(settings: Settings, registry: Registry) -> Settings:
    """The settings, with the default solver of a task where the user chose no sampler."""
    task = registry.get("tasks", settings.task).thing
    chosen = {"predictor", "corrector", "solver"} & settings.model_fields_set
    no_corrector = {"corrector"} if settings.corrector == ["none"] else set()
    if task.default_solver is None or chosen - no_corrector:
        return settings
    return settings.model_copy(update={"solver": [task.default_solver]})


class Planner:
    """Turns settings into runs.

    Args:
        contexts: Plugins by name, and what metrics may use on each device.
        objects: Plugins passed as objects.
    """

    def __init__(self, contexts: MetricContexts, objects: Objects | None = None) -> None:
        self.contexts = contexts
        self.registry = contexts.registry
        self.objects = objects or {}
        self.emit = contexts.emit
        self._images: dict[str, Images] = {}

    def runs(self, settings: Settings, suite: Suite | None = None) -> list[RunSpec | UnplannedRun]:
        """Every run that the settings expand to, checked; `BenchError` for a meaningless combination.

        An error of another kind is the plugin's own and stops that run alone. Runs of a suite leave out
        metrics that have no value for their sampler.
        """
        settings = with_default_solver(settings, self.registry)
        device = str(choose_device(settings.device))
        if settings.precision == "tf32" and not device.startswith("cuda"):
            raise BenchError("--precision tf32 needs a GPU: use fp32 or bf16 on this device")
        if settings.precision == "bf16" and emulates_bf16(device):
            self.emit(Notice("this processor emulates bfloat16: --precision bf16 is slower than fp32 here"))
        self._check_parameters(settings)
        errors = PluginErrors()
        task: Task | None = None
        images: Images | None = None
        others: tuple[Card, ...] = ()
        with errors.collect():
            values = settings.parameters.get("task", {})
            task = build_plugin(self.registry, self.objects, "tasks", settings.task, values)
            assert task is not None
            images = self._task_images(settings, task)
            others = tuple(self.registry.get("checkpoints", name).thing for name in task.checkpoints)
        runs: list[RunSpec | UnplannedRun] = []
        for card, sde in self._checkpoints(settings):
            errors_here = PluginErrors(errors.first)
            metrics: tuple[Metric, ...] = ()
            with errors_here.collect():
                if task is not None:
                    further = () if suite is None or card.exact else suite.network_metrics
                    metrics = self._metrics(settings, card, task, device, further)
            # who has yet to fetch the checkpoint learns first which metrics refuse it; then metrics may fetch
            card.check()
            with errors_here.collect():
                for metric in metrics:
                    metric.provenance(self.contexts.on(device))
            for names in self._sampler_names(settings, sde):
                part_errors = PluginErrors(errors_here.first)
                parts: dict[str, Plugin] = {}
                for role, name in names.items():
                    with part_errors.collect():
                        parts[role] = self._part(settings, role, name, card, sde)
                for seed in range(settings.seed, settings.seed + settings.repeats):
                    draft = Draft(
                        registry=self.registry,
                        settings=settings,
                        card=card,
                        task=task,
                        parts=parts,
                        names=names,
                        metrics=metrics,
                        images=images,
                        others=others,
                        device=device,
                        precision=choose_precision(settings.precision, device, exact=card.exact),
                        seed=seed,
                        selective=suite is not None,
                    )
                    first = part_errors.first
                    runs.append(draft.run() if first is None else draft.unplanned(first))
        return runs

    def _check_parameters(self, settings: Settings) -> None:
        self.registry.get("executors", settings.executor)
        grid = self.registry.get("grids", settings.grid).thing
        if settings.label_scales is not None and (settings.solver or not grid.has_chain):
            raise BenchError("--label-scales belongs to a predictor or corrector with --grid uniform")
        known = (*ROLES, "metric", "executor", "logger")
        absent = {"predictor", "corrector", "grid"} if settings.solver else {"solver"}
        for role in settings.parameters:
            if role not in known:
                raise BenchError(f"unknown role {role!r} in a parameter{did_you_mean(role, known)}")
            if role in absent:
                remedy = "leave out --solver" if role != "solver" else "give --solver"
                raise BenchError(f"a parameter of a {role} was given, but the run has none: {remedy}")

    def _task_images(self, settings: Settings, task: Task) -> Images | None:
        """The images that a task works on; `BenchError` where it takes none, or there are too few."""
        if not task.takes_data:
            if settings.data is not None:
                raise BenchError(f"the task {task.name} takes no images: leave out --data")
            return None
        if settings.data is None:
            return None
        if settings.data not in self._images:
            self._images[settings.data] = open_images(
                settings.data, results=user_path(settings.out), emit=self.emit, registry=self.registry
            )
        images = self._images[settings.data]
        needed = -(-settings.samples // task.per_image)
        if images.n < needed:
            most = images.n * task.per_image
            raise BenchError(
                f"{settings.data} holds {images.n} images, the run needs {needed}: --samples {most}"
            )
        return images

    def _checkpoints(self, settings: Settings) -> Iterable[tuple[Card, str]]:
        """Checkpoints with SDEs; where the user gives none, each with the SDE of its training."""
        for name in unique(settings.checkpoint):
            card: Card = self.registry.get("checkpoints", name).thing
            metrics = self.registry.names("metrics")
            if card.metric not in metrics:
                raise BenchError(
                    f"checkpoint {card.name}: its card names the unknown metric {card.metric!r}"
                    f"{did_you_mean(card.metric, metrics)}"
                )
            for sde in unique(settings.sde) or [card.sde or "vp"]:
                yield card, sde

    def _metrics(
        self, settings: Settings, card: Card, task: Task, device: str, further: Sequence[str] = ()
    ) -> tuple[Metric, ...]:
        """The run's metrics, checked against the task's outputs and the shape of its samples. They compare
        with the checkpoint's own data unless user or card name a reference.

        ``further`` are those of a suite besides the default ones.
        """
        if settings.metric == [NO_METRIC]:
            return ()
        default = [*task.metrics_on(card)] or [card.metric]
        names = unique(settings.metric) or unique([*default, *further])
        parameters = self._published_of_metrics(names, card) | settings.parameters.get("metric", {})
        metrics = build_metrics(self.registry, names, parameters, self.objects)
        if "reference" not in parameters:
            metrics = tuple(with_reference(metric, card) for metric in metrics)
        for metric in metrics:
            for name in metric.inputs:
                if name not in task.outputs:
                    outputs = f": it returns {', '.join(task.outputs)}"
                    raise BenchError(
                        f"{metric.name} reads {name}, which the task {task.name} does not return{outputs}"
                    )
            check_metric(metric, task, card.shape, settings.samples, self.contexts.on(device))
        labels = [metric.label for metric in metrics]
        if len(set(labels)) < len(labels):
            twice = next(label for label in labels if labels.count(label) > 1)
            raise BenchError(f"two metrics are called {twice} in records: choose one of them")
        return metrics

    def _published_of_metrics(self, names: Sequence[str], card: Card) -> dict[str, object]:
        """The card's parameters of metrics, such as the reference, that one of these metrics takes."""
        if any(("metrics", name) in self.objects for name in names):
            return {}
        plugins = [self.registry.get("metrics", name).thing for name in names]
        known = {parameter.name for plugin in plugins for parameter in plugin.parameters()}
        return {key: value for key, value in card.parameters.get("metric", {}).items() if key in known}

    def _sampler_names(self, settings: Settings, sde: str) -> list[dict[str, str]]:
        """Names by role of every sampler that the settings select."""
        if settings.solver:
            if {"predictor", "corrector"} & settings.model_fields_set:
                raise BenchError(
                    "a solver integrates alone: give --solver, or --predictor and --corrector, not both"
                )
            return [{"sde": sde, "solver": name} for name in unique(settings.solver)]
        pairs = itertools.product(unique(settings.predictor), unique(settings.corrector))
        names = [
            {"sde": sde, "predictor": predictor, "corrector": corrector, "grid": settings.grid}
            for predictor, corrector in pairs
        ]
        if any(one["predictor"] == one["corrector"] == "none" for one in names):
            raise BenchError("a run without predictor and without corrector does nothing: give one of them")
        return names

    def _part(self, settings: Settings, role: str, name: str, card: Card, sde: str) -> Plugin:
        """A plugin of a sampler, with the parameters of task, card and user, of which the last override."""
        selected = [name] if role == "grid" else getattr(settings, role) or [name]
        values = parameters_by_plugin(self.registry, role, selected, settings.parameters.get(role, {}))[name]
        known = {parameter.name for parameter in self.registry.get(f"{role}s", name).thing.parameters()}
        published = card.parameters.get(role, {}) if sde == card.sde else {}
        task = self.registry.get("tasks", settings.task).thing
        defaults = dict(task.sde_defaults) if role == "sde" else {}
        own = {key: value for key, value in (defaults | published).items() if key in known}
        if (f"{role}s", name) in self.objects:
            own = {}
        part: Plugin = build_plugin(self.registry, self.objects, f"{role}s", name, own | values)
        return part


def unique(names: Sequence[str]) -> list[str]:
    """The names without repetition."""
    return list(dict.fromkeys(names))


def plan_runs(
    settings: Settings,
    profile: str,
    contexts: MetricContexts,
    objects: Objects | None = None,
) -> Plan:
    """The plan of a command without a suite."""
    settings = with_default_solver(settings, contexts.registry)
    samplers = len(settings.solver) or len(settings.predictor) * len(settings.corrector)
    groups = len(settings.checkpoint) * max(1, len(settings.sde)) * samplers
    _check_count(groups * settings.repeats)
    return Plan(tuple(Planner(contexts, objects).runs(settings)), settings, profile)


def plan_suite(
    settings: Settings,
    profile: str,
    name: str,
    suite: Suite,
    contexts: MetricContexts,
    *,
    scale: float = 1.0,
    only: Sequence[str] = (),
    objects: Objects | None = None,
) -> Plan:
    """Every run of a suite, by checkpoint, then by seed, so that an interruption leaves whole tables.

    Settings of samplers are the suite's; the others (checkpoint, samples, seeds, …) come from ``settings``.

    Args:
        scale: Factor of all step counts.
        only: Patterns of ``SDE ROW COLUMN``; runs that match none are left out.
    """
    if not 0 < scale <= 100:
        raise BenchError(f"--steps-scale must lie above 0 and at most at 100, not {scale:g}")
    planner = Planner(contexts, objects)
    placed = _placed_runs(planner, settings, name, suite, scale, only)
    plans = tuple(suite_plans(name, suite, placed, scale))
    labels = {str(place) for place, _ in placed}
    for pattern in only:
        if not any(fnmatchcase(label, pattern) for label in labels):
            raise BenchError(f"no cell of the suite matches {pattern!r}: a cell is called {min(labels)!r}")
    runs = [run for place, run in placed if _is_chosen(place, only)]
    return Plan(tuple(runs), settings, profile, name, plans)


def _is_chosen(place: Place, only: Sequence[str]) -> bool:
    return not only or any(fnmatchcase(str(place), pattern) for pattern in only)


def _placed_runs(
    planner: Planner, settings: Settings, name: str, suite: Suite, scale: float, only: Sequence[str]
) -> list[tuple[Place, RunSpec | UnplannedRun]]:
    """The runs of all cells, in the suite's order.

    Those that ``only`` chooses are planned first, so that what holds for all cells is said of one of them.
    """
    common = settings.model_dump(exclude={*SAMPLER_SETTINGS, "parameters"})
    shared = {
        role: settings.parameters[role]
        for role in ("metric", "executor", "logger")
        if role in settings.parameters
    }
    by_cell: dict[int, list[tuple[Place, RunSpec | UnplannedRun]]] = {}
    cells, places = expand(name, suite, scale), set[Place]()
    unscaled = expand(name, suite)
    _check_count(len(cells) * len(settings.checkpoint) * settings.repeats)
    for index in sorted(range(len(cells)), key=lambda i: not _is_chosen(cells[i][0], only)):
        (place, choice), (_, whole) = cells[index], unscaled[index]
        selections: dict[str, list[object]] = {
            key: [value] for key, value in choice.items() if key in ROLES and key not in ("task", "grid")
        }
        if "solver" not in selections:
            selections.setdefault("corrector", ["none"])
        parameters = choice.get("parameters", {}) | shared
        try:
            variant = Settings.model_validate({**common, **choice, **selections, "parameters": parameters})
            runs = planner.runs(variant, suite)
        except ValidationError as error:
            raise BenchError(f"suite {name}: {place}: {first_problem(error)}") from error
        except BenchError as error:
            hint = "" if scale >= 1 else f" (here all step counts are times {scale:g}: raise --steps-scale)"
            raise BenchError(f"suite {name}: {place}: {error}{hint}") from error
        if place.lacks_nfe:
            place = place.with_nfe(_unscaled_nfe(runs, whole))
            add_place(name, place, places)
        by_cell[index] = [(place, run) for run in runs]
    placed = [pair for index in range(len(cells)) for pair in by_cell[index]]
    order = {checkpoint: i for i, checkpoint in enumerate(unique(settings.checkpoint))}
    return sorted(placed, key=lambda pair: (order[pair[1].identity.checkpoint.name], pair[1].seed))


def _unscaled_nfe(runs: Sequence[RunSpec | UnplannedRun], settings: CellSettings) -> int | None:
    """Network calls per sample of a cell's runs at the suite's own step count; None where unknown."""
    for run in runs:
        if isinstance(run, RunSpec):
            steps = settings.get("steps", run.sampler.steps)
            sampler = dataclasses.replace(run.sampler, steps=steps, label_scales=None)
            return planned_nfe(run.task, sampler)
    return None
