"""Plugins from names and parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.checkpoints.cards import Card
from bench.diffusion.sampler import Sampler
from bench.errors import BenchError, did_you_mean
from bench.files import safe_name
from bench.metrics.role import Metric
from bench.params import Plugin
from bench.plan.settings import NO_LOGGER, Settings
from bench.plugins.registry import Registry
from bench.results.identity import Identity
from bench.results.loggers import Logger

Objects = Mapping[tuple[str, str], Plugin]
"""Plugins that were passed as objects, by kind and by their names in the settings."""


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


def check_recorded(metric: Metric, identity: Identity, registry: Registry) -> None:
    """Ask a metric for the sampler of a recorded run, as planning does.

    Raises:
        NoValueError: The metric has no value for the sampler.
        BenchError: A plugin of the sampler is not registered any more, so that the metric can't be asked.
    """
    if type(metric).check_sampler is not Metric.check_sampler:
        metric.check_sampler(_recorded_sampler(identity, registry))


def _recorded_sampler(identity: Identity, registry: Registry) -> Sampler:
    plugins = {role: plugin for role, plugin in identity.plugins().items() if role != "task"}
    parts: dict[str, Any] = {
        role: registry.build(f"{role}s", plugin.name, plugin.parameters) for role, plugin in plugins.items()
    }
    settings = {name: getattr(identity, name) for name in ("steps", "order", "label_scales", "afs")}
    settings = {name: value for name, value in settings.items() if value is not None}
    return Sampler(**{**settings, **parts, "denoise": identity.denoise})


def build_metrics(
    registry: Registry,
    names: Sequence[str],
    parameters: Mapping[str, object],
    objects: Objects | None = None,
) -> tuple[Metric, ...]:
    """The metrics of these names, each with the parameters that it has."""
    own = parameters_by_plugin(registry, "metric", names, parameters)
    metrics = tuple(build_plugin(registry, objects or {}, "metrics", name, own[name]) for name in names)
    for metric in metrics:
        try:
            safe_name(metric.label)
        except ValueError as error:
            raise BenchError(f"the label of metric {metric.name}: {error}") from error
    return metrics


def build_loggers(registry: Registry, objects: Objects, settings: Settings) -> tuple[Logger, ...]:
    """The loggers of the settings, each with the parameters that it has; none for ``none``.

    Raises:
        BenchError: A name or a parameter is unknown, or a logger can't work here.
    """
    names = [] if settings.logger == [NO_LOGGER] else list(dict.fromkeys(settings.logger))
    own = settings.parameters.get("logger", {})
    if own and not names:
        raise BenchError("a parameter of a logger was given, but the run has none: give --logger")
    by_name = parameters_by_plugin(registry, "logger", names, own) if names else {}
    loggers: list[Logger] = [
        build_plugin(registry, objects, "loggers", name, by_name[name]) for name in names
    ]
    for logger in loggers:
        logger.check()
    return tuple(loggers)


CIFAR10_SHAPE = (3, 32, 32)


def with_reference(metric: Metric, card: Card) -> Metric:
    """The metric with the checkpoint's own data as its parameter ``reference``, where it has one.

    For a metric whose user named no reference: the card's data set, or an exact checkpoint itself, which
    stands for its draws. A metric with a default reference keeps it on exact checkpoints of CIFAR-10's shape.
    """
    default = next((one.default for one in metric.parameters() if one.name == "reference"), None)
    if default is None or metric.values()["reference"] != default:
        return metric
    own = card.dataset
    if not own and card.exact and (default == "" or tuple(card.shape) != CIFAR10_SHAPE):
        own = card.name
    return metric.build(metric.values() | {"reference": own}) if own else metric
