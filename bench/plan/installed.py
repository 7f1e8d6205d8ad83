"""The registry of what is installed, and of the cards and data sets that bench.toml names."""

from __future__ import annotations

import importlib
from pathlib import Path

from bench.checkpoints.cards import Card
from bench.data.own import own_dataset
from bench.errors import BenchError, printable
from bench.plan.settings import card_folders, own_datasets
from bench.plugins.hookspecs import KINDS
from bench.plugins.registry import OWN, Problem, Registry

LONGEST_REASON = 1000
"""Greatest length of the reason why a card was skipped."""


def roles() -> dict[str, type]:
    """The base class of each kind of plugin, by the public names that third parties import."""
    public = importlib.import_module("bench")
    return {kind: getattr(public, name) for kind, name in KINDS.items()}


def installed_registry(folder: Path | None = None) -> Registry:
    """A new registry of every installed plugin and of the cards and data sets that bench.toml names.

    Args:
        folder: Where the user's own bench.toml may be; None: the current folder.

    Raises:
        BenchError: A bench.toml can't be read, or names a folder of cards that does not exist. Plugins and
            cards that fail are in the registry's `problems`.
    """
    registry = Registry(roles())
    registry.load_installed()
    load_cards(registry, folder)
    load_datasets(registry, folder)
    return registry


def load_datasets(registry: Registry, folder: Path | None = None) -> None:
    """Register the data sets of bench.toml; one that fails is a problem.

    Args:
        registry: What to register them in.
        folder: Where the user's own bench.toml may be; None: the current folder.
    """
    for name, (data, paths) in own_datasets(folder).items():
        try:
            thing = own_dataset(name, paths, data.licence, data.source)
            registry.add("datasets", thing, OWN, f"[datasets.{name}]")
        except BenchError as error:
            text = printable(f"{error}", LONGEST_REASON)
            registry.problems.append(Problem("datasets", name, f"{text}; the data set was skipped"))


def load_cards(registry: Registry, folder: Path | None = None) -> None:
    """Register the cards in the folders that bench.toml names; a card that fails is a problem.

    Args:
        registry: What to register them in.
        folder: Where the user's own bench.toml may be; None: the current folder.
    """
    for toml, cards in card_folders(folder):
        for path in sorted(cards.glob("*.toml")):
            place = path.relative_to(toml.parent) if path.is_relative_to(toml.parent) else path
            try:
                registry.add("checkpoints", Card.read(path), OWN, str(place))
            except BenchError as error:
                text = printable(f"{error}", LONGEST_REASON)
                problem = Problem("checkpoints", path.stem, f"{text}; the card was skipped")
                registry.problems.append(problem)
