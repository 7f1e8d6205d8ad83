"""The identity of a run: everything that decides its numbers, gathered as plain data."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal

from pydantic import JsonValue

from bench.checkpoints.cards import Card
from bench.checkpoints.resolve import follows_convention, label_of, own_sde, parametrisation_of
from bench.devices import device_kind
from bench.diffusion.sampler import Sampler
from bench.diffusion.sde import SDE
from bench.errors import BenchError
from bench.metrics.context import MetricContext
from bench.metrics.features import FeatureMetric
from bench.metrics.role import Metric
from bench.params import Plugin
from bench.plan.object_hash import object_hash
from bench.plan.source_hash import CodeIdentity, code_hash, core_hash
from bench.plugins.registry import Entry, Registry
from bench.results.identity import CheckpointIdentity, DataIdentity, PluginIdentity, digest
from bench.tasks.role import Task

if TYPE_CHECKING:
    from bench.data.images import Images

IN_MEMORY = "in memory"
"""Stands for the distribution of a plugin that was passed as an object."""


def plugin_identity(entry: Entry, plugin: Plugin) -> PluginIdentity:
    """A plugin as a run uses it: parameters, code, versions of libraries and hashes of files."""
    code = plugin_code(entry, plugin)
    declared = {name: library_version(name) for name in plugin.libraries}
    return PluginIdentity(
        name=plugin.name,
        parameters=plugin.values(),
        distribution=entry.distribution,
        version=entry.version,
        code=code.code,
        libraries=code.libraries | declared,
        files=code.files,
    )


@functools.cache
def class_code(cls: type) -> CodeIdentity:
    """`code_hash`, once per class: a process runs the code that it loaded."""
    return code_hash(cls)


def metric_code(metric: Metric, context: MetricContext) -> str:
    """Hash of a metric's code, its extractor's, and that of the core's modules that compute metrics.

    Empty where a part has no readable source: such a value is never taken from a record.
    """
    codes = [plugin_digest("metrics", metric, context.registry)]
    if isinstance(metric, FeatureMetric):
        codes.append(plugin_digest("extractors", metric.extractor_plugin(context), context.registry))
    return digest([*codes, core_hash("metrics")]) if all(codes) else ""


def plugin_digest(kind: str, plugin: Plugin, registry: Registry) -> str:
    """Hash of a plugin's code; empty where it can't be read."""
    if not is_object(kind, plugin.name, registry):
        code = class_code(type(plugin))
        if code.complete:
            return code.digest
    return object_hash(type(plugin)) or ""


def is_object(kind: str, name: str, registry: Registry) -> bool:
    """Whether the plugin of that name was passed as an object."""
    return any(entry.distribution == IN_MEMORY for entry in registry.entries.get((kind, name), ()))


def plugin_code(entry: Entry, plugin: Plugin) -> CodeIdentity:
    """The code of a plugin: the modules of a registered class, or the source of an object."""
    if entry.distribution != IN_MEMORY:
        return class_code(type(plugin))
    source = object_hash(type(plugin))
    return CodeIdentity(source or "no source", {}, {}, complete=source is not None)


def checkpoint_identity(
    card: Card, convention: Literal["exact", "published", "rescaled"], registry: Registry
) -> CheckpointIdentity:
    """Everything of a checkpoint that decides a score, and the reader of its files."""
    reader = _reader_identity(card, registry)
    facts: dict[str, Any] = card.deciding() | {
        "name": card.name,
        "shape": tuple(card.shape),
        "data_range": tuple(card.data_range),
        "reader": reader,
        "convention": convention,
    }
    if not card.exact:
        parametrisation, label = parametrisation_of(card, registry), label_of(card, registry)
        entry = registry.get("parametrisations", parametrisation.name)
        facts["parametrisation"] = plugin_identity(entry, parametrisation)
        facts["label"] = plugin_identity(registry.get("labels", label.name), label)
    if convention == "rescaled":
        own = own_sde(card, registry)
        assert own is not None
        assert card.sde is not None
        facts["trained_on"] = plugin_identity(registry.get("sdes", card.sde), own)
    return CheckpointIdentity.model_validate(facts)


def partial_checkpoint_identity(card: Card) -> CheckpointIdentity:
    """A checkpoint of a run that can't be planned: its name and its files, by what its card says."""
    return CheckpointIdentity(
        name=card.name,
        format=card.format,
        shape=tuple(card.shape),
        data_range=(card.data_range[0], card.data_range[1]),
        sha256=",".join(file.sha256 or "" for file in card.files),
        convention="exact" if card.exact else "published",
    )


def _reader_identity(card: Card, registry: Registry) -> PluginIdentity | None:
    if not card.needs_reader:
        return None
    try:
        entry = registry.get("readers", card.format)
        return plugin_identity(entry, entry.thing.build(card.parameters.get("reader", {})))
    except BenchError as error:
        raise BenchError(f"checkpoint {card.name}: {error}") from error


def convention_of(card: Card, sde: SDE, registry: Registry) -> Literal["exact", "published", "rescaled"]:
    """Whether a network is called by its published convention or, for another SDE, at rescaled levels."""
    if card.exact:
        return "exact"
    if card.sde is None or follows_convention(card, sde, registry):
        return "published"
    return "rescaled"


def data_identity(task: Task, data: Images | None) -> DataIdentity | None:
    """The images that a task works on; None for a task that takes none."""
    if not task.takes_data:
        return None
    if data is None:
        return DataIdentity(kind="draws")
    return DataIdentity(kind=data.kind, n=data.n, sha256=data.sha256(), decoder=data.decoder)


def grid_identity(sampler: Sampler) -> Mapping[str, JsonValue]:
    """The settings beside the time grid; empty for a solver."""
    if sampler.solver is not None:
        return {}
    return {
        "steps": sampler.steps,
        "order": sampler.order,
        "label_scales": sampler.label_scales,
        "afs": sampler.afs or None,
    }


@functools.cache
def library_version(distribution: str) -> str:
    """Version of an installed distribution."""
    return metadata.version(distribution)


__all__ = [
    "IN_MEMORY",
    "checkpoint_identity",
    "convention_of",
    "core_hash",
    "data_identity",
    "device_kind",
    "grid_identity",
    "library_version",
    "partial_checkpoint_identity",
    "plugin_code",
    "plugin_identity",
]
