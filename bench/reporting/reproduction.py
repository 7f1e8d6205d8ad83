"""How to make a record again: the commands that name everything, and what has changed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from bench.checkpoints.memory import FORMAT
from bench.errors import BenchError
from bench.params import parameter_text
from bench.plan.fingerprint import IN_MEMORY, class_code, core_hash, library_version
from bench.plan.settings import DEFAULT_TASK, NO_METRIC, NO_PROFILE
from bench.results.identity import Identity

if TYPE_CHECKING:
    from bench.plugins.registry import Registry
    from bench.results.record import MetricRecord, Record

Command = list[str]
"""The words of a command line, from ``bench`` on."""


def commands(record: Record, registry: Registry, out: Path) -> list[Command]:
    """The commands that make a record: one, and another for each set of metrics with other parameters.

    They name every setting and leave out every bench.toml (``--profile none``), so that they mean the same
    anywhere. Where code, versions and kind of device are those of the record, they find it recorded.

    Args:
        record: The record.
        registry: Plugins by name, for the defaults of metrics' parameters that decide no value.
        out: The results folder.

    Raises:
        BenchError: No command makes the record; the message says why.
    """
    identity = record.identity
    if identity.checkpoint.format == FORMAT:
        raise BenchError("no command makes this run: its checkpoint was a network in memory of Python")
    for role, plugin in identity.plugins().items():
        if plugin.distribution == IN_MEMORY:
            raise BenchError(f"no command makes this run: its {role} {plugin.name} was an object of Python")
    if identity.data is not None and identity.data.kind != "draws" and not record.data:
        raise BenchError("no command makes this run: its record does not name the images that it works on")
    words = ["bench", "run", "--profile", NO_PROFILE, *_sampler(identity)]
    words += ["--data", record.data] if record.data else []
    words += ["--samples", str(record.samples), "--batch-size", str(identity.batch_size)]
    words += ["--seed", str(identity.seed), "--precision", identity.precision]
    words += ["--compile"] if identity.compile else []
    words += ["--device", identity.device.partition(" ")[0], "--out", str(out)]
    return [words + flags for flags in _metrics(record, registry)]


def _sampler(identity: Identity) -> Command:
    """Checkpoint, task and sampler, with all parameters."""
    words = ["--checkpoint", identity.checkpoint.name]
    for role, plugin in identity.plugins().items():
        words += [] if plugin.name == DEFAULT_TASK and role == "task" else [f"--{role}", plugin.name]
        words += _parameters(role, plugin.parameters)
    if identity.steps is not None:
        words += ["--steps", str(identity.steps)]
    words += ["--order", identity.order] if identity.order else []
    words += ["--denoise", identity.denoise] if identity.denoise else []
    if identity.label_scales is not None:
        words += ["--label-scales", str(identity.label_scales)]
    words += ["--afs"] if identity.afs else []
    if identity.labels is not None:
        words += ["--labels", str(identity.labels)]
    return words


def _metrics(record: Record, registry: Registry) -> list[Command]:
    """The flags of the metrics, in as few sets as their parameters allow: a value goes to all metrics."""
    sets: list[tuple[list[str], dict[str, JsonValue]]] = []
    for metric in record.metrics.values():
        values = _metric_values(metric, registry)
        for names, together in sets:
            if metric.metric not in names and _agree(together, values):
                names.append(metric.metric)
                together |= values
                break
        else:
            sets.append(([metric.metric], dict(values)))
    flags = [
        [word for name in names for word in ("--metric", name)] + _parameters("metric", values)
        for names, values in sets
    ]
    # a finished run without metrics was made for those of others; a failed one had those of its command
    return flags or [["--metric", NO_METRIC] if record.status == "finished" else []]


def _agree(one: Mapping[str, JsonValue], other: Mapping[str, JsonValue]) -> bool:
    return all(one[name] == other[name] for name in one.keys() & other.keys())


def _metric_values(metric: MetricRecord, registry: Registry) -> dict[str, JsonValue]:
    """All parameters of a metric, those that decide no value too."""
    values: dict[str, JsonValue] = dict(metric.parameters)
    if ("metrics", metric.metric) in registry.entries:
        thing = registry.get("metrics", metric.metric).thing
        values = {one.name: one.default for one in thing.parameters() if not one.decides} | values
    options = metric.details.get("options")
    return values | (options if isinstance(options, dict) else {})


def _parameters(role: str, values: Mapping[str, JsonValue]) -> Command:
    texts = [f"{role}.{name}={parameter_text(value)}" for name, value in values.items()]
    return [word for text in texts for word in ("-P", text)]


def changes(identity: Identity, registry: Registry) -> list[str]:
    """What has changed since a run: code, versions, plugins that are gone.

    With any of these, its command makes a new run. It does not see changed files of checkpoints and data, nor
    another kind of device.
    """
    lines = []
    if identity.code != core_hash():
        lines.append("the core has changed since")
    if identity.torch != (version := library_version("torch")):
        lines.append(f"torch was {identity.torch}, not {version}")
    if ("checkpoints", identity.checkpoint.name) not in registry.entries:
        lines.append(f"there is no checkpoint {identity.checkpoint.name} here")
    for role, plugin in identity.plugins().items():
        try:
            code = class_code(registry.get(f"{role}s", plugin.name).thing)
        except BenchError:
            lines.append(f"there is no {role} {plugin.name} here")
            continue
        if code.code != plugin.code:
            lines.append(f"{role} {plugin.name} has changed since")
        libraries = {name: plugin.libraries.get(name) for name in code.libraries}
        lines += [
            f"{name} was {libraries[name]}, not {version}"
            for name, version in code.libraries.items()
            if libraries[name] != version
        ]
    return lines


def quoted(words: Sequence[str]) -> str:
    """A command as a shell reads it."""
    import shlex

    return shlex.join(words)
