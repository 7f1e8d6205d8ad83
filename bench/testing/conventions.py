"""Other conventions that a network might have been trained in: its card with one entry changed, or two."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from bench.checkpoints.cards import Card
from bench.checkpoints.label import IndexLabel
from bench.params import Plugin, parameter_text
from bench.plugins.registry import Registry

Variant = tuple[str, Card]
"""What differs, in a card's words, and the card."""

RANGES = ((-1.0, 1.0), (0.0, 1.0), (0.0, 255.0))
"""Ranges of data that networks are trained on."""
SCALES = 1000
"""Noise scales of a network whose card counts none, where a label by index is tried."""
FACTORS = (1000.0, 0.001)
"""Factors of the card's own label that are tried."""


def single_changes(card: Card, registry: Registry) -> Iterator[Variant]:
    """The card with another label, parametrisation, SDE or data range; or with another choice of one's
    parameters."""
    for role, key in (("label", "labels"), ("parametrisation", "predicts")):
        own = getattr(card, key)
        for name in registry.names(f"{role}s"):
            if card.predicts != "edm" and name not in (own, "edm"):
                yield _changed(card, registry, **{key: name})
        yield from _choices(card, registry, role, own)
    if card.sde is not None:
        for name in registry.names("sdes"):
            if name != card.sde:
                yield f"sde {name}", _without(card, "sde").model_copy(update={"sde": name})
    for low, high in RANGES:
        if (low, high) != tuple(card.data_range):
            yield f"data_range [{low:g}, {high:g}]", card.model_copy(update={"data_range": (low, high)})


def pairs(card: Card, registry: Registry) -> Iterator[Variant]:
    """The card with every label and parametrisation at once; on ``vp`` where it names no SDE."""
    based = card if card.sde is not None else card.model_copy(update={"sde": "vp"})
    for predicts, labels in itertools.product(registry.names("parametrisations"), registry.names("labels")):
        if (predicts == "edm") == (labels == "edm") and (predicts, labels) != (card.predicts, card.labels):
            yield _changed(based, registry, predicts=predicts, labels=labels)


def _changed(card: Card, registry: Registry, **names: str) -> Variant:
    """The card with other names of plugins, without the parameters of those that it had."""
    text = " with ".join(f"{key} {name}" for key, name in names.items())
    for role in [{"labels": "label", "predicts": "parametrisation"}[key] for key in names]:
        card = _without(card, role)
    update: dict[str, Any] = dict(names)
    if names.get("predicts") == "edm":
        card, update["sde"] = _without(card, "sde"), None
    label = registry.get("labels", names["labels"]).thing if "labels" in names else Plugin
    if issubclass(label, IndexLabel) and card.scales is None:
        update["scales"], text = SCALES, f"{text} (scales = {SCALES})"
    return text, card.model_copy(update=update)


def _choices(card: Card, registry: Registry, role: str, name: str | None) -> Iterator[Variant]:
    """Other choices of the parameters of the label or parametrisation that the card names."""
    plugin: Plugin = registry.build(f"{role}s", name or "", card.parameters.get(role, {}))
    for parameter in plugin.parameters():
        value = plugin.values()[parameter.name]
        others: list[Any] = []
        if isinstance(value, bool):
            others = [not value]
        elif isinstance(value, str) and "|" in parameter.type:
            others = [other for other in parameter.type.split("|") if other != value]
        elif isinstance(value, float) and parameter.name == "factor":
            others = [value * factor for factor in FACTORS]
        for other in others:
            values = dict(card.parameters.get(role, {})) | {parameter.name: other}
            text = f"{role} {name} with {parameter.name} = {parameter_text(other)}"
            yield text, card.model_copy(update={"parameters": card.parameters | {role: values}})


def _without(card: Card, role: str) -> Card:
    """The card without the parameters of a role."""
    parameters = {name: values for name, values in card.parameters.items() if name != role}
    return card.model_copy(update={"parameters": parameters})
