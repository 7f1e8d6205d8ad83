"""One run under construction: checked, named and identified, or failed with the reason."""

from __future__ import annotations

import dataclasses
import json
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from bench.checkpoints.cards import Card
from bench.checkpoints.exact import trained_answer
from bench.checkpoints.resolve import label_of, parametrisation_of
from bench.data.images import items_of
from bench.diffusion.grid import Grid
from bench.diffusion.levels import Step
from bench.diffusion.roles import PartError, SamplerPart, Solver
from bench.diffusion.sampler import Sampler, check_denoise, default_denoise
from bench.errors import BenchError, NoValueError, one_line
from bench.metrics.role import Metric
from bench.params import Plugin
from bench.plan.artifacts import check_artifacts, fittable_parts
from bench.plan.declarations import declared_order, planned_nfe
from bench.plan.fingerprint import (
    IN_MEMORY,
    checkpoint_identity,
    class_code,
    convention_of,
    core_hash,
    data_identity,
    device_kind,
    grid_identity,
    is_object,
    library_version,
    partial_checkpoint_identity,
    plugin_code,
    plugin_identity,
)
from bench.plan.settings import DEFAULT_TASK, NO_METRIC, Settings
from bench.plugins.registry import Entry, Registry
from bench.results.identity import DataIdentity, Identity, PluginIdentity
from bench.results.run_spec import Companion, RunSpec, UnplannedRun
from bench.tasks.role import Task, check_task
from bench.types import ClassLabels, Precision

if TYPE_CHECKING:
    from bench.data.images import Images


class PluginErrors:
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
class Draft:
    """One run under construction; ``task`` and ``parts`` lack plugins that could not be built."""

    registry: Registry
    settings: Settings
    card: Card
    task: Task | None
    parts: Mapping[str, Plugin]
    names: Mapping[str, str]
    metrics: tuple[Metric, ...]
    images: Images | None
    others: tuple[Card, ...]
    device: str
    precision: Precision
    seed: int
    selective: bool = False
    """Whether the run leaves out metrics that have no value for its sampler, in place of an error."""

    def run(self) -> RunSpec | UnplannedRun:
        """The run; an `UnplannedRun` where a plugin raises an error of its own."""
        assert self.task is not None
        try:
            sampler = self._sampler(self.task)
            if fittable_parts(sampler):
                convention = convention_of(self.card, sampler.sde, self.registry)
                checkpoint = checkpoint_identity(self.card, convention, self.registry)
                check_artifacts(sampler, checkpoint, self.seed)
            steps = self._check(self.task, sampler)
            identity = self._identity(self.task, sampler)
            metrics = self._metrics_of(sampler)
            spec = RunSpec(
                card=self.card,
                task=self.task,
                sampler=sampler,
                metrics=metrics,
                unfit=tuple(metric.label for metric in self.metrics if metric not in metrics),
                samples=self.settings.samples,
                batch_size=self.batch_size,
                device=self.device,
                precision=self.precision,
                compile=self.settings.compile,
                labels=self._labels(),
                data=self.images,
                others=self.others,
                identity=identity,
                title=self._title(self.task, sampler),
                planned_nfe=planned_nfe(self.task, sampler, steps),
                declared_order=declared_order(sampler),
                cacheable=self._cacheable(self.task),
                in_memory=self.card.in_memory or bool(self._objects(self.task)) or self._has_metric_object(),
            )
            _ = spec.key, spec.fingerprint  # fails here for what a plugin declares and JSON can't hold
            return dataclasses.replace(spec, companions=self._companions(metrics, sampler))
        except BenchError:
            raise
        except Exception as error:
            return self.unplanned(error)

    @property
    def batch_size(self) -> int:
        return min(self.settings.batch_size, self.settings.samples)

    def _labels(self) -> ClassLabels | None:
        """The classes that the checkpoint is given; `BenchError` where it has no such classes."""
        card, labels = self.card, self.settings.labels
        if not card.classes:
            if labels is not None:
                raise BenchError(f"checkpoint {card.name} is not class-conditional: leave out --labels")
            return None
        if isinstance(labels, int) and labels >= card.classes:
            raise BenchError(f"{card.name} has no class {labels}: --labels must be 0 to {card.classes - 1}")
        return "seed" if labels is None else labels

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
            order=settings.order,
            denoise=denoise,
            label_scales=settings.label_scales,
            afs=settings.afs,
        )

    def _metrics_of(self, sampler: Sampler) -> tuple[Metric, ...]:
        """The metrics that have a value for the sampler."""
        metrics = []
        for metric in self.metrics:
            try:
                metric.check_sampler(sampler)
            except NoValueError:
                if not self.selective:
                    raise
            else:
                metrics.append(metric)
        return tuple(metrics)

    def _companions(self, metrics: Sequence[Metric], sampler: Sampler) -> tuple[Companion, ...]:
        """The runs that the metrics read beside this one, from the same prior noise."""
        companions = []
        for metric in metrics:
            for name, run in metric.companions(sampler).items():
                solver: Solver = self.registry.build("solvers", run.solver, dict(run.parameters))
                if not solver.follows_flow:
                    raise BenchError(
                        f"{metric.label} needs a run by a solver of the probability flow, which {run.solver} "
                        "is not"
                    )
                own = {"solver": [run.solver], "denoise": run.denoise}
                draft = dataclasses.replace(
                    self,
                    settings=self.settings.model_copy(update=own | {"label_scales": None, "afs": False}),
                    parts={"sde": sampler.sde, "solver": solver},
                    names={"sde": self.names["sde"], "solver": run.solver},
                    metrics=(),
                    precision="fp32",
                )
                try:
                    spec = draft.run()
                except BenchError as error:
                    raise BenchError(
                        f"{metric.label} has no value here: it needs the same run by {run.solver}, which the "
                        f"task {self.settings.task} or the checkpoint refuses; choose another --metric"
                    ) from error
                if isinstance(spec, UnplannedRun):
                    raise BenchError(f"{metric.label} needs a run by {run.solver}: {spec.reason}")
                companions.append(Companion(metric=metric.label, name=name, spec=spec, output=run.output))
        return tuple(companions)

    def _check(self, task: Task, sampler: Sampler) -> Sequence[Step]:
        """The run's steps; `BenchError` where task, checkpoint, sampler and data don't go together."""
        card, settings = self.card, self.settings
        if sampler.predictor is not None and sampler.predictor.needs_variance:
            if not card.learned_variance:
                raise BenchError(
                    f"checkpoint {card.name} has no learned variance: choose another predictor.variance"
                )
            if convention_of(card, sampler.sde, self.registry) != "published":
                raise BenchError(
                    f"the learned variance of {card.name} belongs to the SDE of its training: leave out --sde"
                )
        if card.exact:
            trained_answer(card, sampler.sde)  # raises on an SDE whose scales the checkpoint can't know
        for other in self.others:
            if other.classes not in (0, card.classes):
                own = card.classes or "none"
                raise BenchError(
                    f"{task.name}: {other.name} has {other.classes} classes, {card.name} has {own}"
                )
        check_task(task, card, sampler, self.others)
        _check_data(self.images, card, task, settings.samples, self.batch_size)
        if sampler.solver is not None:
            return ()
        steps = sampler.schedule()
        sampler.labels()
        return steps

    def _entry(self, role: str) -> Entry:
        name = self.settings.task if role == "task" else self.names[role]
        return self.registry.get(f"{role}s", name)

    def _objects(self, task: Task) -> list[tuple[Entry, Plugin]]:
        """The parts that were passed as objects."""
        pairs: list[tuple[Entry, Plugin]] = [(self._entry(role), part) for role, part in self.parts.items()]
        pairs.append((self._entry("task"), task))
        return [(entry, part) for entry, part in pairs if entry.distribution == IN_MEMORY]

    def _has_metric_object(self) -> bool:
        """Whether a metric was passed as an object."""
        return any(is_object("metrics", metric.name, self.registry) for metric in self.metrics)

    def _cacheable(self, task: Task) -> bool:
        """Whether all code and files that decide the samples could be read."""
        sources = [plugin_code(self._entry(role), part) for role, part in self.parts.items()]
        sources.append(plugin_code(self._entry("task"), task))
        if self.card.needs_reader:
            sources.append(class_code(self.registry.get("readers", self.card.format).thing))
        if not self.card.exact:
            sources.append(class_code(type(parametrisation_of(self.card, self.registry))))
            sources.append(class_code(type(label_of(self.card, self.registry))))
        return all(source.complete for source in sources) and self.card.cacheable

    def _identity(self, task: Task, sampler: Sampler) -> Identity:
        registry = self.registry
        convention = convention_of(self.card, sampler.sde, registry)
        provenance: dict[str, JsonValue] = dict(task.provenance(self.card))
        for card in self.others:
            other = checkpoint_identity(card, convention_of(card, sampler.sde, registry), registry)
            provenance[card.name] = other.model_dump(mode="json", exclude_none=True)
        return self._identity_of(
            checkpoint=checkpoint_identity(self.card, convention, registry),
            task=plugin_identity(self._entry("task"), task).model_copy(update={"provenance": provenance}),
            **{role: self._part_identity(role, sampler) for role in self.parts},
            **grid_identity(sampler),
            denoise=sampler.denoise,
            labels=self._labels(),
            data=data_identity(task, self.images),
        )

    def _part_identity(self, role: str, sampler: Sampler) -> PluginIdentity:
        """A part of the sampler, with its first step where that is not its own."""
        identity = plugin_identity(self._entry(role), getattr(sampler, role))
        if role == "corrector" or not sampler.starts_by_limit:
            return identity
        return identity.model_copy(update={"provenance": {"first step": "DDIM's limit at alpha = 0"}})

    def _partial_identity(self) -> Identity:
        """The identity of a run that can't be planned, without running any plugin's code."""
        settings = self.settings
        plugins = {role: _registered_identity(self._entry(role)) for role in ("task", *self.names)}
        for role, plugin in plugins.items():
            values = json.dumps(settings.parameters.get(role, {}), sort_keys=True, default=str)
            plugins[role] = plugin.model_copy(update={"parameters": json.loads(values)})
        grid: dict[str, Any] = {}
        if "solver" not in self.names:
            grid = {key: getattr(settings, key) for key in ("steps", "order", "label_scales")}
            grid["afs"] = settings.afs or None
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
            precision=self.precision,
            compile=self.settings.compile,
            device=device_kind(self.device),
            torch=library_version("torch"),
            code=core_hash(),
        )

    def _title(self, run_task: Task, sampler: Sampler) -> str:
        """The run in one line: every setting that differs from its default, without the seed."""
        parts = [part for part in (sampler.solver, sampler.predictor, sampler.corrector) if part is not None]
        method = " + ".join(described(part) for part in parts if part.name != "none")
        if sampler.solver is None:
            method += f", {sampler.steps} steps"
            method += "" if sampler.grid.name == "uniform" else f", {_grid_text(sampler.grid)}"
            method += "" if sampler.order == "corrector_first" else f", {sampler.order.replace('_', ' ')}"
            scales = sampler.label_scales
            method += "" if scales is None else f", labels of {scales} scales"
            method += ", AFS" if sampler.afs else ""
        if sampler.denoise != default_denoise(sampler.solver) and not run_task.follows_flow:
            method += f", denoise {sampler.denoise}"
        labels = self._labels()
        method += ", classes in turn" if labels == "turn" else ""
        method += f", class {labels}" if isinstance(labels, int) else ""
        method += "" if self.precision == "fp32" else f", {self.precision}"
        method += ", compiled" if self.settings.compile else ""
        task = "" if run_task.name == DEFAULT_TASK else f"{run_task.described()} · "
        data = "" if self.images is None else f" · of {self.images.name}"
        return f"{task}{self.card.name} · {sampler.sde.described()} · {method}{data}"

    def unplanned(self, error: Exception) -> UnplannedRun:
        """The failed run for a plugin that raised ``error``."""
        entries = {role: self._entry(role) for role in (*self.names, "task")}
        chosen = self.settings.metric or entries["task"].thing.metrics or [self.card.metric]
        for name in [] if chosen == [NO_METRIC] else chosen:
            entries[f"metric {name}"] = self.registry.get("metrics", name)
        reason = f"{type(error).__name__}: {one_line(error)}"
        origin = origin_of(error, {key: entry.thing for key, entry in entries.items()})
        if origin is not None:
            entry = entries[origin]
            reason += f" ({entry.kind[:-1]} {entry.name} of {entry.distribution} {entry.version})"
        task = "" if self.settings.task == DEFAULT_TASK else f"{self.settings.task} · "
        roles = ("solver", "predictor", "corrector")
        sampler = [self.names[role] for role in roles if self.names.get(role, "none") != "none"]
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


def described(part: SamplerPart) -> str:
    """A part with its changed parameters; a solver with all, since its tolerance decides its cost."""
    # an empty text stands for none of a library's further settings: it says nothing in a title
    always = [one.name for one in part.parameters() if one.default != ""] if isinstance(part, Solver) else ()
    return part.described(always)


def _grid_text(grid: Grid) -> str:
    """A time grid in a title, such as ``polynomial grid rho 5``."""
    changes = (f" {name} {value}" for name, value in grid.changed_texts().items())
    return f"{grid.name} grid" + "".join(changes)


def _check_data(images: Images | None, card: Card, task: Task, samples: int, batch_size: int) -> None:
    if task.takes_data and images is None and not card.exact:
        raise BenchError(
            f"the task {task.name} works on images: give --data (a folder, an .npz, a run, or a data set's "
            "name such as cifar10-test), or --checkpoint gaussian-cifar10, which has draws of its own"
        )
    if images is not None and tuple(images.shape) != tuple(card.shape):
        kinds = [items_of(shape) for shape in (images.shape, card.shape)]
        raise BenchError(f"{images.name} is of {kinds[0]}, {card.name} takes {kinds[1]}")
    if task.takes_data:
        task.check_data(images, samples, batch_size)
    for flag, size in (("--samples", samples), ("--batch-size", batch_size)):
        if size % task.per_image:
            raise BenchError(f"{flag} must be a multiple of the {task.per_image} samples made of an image")
