"""Hook specifications, discovery of plugins, and look-up by name.

A distribution takes part by one entry point in the group ``bench`` that names a module with
functions marked `hookimpl`:

    [project.entry-points.bench]
    mine = "my_package"

    @bench.hookimpl
    def register_predictors(register):
        register(MyPredictor)
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from importlib import metadata
from pathlib import Path
from typing import Any

import pluggy

from bench.errors import BenchError, did_you_mean
from bench.plugins.hookspecs import KINDS, Hooks

CARDS = "bench.toml"
"""What stands for the distribution of a card that a bench.toml names; its path is the version."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A registered thing and the distribution that it came from."""

    kind: str
    name: str
    thing: Any
    distribution: str
    version: str


@dataclasses.dataclass(frozen=True)
class Problem:
    """A plugin, or a name, that could not be taken in."""

    kind: str
    name: str
    message: str


class Registry:
    """All that is registered, by kind and name. A broken plugin is listed in `problems` and skipped."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], list[Entry]] = {}
        self.problems: list[Problem] = []

    def load_installed(self) -> None:
        """Take in every installed distribution with an entry point in the group ``bench``."""
        seen: set[str] = set()
        for distribution in metadata.distributions():
            points = [p for p in distribution.entry_points if p.group == "bench"]
            name = distribution.metadata["Name"] if points else ""
            if not points or name in seen:
                continue
            seen.add(name)
            for point in points:
                try:
                    module = point.load()
                except (Exception, SystemExit) as error:
                    self._failed(f"{point.name} = {point.value}", name, error)
                else:
                    self.load(module, name, distribution.version)

    def load(self, module: Any, distribution: str, version: str) -> None:
        """Take in the hooks of one module (or object); a failure is recorded, not raised."""
        manager = pluggy.PluginManager("bench")
        manager.add_hookspecs(Hooks)
        label = getattr(module, "__name__", type(module).__name__)
        try:
            manager.register(module)
            manager.check_pending()
            found: list[Entry] = []
            for kind in KINDS:
                collect = functools.partial(_collect, found, kind, distribution, version)
                getattr(manager.hook, f"register_{kind}")(register=collect)
        except (Exception, SystemExit) as error:
            self._failed(label, distribution, error)
            return
        for entry in found:
            self.entries.setdefault((entry.kind, entry.name), []).append(entry)

    def _failed(self, what: str, distribution: str, error: BaseException) -> None:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        self.problems.append(Problem("plugin", what, f"{what} of {distribution} was skipped: {reason}"))

    def all_problems(self) -> list[Problem]:
        """Plugins that failed, and names that two distributions claim."""
        clashes = [
            Problem(kind, name, _clash(kind, name, found))
            for (kind, name), found in self.entries.items()
            if len(found) > 1
        ]
        return self.problems + clashes

    def names(self, kind: str) -> list[str]:
        """Registered names of a kind, sorted."""
        return sorted(name for k, name in self.entries if k == kind)

    def of_kind(self, kind: str) -> list[Entry]:
        """Entries of a kind, sorted by name."""
        return [e for name in self.names(kind) for e in self.entries[kind, name]]

    def get(self, kind: str, name: str) -> Entry:
        """The entry of that kind and name; `BenchError` where there is none or more than one.

        ``family:member`` is looked up as the member of a `Plugin` registered as ``family:<…>``.
        """
        found = self.entries.get((kind, name), [])
        family, colon, member = name.partition(":")
        if not found and colon:
            for entry in self.of_kind(kind):
                if entry.name.startswith(f"{family}:<") and not member.startswith("<"):
                    found.append(dataclasses.replace(entry, name=name, thing=entry.thing.member(member)))
        if not found:
            broken = "; ".join(p.message for p in self.problems)
            listing = "bench checkpoints list" if kind == "checkpoints" else f"bench list {kind}"
            message = f"unknown {kind[:-1]} {name!r}{did_you_mean(name, self.names(kind), listing)}"
            raise BenchError(message + (f"; {broken}" if broken else ""))
        if len(found) > 1:
            raise BenchError(_clash(kind, name, found))
        if ":<" in name:
            raise BenchError(
                f"{name} stands for many {kind}: put a name in place of {name.partition(':')[2]}"
            )
        return found[0]

    def build(self, kind: str, name: str, given: dict[str, Any]) -> Any:
        """An instance of the plugin with the given parameters."""
        return self.get(kind, name).thing.build(given)


def _clash(kind: str, name: str, found: list[Entry]) -> str:
    owners = " and ".join(f"{e.distribution} {e.version}" for e in found)
    own = [e.version for e in found if e.distribution == CARDS]
    remedy = f"rename the card {own[-1]} (its key name)" if own else "uninstall one of them"
    return f"the {kind[:-1]} {name!r} is registered by {owners}: {remedy}"


def _collect(found: list[Entry], kind: str, distribution: str, version: str, thing: Any) -> None:
    role: Any = roles().get(kind)
    name = getattr(thing, "name", None)
    if not isinstance(name, str) or not name:
        raise TypeError(f"register_{kind} was given {thing!r}, which has no name")
    if kind == "checkpoints":
        if not isinstance(thing, role):
            raise TypeError(f"register_checkpoints was given {thing!r}, which is not a bench.Card")
    elif not (inspect.isclass(thing) and issubclass(thing, role)):
        raise TypeError(
            f"register_{kind} was given {thing!r}, which is not a subclass of bench.{role.__name__}"
        )
    elif inspect.isabstract(thing):
        raise TypeError(
            f"{name!r} does not define {', '.join(sorted(getattr(thing, '__abstractmethods__', ())))}"
        )
    else:
        _check_interface(role, thing)
    found.append(Entry(kind, name, thing, distribution, version))


def _check_interface(role: type, thing: type) -> None:
    """Refuse a class whose methods can't be called as this version of bench calls its role's."""
    for name, method in inspect.getmembers(role, inspect.isfunction):
        own = getattr(thing, name)
        if name.startswith("_") or own is method or not inspect.isfunction(own):
            continue
        asked = inspect.signature(method)
        given = [
            p for p in asked.parameters.values() if p.kind is not p.KEYWORD_ONLY and p.default is p.empty
        ]
        named = {p.name: None for p in asked.parameters.values() if p.kind is p.KEYWORD_ONLY}
        try:
            inspect.signature(own).bind(*given, **named)
        except TypeError as error:
            raise TypeError(
                f"{thing.__name__}.{name}{inspect.signature(own)} was written for another version of bench, "
                f"which calls {name}({', '.join(asked.parameters)})"
            ) from error


def roles() -> dict[str, type]:
    """The base class of each kind."""
    import bench

    return {
        "tasks": bench.Task,
        "sdes": bench.SDE,
        "predictors": bench.Predictor,
        "correctors": bench.Corrector,
        "solvers": bench.Solver,
        "metrics": bench.Metric,
        "extractors": bench.Extractor,
        "checkpoints": bench.Card,
        "readers": bench.Reader,
        "executors": bench.Executor,
    }


@functools.cache
def registry() -> Registry:
    """The registry of what is installed and of the cards that bench.toml names, made once."""
    made = Registry()
    made.load_installed()
    _load_cards(made)
    return made


def _load_cards(made: Registry, folder: Path | None = None) -> None:
    """Take in the cards in the folders that bench.toml names; its place stands for a version."""
    from bench.checkpoints.cards import Card
    from bench.plan.settings import card_folders

    for toml, cards in card_folders(folder):
        for path in sorted(cards.glob("*.toml")):
            try:
                card = Card.read(path)
            except BenchError as error:
                made.problems.append(Problem("checkpoints", path.stem, f"{error}; the card was skipped"))
                continue
            where = path.relative_to(toml.parent) if path.is_relative_to(toml.parent) else path
            entry = Entry("checkpoints", card.name, card, CARDS, str(where))
            made.entries.setdefault(("checkpoints", card.name), []).append(entry)
