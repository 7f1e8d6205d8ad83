"""From settings to runs that are checked, fingerprinted and costed. Nothing here samples."""

from __future__ import annotations

import dataclasses
import itertools
import json
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue, ValidationError

from bench.checkpoints.cards import Card
from bench.devices import choose_device
from bench.diffusion.roles import PartError, SamplerPart, Solver
from bench.diffusion.sampler import Sampler, check_denoise, default_denoise
from bench.errors import BenchError, did_you_mean, first_problem
from bench.metrics.features import check_metric
from bench.metrics.role import Metric
from bench.params import Plugin
from bench.plan.contexts import MetricContexts
from bench.plan.fingerprint import (
    IN_MEMORY,
    checkpoint_identity,
    class_code,
    convention_of,
    core_hash,
    data_identity,
    device_kind,
    grid_identity,
    library_version,
    partial_checkpoint_identity,
    plugin_code,
    plugin_identity,
)
from bench.plan.settings import DEFAULT_TASK, SAMPLER_SETTINGS, Settings
from bench.plan.sources import open_images
from bench.plan.suites import ROLES, Place, Suite, expand
from bench.plugins.registry import Entry, Registry
from bench.results.identity import DataIdentity, Identity, PluginIdentity
from bench.results.manifest import SuitePlan, suite_plans
from bench.results.run_spec import RunSpec, UnplannedRun
from bench.tasks.role import Task, check_task

if TYPE_CHECKING:
    from bench.data.images import Images

Objects = Mapping[tuple[str, str], Plugin]
"""Plugins that were passed as objects, by kind and by their names in the settings."""


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

    def runs(self, settings: Settings) -> list[RunSpec | UnplannedRun]:
        """Every run that the settings expand to, checked; `BenchError` for a meaningless combination.

        An error of another kind is the plugin's own and stops that run alone.
        """
        settings = with_default_solver(settings, self.registry)
        device = str(choose_device(settings.device))
        if settings.precision == "tf32" and not device.startswith("cuda"):
            raise BenchError("--precision tf32 needs a GPU: use fp32 or bf16 on this device")
        self._check_parameters(settings)
        errors = _PluginErrors()
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
            errors_here = _PluginErrors(errors.first)
            metrics: tuple[Metric, ...] = ()
            with errors_here.collect():
                if task is not None:
                    metrics = self._metrics(settings, card, task, device)
            for names in self._sampler_names(settings, sde):
                part_errors = _PluginErrors(errors_here.first)
                parts: dict[str, Plugin] = {}
                for role, name in names.items():
                    with part_errors.collect():
                        parts[role] = self._part(settings, role, name, card, sde)
                for seed in range(settings.seed, settings.seed + settings.repeats):
                    draft = _Draft(
                        planner=self,
                        settings=settings,
                        card=card,
                        task=task,
                        parts=parts,
                        names=names,
                        metrics=metrics,
                        images=images,
                        others=others,
                        device=device,
                        seed=seed,
                    )
                    first = part_errors.first
                    runs.append(draft.run() if first is None else draft.unplanned(first))
        return runs

    def _check_parameters(self, settings: Settings) -> None:
        self.registry.get("executors", settings.executor)
        if settings.label_scales is not None and (settings.solver or settings.grid != "uniform"):
            raise BenchError("--label-scales belongs to a predictor or corrector with --grid uniform")
        known = (*ROLES, "metric", "executor")
        absent = {"predictor", "corrector"} if settings.solver else {"solver"}
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
                settings.data, results=settings.out.expanduser(), emit=self.emit
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
            card.check()
            metrics = self.registry.names("metrics")
            if card.metric not in metrics:
                raise BenchError(
                    f"checkpoint {card.name}: its card names the unknown metric {card.metric!r}"
                    f"{did_you_mean(card.metric, metrics)}"
                )
            for sde in unique(settings.sde) or [card.sde or "vp"]:
                yield card, sde

    def _metrics(self, settings: Settings, card: Card, task: Task, device: str) -> tuple[Metric, ...]:
        """The run's metrics, checked against the task's outputs and the shape of its samples."""
        names = unique(settings.metric) or list(task.metrics_on(card)) or [card.metric]
        metrics = build_metrics(self.registry, names, settings.parameters.get("metric", {}), self.objects)
        for metric in metrics:
            for name in metric.inputs:
                if name not in task.outputs:
                    outputs = f": it returns {', '.join(task.outputs)}"
                    raise BenchError(
                        f"{metric.name} reads {name}, which the task {task.name} does not return{outputs}"
                    )
            check_metric(metric, task, card.shape, settings.samples, self.contexts.on(device))
            metric.provenance(self.contexts.on(device))
        return metrics

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
            {"sde": sde, "predictor": predictor, "corrector": corrector} for predictor, corrector in pairs
        ]
        if any(one["predictor"] == one["corrector"] == "none" for one in names):
            raise BenchError("a run without predictor and without corrector does nothing: give one of them")
        return names

    def _part(self, settings: Settings, role: str, name: str, card: Card, sde: str) -> Plugin:
        """A plugin of a sampler, with the parameters of task, card and user, of which the last override."""
        selected = getattr(settings, role) or [name]
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


def parameters_by_plugin(
    registry: Registry, role: str, names: Sequence[str], parameters: Mapping[str, object]
) -> dict[str, dict[str, object]]:
    """Parameters by plugin: each goes to all selected plugins that have it; `BenchError` where none has."""
    known = {
        name: {parameter.name for parameter in registry.get(f"{role}s", name).thing.parameters()}
        for name in names
    }
    every = set().union(*known.values())
    for key in parameters.keys() - every:
        remedy = f": give --{role}" if list(names) == ["none"] else ""
        takes = did_you_mean(key, every) if every else f" (it has no parameters){remedy}"
        raise BenchError(f"{role} {', '.join(names)} has no parameter {key!r}{takes}")
    return {name: {key: value for key, value in parameters.items() if key in known[name]} for name in names}


def build_plugin(
    registry: Registry, objects: Objects, kind: str, name: str, values: Mapping[str, object]
) -> Any:
    """The plugin of that name with these parameters; an object of that name keeps its other parameters."""
    instance = objects.get((kind, name))
    if instance is None:
        return registry.build(kind, name, dict(values))
    return instance.build(instance.values() | dict(values))


def build_metrics(
    registry: Registry,
    names: Sequence[str],
    parameters: Mapping[str, object],
    objects: Objects | None = None,
) -> tuple[Metric, ...]:
    """The metrics of these names, each with the parameters that it has."""
    own = parameters_by_plugin(registry, "metric", names, parameters)
    return tuple(build_plugin(registry, objects or {}, "metrics", name, own[name]) for name in names)


class _PluginErrors:
    """The first error that is a plugin's own; a `BenchError` passes."""

    def __init__(self, first: Exception | None = None) -> None:
        self.first = first

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Catch such an error at the end of the block."""
        try:
            yield
        except BenchError:
            raise
        except Exception as error:
            self.first = self.first or error


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Draft:
    """One run under construction; ``task`` and ``parts`` lack plugins that could not be built."""

    planner: Planner
    settings: Settings
    card: Card
    task: Task | None
    parts: Mapping[str, Plugin]
    names: Mapping[str, str]
    metrics: tuple[Metric, ...]
    images: Images | None
    others: tuple[Card, ...]
    device: str
    seed: int

    def run(self) -> RunSpec | UnplannedRun:
        """The run; an `UnplannedRun` where a plugin raises an error of its own."""
        assert self.task is not None
        try:
            sampler = self._sampler(self.task)
            self._check(self.task, sampler)
            identity = self._identity(self.task, sampler)
            return RunSpec(
                card=self.card,
                task=self.task,
                sampler=sampler,
                metrics=self.metrics,
                samples=self.settings.samples,
                batch_size=self.batch_size,
                device=self.device,
                precision=self.settings.precision,
                compile=self.settings.compile,
                data=self.images,
                others=self.others,
                identity=identity,
                title=self._title(self.task, sampler),
                planned_nfe=planned_nfe(self.task, sampler),
                cacheable=self._cacheable(self.task),
                in_memory=self.card.in_memory or bool(self._objects(self.task)),
            )
        except BenchError:
            raise
        except Exception as error:
            return self.unplanned(error)

    @property
    def batch_size(self) -> int:
        return min(self.settings.batch_size, self.settings.samples)

    def _sampler(self, task: Task) -> Sampler:
        solver, settings = self.parts.get("solver"), self.settings
        if task.follows_flow and settings.denoise not in (None, "none"):
            raise BenchError(f"the task {task.name} has no denoising step: leave out --denoise")
        assert solver is None or isinstance(solver, Solver)
        denoise = "none" if task.follows_flow else settings.denoise or default_denoise(solver)
        check_denoise(solver, denoise)
        parts: dict[str, Any] = dict(self.parts)
        return Sampler(
            **parts,
            steps=settings.steps,
            grid=settings.grid,
            rho=settings.rho,
            order=settings.order,
            denoise=denoise,
            label_scales=settings.label_scales,
        )

    def _check(self, task: Task, sampler: Sampler) -> None:
        """`BenchError` where task, checkpoint, sampler and data don't go together."""
        card, settings = self.card, self.settings
        if sampler.predictor is not None and sampler.predictor.needs_variance:
            if not card.learned_variance:
                raise BenchError(
                    f"checkpoint {card.name} has no learned variance: choose another predictor.variance"
                )
            if convention_of(card, sampler.sde, self.planner.registry) != "published":
                raise BenchError(
                    f"the learned variance of {card.name} belongs to the SDE of its training: leave out --sde"
                )
        check_task(task, card, sampler, self.others)
        _check_data(self.images, card, task, settings.samples, self.batch_size)
        if sampler.solver is None:
            sampler.schedule()
            sampler.labels()

    def _entry(self, role: str) -> Entry:
        name = self.settings.task if role == "task" else self.names[role]
        return self.planner.registry.get(f"{role}s", name)

    def _objects(self, task: Task) -> list[tuple[Entry, Plugin]]:
        """The parts that were passed as objects."""
        pairs: list[tuple[Entry, Plugin]] = [(self._entry(role), part) for role, part in self.parts.items()]
        pairs.append((self._entry("task"), task))
        return [(entry, part) for entry, part in pairs if entry.distribution == IN_MEMORY]

    def _cacheable(self, task: Task) -> bool:
        """Whether the source of everything that was passed as an object is known."""
        sources = [plugin_code(entry, part).complete for entry, part in self._objects(task)]
        return all(sources) and self.card.cacheable

    def _identity(self, task: Task, sampler: Sampler) -> Identity:
        registry = self.planner.registry
        convention = convention_of(self.card, sampler.sde, registry)
        provenance: dict[str, JsonValue] = dict(task.provenance(self.card))
        provenance |= {card.name: card.deciding() for card in self.others}
        return self._identity_of(
            checkpoint=checkpoint_identity(self.card, convention, registry),
            task=plugin_identity(self._entry("task"), task).model_copy(update={"provenance": provenance}),
            **{role: plugin_identity(self._entry(role), getattr(sampler, role)) for role in self.parts},
            **grid_identity(sampler),
            denoise=sampler.denoise,
            data=data_identity(task, self.images),
        )

    def _partial_identity(self) -> Identity:
        """The identity of a run that can't be planned, without running any plugin's code."""
        settings = self.settings
        plugins = {role: _registered_identity(self._entry(role)) for role in ("task", *self.names)}
        for role, plugin in plugins.items():
            values = json.dumps(settings.parameters.get(role, {}), sort_keys=True, default=str)
            plugins[role] = plugin.model_copy(update={"parameters": json.loads(values)})
        grid: dict[str, Any] = {}
        if "solver" not in self.names:
            keys = ("steps", "grid", "order", "rho", "label_scales")
            grid = {key: getattr(settings, key) for key in keys}
        return self._identity_of(
            checkpoint=partial_checkpoint_identity(self.card),
            **plugins,
            **grid,
            denoise=settings.denoise or "",
            data=None if settings.data is None else DataIdentity(kind="", name=settings.data),
        )

    def _identity_of(self, **fields: Any) -> Identity:
        """The identity with these fields and those that every run has."""
        return Identity(
            **fields,
            batch_size=self.batch_size,
            seed=self.seed,
            precision=self.settings.precision,
            compile=self.settings.compile,
            device=device_kind(self.device),
            torch=library_version("torch"),
            code=core_hash(),
        )

    def _title(self, run_task: Task, sampler: Sampler) -> str:
        """The run in one line: every setting that differs from its default, without the seed."""
        parts = [part for part in (sampler.solver, sampler.predictor, sampler.corrector) if part is not None]
        method = " + ".join(_described(part) for part in parts if part.name != "none")
        if sampler.solver is None:
            method += f", {sampler.steps} steps"
            method += "" if sampler.grid == "uniform" else f", {sampler.grid} grid"
            method += "" if sampler.grid != "polynomial" or sampler.rho == 7 else f" rho {sampler.rho:g}"
            method += "" if sampler.order == "corrector_first" else f", {sampler.order.replace('_', ' ')}"
            scales = sampler.label_scales
            method += "" if scales is None else f", labels of {scales} scales"
        if sampler.denoise != default_denoise(sampler.solver) and not run_task.follows_flow:
            method += f", denoise {sampler.denoise}"
        method += "" if self.settings.precision == "fp32" else f", {self.settings.precision}"
        method += ", compiled" if self.settings.compile else ""
        task = "" if run_task.name == DEFAULT_TASK else f"{run_task.described()} · "
        data = "" if self.images is None else f" · of {self.images.name}"
        return f"{task}{self.card.name} · {sampler.sde.described()} · {method}{data}"

    def unplanned(self, error: Exception) -> UnplannedRun:
        """The failed run for a plugin that raised ``error``."""
        entries = {role: self._entry(role) for role in (*self.names, "task")}
        for name in self.settings.metric or entries["task"].thing.metrics or [self.card.metric]:
            entries[f"metric {name}"] = self.planner.registry.get("metrics", name)
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        origin = origin_of(error, {key: entry.thing for key, entry in entries.items()})
        if origin is not None:
            entry = entries[origin]
            reason += f" ({entry.kind[:-1]} {entry.name} of {entry.distribution} {entry.version})"
        task = "" if self.settings.task == DEFAULT_TASK else f"{self.settings.task} · "
        sampler = [name for role, name in self.names.items() if role != "sde" and name != "none"]
        steps = "" if "solver" in self.names else f", {self.settings.steps} steps"
        return UnplannedRun(
            identity=self._partial_identity(),
            title=f"{task}{self.card.name} · {self.names['sde']} · {' + '.join(sampler)}{steps}",
            samples=self.settings.samples,
            outputs=tuple(self._entry("task").thing.outputs),
            reason=reason,
            log="".join(traceback.format_exception(error)),
        )


def _registered_identity(entry: Entry) -> PluginIdentity:
    """A registered plugin without its parameters."""
    code = "" if entry.distribution == IN_MEMORY else class_code(entry.thing).code
    return PluginIdentity(name=entry.name, distribution=entry.distribution, version=entry.version, code=code)


def origin_of(error: BaseException, parts: Mapping[str, Plugin | type[Plugin]]) -> str | None:
    """The key of the innermost plugin that raised; None where none of ``parts`` did.

    An instance stands for its class too: a plugin may replace itself (`Predictor.resolve`).
    """
    classes: dict[type, str] = {}
    for key, part in parts.items():
        classes[part if isinstance(part, type) else type(part)] = key
    owners = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, PartError):
        owners.append(error.part)
    keys = [classes[type(owner)] for owner in owners if type(owner) in classes]
    return keys[-1] if keys else None


def _described(part: SamplerPart) -> str:
    """A part with its changed parameters; a solver with all, since its tolerance decides its cost."""
    always = [parameter.name for parameter in part.parameters()] if isinstance(part, Solver) else ()
    return part.described(always)


def planned_nfe(task: Task, sampler: Sampler) -> int | None:
    """Network calls per sample as the plugins declare them; None where unknown in advance.

    Raises:
        TypeError: A plugin declares something that is no integer.
    """
    calls = _declared_nfe(task, sampler)
    if calls is not None and type(calls) is not int:
        raise TypeError(f"the number of network calls is declared as {calls!r}, not as an integer")
    return calls


def _declared_nfe(task: Task, sampler: Sampler) -> int | None:
    last = sampler.denoise == "tweedie"
    if task.follows_flow:
        return None
    if sampler.solver is not None:
        calls = sampler.solver.nfe()
        return None if calls is None else calls + last
    moves = sampler.corrector.calls if sampler.corrector is not None else 0
    levels = sampler.steps if sampler.order == "corrector_first" else sampler.steps - 1
    predictor = sampler.predictor
    predicts = 0 if predictor is None or predictor.idle else predictor.nfe(sampler.steps)
    return None if predicts is None else predicts + levels * moves + last


def _check_data(images: Images | None, card: Card, task: Task, samples: int, batch_size: int) -> None:
    if task.takes_data and images is None and not card.exact:
        raise BenchError(
            f"the task {task.name} works on images: give --data (a folder, an .npz, a run, or a data set's "
            "name such as cifar10-test), or --checkpoint gaussian-cifar10, which has draws of its own"
        )
    if images is not None and tuple(images.shape) != tuple(card.shape):
        sizes = ["x".join(map(str, shape)) for shape in (images.shape, card.shape)]
        raise BenchError(f"{images.name} is of {sizes[0]} images, {card.name} takes {sizes[1]}")
    if task.takes_data:
        task.check_data(images, samples, batch_size)
    for flag, size in (("--samples", samples), ("--batch-size", batch_size)):
        if size % task.per_image:
            raise BenchError(f"{flag} must be a multiple of the {task.per_image} samples made of an image")


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
    placed = _placed_runs(planner, settings, name, suite, scale)
    plans = tuple(suite_plans(name, suite, placed, scale))
    labels = {str(place) for place, _ in placed}
    for pattern in only:
        if not any(fnmatchcase(label, pattern) for label in labels):
            raise BenchError(f"no cell of the suite matches {pattern!r}: a cell is called {min(labels)!r}")
    runs = [
        run for place, run in placed if not only or any(fnmatchcase(str(place), pattern) for pattern in only)
    ]
    return Plan(tuple(runs), settings, profile, name, plans)


def _placed_runs(
    planner: Planner, settings: Settings, name: str, suite: Suite, scale: float
) -> list[tuple[Place, RunSpec | UnplannedRun]]:
    common = settings.model_dump(exclude={*SAMPLER_SETTINGS, "parameters"})
    shared = {
        role: settings.parameters[role] for role in ("metric", "executor") if role in settings.parameters
    }
    placed: list[tuple[Place, RunSpec | UnplannedRun]] = []
    for place, choice in expand(name, suite, scale):
        selections: dict[str, list[object]] = {
            key: [value] for key, value in choice.items() if key in ROLES and key != "task"
        }
        if "solver" not in selections:
            selections.setdefault("corrector", ["none"])
        parameters = choice.get("parameters", {}) | shared
        try:
            variant = Settings.model_validate({**common, **choice, **selections, "parameters": parameters})
            runs = planner.runs(variant)
        except ValidationError as error:
            raise BenchError(f"suite {name}: {place}: {first_problem(error)}") from error
        except BenchError as error:
            hint = "" if scale >= 1 else f" (here all step counts are times {scale:g}: raise --steps-scale)"
            raise BenchError(f"suite {name}: {place}: {error}{hint}") from error
        placed += [(place, run) for run in runs]
    order = {checkpoint: i for i, checkpoint in enumerate(unique(settings.checkpoint))}
    return sorted(placed, key=lambda pair: (order[pair[1].identity.checkpoint.name], pair[1].seed))
