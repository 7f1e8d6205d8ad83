"""Settings -> cells: checked, fingerprinted, costed. Nothing here samples."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bench.checkpoints.cards import Card
from bench.devices import choose_device
from bench.diffusion.sampler import Sampler, check_denoise, default_denoise
from bench.errors import BenchError, did_you_mean, first_problem
from bench.events import Emit, silent
from bench.metrics.context import MetricContext
from bench.metrics.features import check_metric
from bench.metrics.role import Metric
from bench.plan.settings import SAMPLER_SETTINGS, Settings
from bench.plan.suites import ROLES, Place, Suite, expand
from bench.plugins.registry import Entry, Registry
from bench.results.run_spec import RunSpec
from bench.tasks.role import Task, check_task

if TYPE_CHECKING:
    from bench.data.images import Images


def for_task(settings: Settings, registry: Registry) -> Settings:
    """The settings with the solver of a task that needs one, where no sampler was chosen."""
    task = registry.get("tasks", settings.task).thing
    chosen = {"predictor", "corrector", "solver"} & settings.model_fields_set
    if task.default_solver is None or chosen - ({"corrector"} if settings.corrector == ["none"] else set()):
        return settings
    return settings.model_copy(update={"solver": [task.default_solver]})


def metric_context(settings: Settings, registry: Registry, emit: Emit = silent) -> MetricContext:
    """What the metrics of a plan use; its images are those of `bench.plan.sources`, runs included."""
    from bench.plan.sources import open_images

    opener = functools.partial(open_images, results=settings.out.expanduser())
    return MetricContext(registry, choose_device(settings.device), opener, emit)


def make_plan(settings: Settings, registry: Registry, context: MetricContext | None = None) -> list[RunSpec]:
    """Every cell that the settings expand to, checked; `BenchError` for what makes no sense."""
    settings = for_task(settings, registry)
    device = choose_device(settings.device)
    context = metric_context(settings, registry) if context is None else context
    if settings.precision == "tf32" and device.type != "cuda":
        raise BenchError("--precision tf32 is a GPU's: take fp32 or bf16 on this device")
    registry.get("executors", settings.executor)
    if settings.label_scales is not None and (settings.solver or settings.grid != "uniform"):
        raise BenchError("--label-scales belongs to a predictor or corrector with --grid uniform")
    task: Task = registry.build("tasks", settings.task, settings.parameters.get("task", {}))
    images = _data(settings, task, context)
    absent = {"predictor", "corrector"} if settings.solver else {"solver"}
    for role in settings.parameters:
        if role not in (*ROLES, "metric"):
            raise BenchError(f"unknown role {role!r} in a parameter{did_you_mean(role, (*ROLES, 'metric'))}")
        if role in absent:
            how = "leave out --solver" if role != "solver" else "give --solver"
            raise BenchError(f"a parameter of a {role} was given, but the run has none: {how}")
    others = tuple(registry.get("checkpoints", name).thing for name in task.checkpoints)
    cells = []
    for card, sde in _pairs(settings, registry):
        card.check()
        if card.metric not in registry.names("metrics"):
            known = did_you_mean(card.metric, registry.names("metrics"))
            raise BenchError(
                f"checkpoint {card.name}: its card names the unknown metric {card.metric!r}{known}"
            )
        names = _once(settings.metric) or list(task.metrics_on(card)) or [card.metric]
        metrics = build_metrics(registry, names, settings.parameters.get("metric", {}))
        for metric in metrics:
            _check_reads(metric, task)
            metric.provenance(context)
        for sampler, entries in _samplers(settings, registry, card, sde, task):
            check_task(task, card, sampler, others)
            _check_batches(images, card, task, settings)
            for metric in metrics:
                check_metric(metric, task, card.shape, settings.samples, context)
            if sampler.solver is None:
                sampler.schedule()
                sampler.labels()
            for repeat in range(settings.repeats):
                cells.append(
                    RunSpec(
                        card=card,
                        task=task,
                        sampler=sampler,
                        entries=entries,
                        metrics=metrics,
                        samples=settings.samples,
                        batch_size=min(settings.batch_size, settings.samples),
                        seed=settings.seed + repeat,
                        device=str(device),
                        precision=settings.precision,
                        compile=settings.compile,
                        data=images,
                        others=others,
                    )
                )
    return cells


def _data(settings: Settings, task: Task, context: MetricContext) -> Images | None:
    """The images that a task is to work on; `BenchError` where it takes none, or there are too few."""
    if not task.takes_data:
        if settings.data is not None:
            raise BenchError(f"the task {task.name} takes no images: leave out --data")
        return None
    if settings.data is None:
        return None
    images = context.images(settings.data)
    needed = -(-settings.samples // task.per_image)
    if images.n < needed:
        most = images.n * task.per_image
        raise BenchError(f"{settings.data} holds {images.n} images, {needed} are asked for: --samples {most}")
    return images


def _check_batches(images: Images | None, card: Card, task: Task, settings: Settings) -> None:
    if task.takes_data and images is None and not card.exact:
        raise BenchError(
            f"the task {task.name} works on images: give --data (a folder, an .npz, a run, or a data set's "
            "name such as cifar10-test), or --checkpoint gaussian-cifar10, which has draws of its own"
        )
    if images is not None and tuple(images.shape) != tuple(card.shape):
        sizes = ["x".join(map(str, shape)) for shape in (images.shape, card.shape)]
        raise BenchError(f"{images.name} is of {sizes[0]} images, {card.name} takes {sizes[1]}")
    batch_size = min(settings.batch_size, settings.samples)
    if task.takes_data:
        task.check_data(images, settings.samples, batch_size)
    for flag, size in (("--samples", settings.samples), ("--batch-size", batch_size)):
        if size % task.per_image:
            raise BenchError(f"{flag} must be a multiple of the {task.per_image} samples made of an image")


def _check_reads(metric: Metric, task: Task) -> None:
    for name in metric.inputs:
        if name not in task.outputs:
            others = f": it leaves {', '.join(task.outputs)}"
            raise BenchError(f"{metric.name} reads {name}, which the task {task.name} does not leave{others}")


def plan_suite(
    settings: Settings,
    name: str,
    suite: Suite,
    registry: Registry,
    scale: float = 1.0,
    context: MetricContext | None = None,
) -> list[tuple[Place, RunSpec]]:
    """Every cell of a suite and its place, by checkpoint, then by seed: a stop leaves whole tables.

    Settings of samplers are the suite's; the rest (checkpoint, samples, seeds, …) come from ``settings``.
    """
    context = metric_context(settings, registry) if context is None else context
    common = settings.model_dump(exclude={*SAMPLER_SETTINGS, "parameters"})
    metric = settings.parameters.get("metric")
    found = []
    for place, chosen in expand(name, suite, scale):
        lists = {k: [v] for k, v in chosen.items() if k in ROLES and k != "task"}
        if "solver" not in lists:
            lists = {"corrector": ["none"]} | lists
        parameters = chosen.get("parameters", {}) | ({"metric": metric} if metric else {})
        try:
            variant = Settings.model_validate(common | chosen | lists | {"parameters": parameters})
            cells = make_plan(variant, registry, context)
        except ValidationError as error:
            raise BenchError(f"suite {name}: {place}: {first_problem(error)}") from error
        except BenchError as error:
            less = "" if scale >= 1 else f" (here all step counts are times {scale:g}: raise --steps-scale)"
            where = f"suite {name}: {place}"
            raise BenchError(f"{where}: {error}{less}") from error
        found += [(place, cell) for cell in cells]
    order = {checkpoint: i for i, checkpoint in enumerate(_once(settings.checkpoint))}
    return sorted(found, key=lambda pair: (order[pair[1].card.name], pair[1].seed))


def _shared_out(
    registry: Registry, role: str, names: list[str], given: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Parameters by plugin: one goes to every selected plugin that has it; one that none has is an error."""
    known = {name: {p.name for p in registry.get(f"{role}s", name).thing.parameters()} for name in names}
    everyone = set().union(*known.values())
    for key in given.keys() - everyone:
        how = f": give --{role}" if names == ["none"] else ""
        takes = did_you_mean(key, everyone) if everyone else f" (it has no parameters){how}"
        raise BenchError(f"{role} {', '.join(names)} has no parameter {key!r}{takes}")
    return {name: {k: v for k, v in given.items() if k in known[name]} for name in names}


def build_metrics(registry: Registry, names: list[str], given: dict[str, Any]) -> tuple[Metric, ...]:
    """The metrics of these names, with the parameters that they have."""
    own = _shared_out(registry, "metric", names, given)
    return tuple(registry.build("metrics", name, own[name]) for name in names)


def _pairs(settings: Settings, registry: Registry) -> list[tuple[Card, str]]:
    """Checkpoints with SDEs; where none is given, each with the one it was trained on."""
    cards: list[Card] = [registry.get("checkpoints", name).thing for name in _once(settings.checkpoint)]
    return [(card, sde) for card in cards for sde in _once(settings.sde) or [card.sde or "vp"]]


def _once(names: list[str]) -> list[str]:
    """The names without repetition."""
    return list(dict.fromkeys(names))


def _samplers(
    settings: Settings, registry: Registry, card: Card, sde: str, task: Task
) -> list[tuple[Sampler, dict[str, Entry]]]:
    def build(role: str, name: str) -> Any:
        chosen = getattr(settings, role) or [name]
        given = _shared_out(registry, role, chosen, settings.parameters.get(role, {}))[name]
        known = {p.name for p in registry.get(f"{role}s", name).thing.parameters()}
        published = card.parameters.get(role, {}) if sde == card.sde else {}
        defaults = dict(task.sde_defaults) if role == "sde" else {}
        own = {k: v for k, v in (defaults | published).items() if k in known}
        return registry.build(f"{role}s", name, own | given)

    chosen: list[dict[str, str]]
    if settings.solver:
        if {"predictor", "corrector"} & settings.model_fields_set:
            raise BenchError(
                "a solver integrates alone: give --solver, or --predictor and --corrector, not both"
            )
        chosen = [{"sde": sde, "solver": name} for name in _once(settings.solver)]
    else:
        pairs = itertools.product(_once(settings.predictor), _once(settings.corrector))
        chosen = [{"sde": sde, "predictor": p, "corrector": c} for p, c in pairs]
    found = []
    for names in chosen:
        if names.get("predictor") == "none" and names.get("corrector") == "none":
            raise BenchError("a run without predictor and without corrector does nothing: give one of them")
        parts = {role: build(role, name) for role, name in names.items()}
        if task.follows_flow and settings.denoise not in (None, "none"):
            raise BenchError(f"the task {task.name} has no denoising step: leave out --denoise")
        denoise = "none" if task.follows_flow else settings.denoise or default_denoise(parts.get("solver"))
        check_denoise(parts.get("solver"), denoise)
        sampler = Sampler(
            **parts,
            steps=settings.steps,
            grid=settings.grid,
            rho=settings.rho,
            order=settings.order,
            denoise=denoise,
            label_scales=settings.label_scales,
        )
        if sampler.predictor is not None and sampler.predictor.needs_variance:
            _refuse_without_variance(card, sampler)
        names = {"task": task.name} | names
        found.append((sampler, {role: registry.get(f"{role}s", name) for role, name in names.items()}))
    return found


def _refuse_without_variance(card: Card, sampler: Sampler) -> None:
    from bench.checkpoints.load import follows_convention

    if not card.learned_variance:
        raise BenchError(f"checkpoint {card.name} has learned no variance: take another predictor.variance")
    if not follows_convention(card, sampler.sde):
        raise BenchError(
            f"the learned variance of {card.name} belongs to the SDE it was trained on: leave out --sde"
        )
