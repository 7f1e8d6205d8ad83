"""Plugins and networks passed as Python objects where a name is expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.checkpoints.cards import Card
from bench.checkpoints.memory import MemoryCheckpoint
from bench.errors import BenchError
from bench.params import Plugin
from bench.plan.fingerprint import IN_MEMORY
from bench.plan.object_hash import object_hash
from bench.plugins.registry import Registry
from bench.results.identity import digest

Selection = str | Plugin | type[Plugin] | Card
"""A registered name, a plugin class, an instance with its parameters, or a checkpoint."""


def register_objects(
    registry: Registry, selections: Mapping[str, object]
) -> tuple[Registry, dict[str, object], dict[tuple[str, str], Plugin]]:
    """Replace objects among the selections by names.

    A class or instance takes the place of a registered plugin of its name for this call alone.

    Args:
        registry: Plugins by name; it stays as it is.
        selections: By role: a name, an object, or a list of them.

    Returns:
        A registry that has the objects too, the selections with names alone, and the instances by kind and
        name.
    """
    copy: Registry | None = None
    instances: dict[tuple[str, str], Plugin] = {}
    names: dict[str, object] = {}
    for role, value in selections.items():
        kind = f"{role}s"
        items = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        texts: list[object] = []
        for item in items:
            if not isinstance(item, Card | Plugin | type):
                texts.append(item)
                continue
            copy = copy or registry.copy()
            if isinstance(item, MemoryCheckpoint):
                item = with_code(item)
            texts.append(_register(copy, kind, item, instances))
        names[role] = texts if items != [value] or len(texts) > 1 else texts[0]
    return copy or registry, names, instances


def with_code(checkpoint: MemoryCheckpoint) -> MemoryCheckpoint:
    """The network with the hash of its code's source; with None where a part has no source."""
    hashes = [object_hash(thing) for thing in checkpoint.code_objects]
    known = [text for text in hashes if text is not None]
    code = digest(known) if len(known) == len(hashes) else None
    return checkpoint.model_copy(update={"code": code})


def _register(
    registry: Registry, kind: str, item: Card | Plugin | type, instances: dict[tuple[str, str], Plugin]
) -> str:
    """Register one object; returns its name."""
    thing = type(item) if isinstance(item, Plugin) else item
    name = getattr(thing, "name", None)
    if not isinstance(name, str) or not name:
        raise BenchError(f"{thing!r} needs a class attribute name, which tables and records show")
    others = registry.entries.get((kind, name), [])
    if any(entry.distribution == IN_MEMORY for entry in others):
        raise BenchError(
            f"two objects are called {name}: pass them in two calls, or give their classes different names"
        )
    registry.entries.pop((kind, name), None)
    registry.add(kind, thing, IN_MEMORY, "")
    if isinstance(item, Plugin):
        instances[kind, name] = item
    return name
