"""Discovery of plugins and look-up by name.

A distribution adds plugins by one entry point in the group ``bench``, which names a module with
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
import re
from collections.abc import Mapping
from importlib import metadata
from typing import Any, Self

import pluggy

from bench.errors import BenchError, did_you_mean, one_line
from bench.files import is_safe_name, safe_name
from bench.params import Parameter
from bench.plugins import hookspecs
from bench.plugins.hookspecs import KINDS

OWN = "bench.toml"
"""Stands for the distribution of what a bench.toml names; the path of a card, or the table of a data set,
stands for its version."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A registered class or card and the distribution that it came from."""

    kind: str
    name: str
    thing: Any
    distribution: str
    version: str


@dataclasses.dataclass(frozen=True)
class Problem:
    """A plugin, a name or a flag that is skipped, and why."""

    kind: str
    name: str
    message: str


@dataclasses.dataclass(frozen=True)
class Flag:
    """A short command-line flag: ``--name VALUE`` for ``-P ROLE.PARAMETER=VALUE``."""

    name: str
    role: str
    parameter: Parameter

    @property
    def target(self) -> str:
        """``ROLE.PARAMETER``, as ``-P`` takes it."""
        return f"{self.role}.{self.parameter.name}"


class Registry:
    """All registered plugins by kind and name. A broken plugin is listed in `problems` and skipped.

    Args:
        roles: The base class of each kind, `KINDS`; for checkpoints, the class of a card.

    Attributes:
        explains: Whether the error of an unknown name has the problems in it; a command that has printed them
            before says no.
    """

    def __init__(self, roles: Mapping[str, type]) -> None:
        self.roles = dict(roles)
        self.entries: dict[tuple[str, str], list[Entry]] = {}
        self.problems: list[Problem] = []
        self.explains = True

    def copy(self) -> Self:
        """A copy: what is added to it does not change this registry."""
        other = type(self)(self.roles)
        other.entries = {key: list(entries) for key, entries in self.entries.items()}
        other.problems = list(self.problems)
        other.explains = self.explains
        return other

    def load_installed(self) -> None:
        """Register the plugins of every installed distribution with an entry point in the group ``bench``."""
        names: set[str] = set()
        for distribution in metadata.distributions():
            points = [point for point in distribution.entry_points if point.group == "bench"]
            if not points:
                continue
            information = distribution.metadata  # parsed anew whenever it is asked for
            name, version = information["Name"], information["Version"]
            # a distribution that is on the path twice counts once: the first is the one that imports
            if name in names:
                continue
            names.add(name)
            for point in points:
                try:
                    module = point.load()
                except (Exception, SystemExit) as error:
                    self._report(f"{point.name} = {point.value}", name, error)
                else:
                    self.load(module, name, version)

    def load(self, module: object, distribution: str, version: str) -> None:
        """Register everything that the hooks of a module (or object) give; an error becomes a problem, and
        nothing is registered."""
        manager = pluggy.PluginManager("bench")
        manager.add_hookspecs(hookspecs)
        label = str(getattr(module, "__name__", type(module).__name__))
        entries: list[Entry] = []
        try:
            manager.register(module)
            manager.check_pending()  # a misspelled hook would be ignored in silence
            for kind in KINDS:
                register = functools.partial(self._collect, entries, kind, distribution, version)
                getattr(manager.hook, f"register_{kind}")(register=register)
        except (Exception, SystemExit) as error:
            self._report(label, distribution, error)
            return
        for entry in entries:
            self.entries.setdefault((entry.kind, entry.name), []).append(entry)

    def add(self, kind: str, thing: object, distribution: str, version: str) -> Entry:
        """Register one class, or a card.

        Raises:
            BenchError: It is not of the kind, or it lacks a method; the message says which.
        """
        try:
            entry = self._entry(kind, thing, distribution, version)
        except TypeError as error:
            raise BenchError(f"{error}") from error
        self.entries.setdefault((kind, entry.name), []).append(entry)
        return entry

    def _collect(
        self, entries: list[Entry], kind: str, distribution: str, version: str, thing: object
    ) -> None:
        entries.append(self._entry(kind, thing, distribution, version))

    def _entry(self, kind: str, thing: Any, distribution: str, version: str) -> Entry:
        """The entry of a class or card; TypeError where it does not fit its role."""
        role: Any = self.roles[kind]
        name = getattr(thing, "name", None)
        if not isinstance(name, str) or not name:
            raise TypeError(f"register_{kind} was given {thing!r}, which has no name")
        try:
            # family:<member> stands for names and is no part of a path
            safe_name(re.sub(r":<\w+>$", ":member", name))
        except ValueError as error:
            raise TypeError(f"register_{kind}: {error}") from error
        if kind == "checkpoints":
            if not isinstance(thing, role):
                raise TypeError(f"register_{kind} was given {thing!r}, which is not a bench.{role.__name__}")
            return Entry(kind, name, thing, distribution, version)
        if not (inspect.isclass(thing) and issubclass(thing, role)):
            raise TypeError(
                f"register_{kind} was given {thing!r}, which is not a subclass of bench.{role.__name__}"
            )
        if inspect.isabstract(thing):
            missing = ", ".join(sorted(getattr(thing, "__abstractmethods__", ())))
            raise TypeError(f"{name!r} does not define {missing}")
        _check_interface(role, thing)
        cls: Any = thing
        cls.parameters()  # an annotation that can't be evaluated fails here, not in a later listing
        return Entry(kind, name, thing, distribution, version)

    def _report(self, label: str, distribution: str, error: BaseException) -> None:
        reason = f"{type(error).__name__}: {one_line(error)}"
        self.problems.append(Problem("plugin", label, f"{label} of {distribution} was skipped: {reason}"))

    def explanation(self) -> str:
        """The problems as the end of an error about an unknown name; empty where none is to be told."""
        return "".join(f"; {problem.message}" for problem in self.problems) if self.explains else ""

    def all_problems(self) -> list[Problem]:
        """Problems: plugins that failed, names that two distributions claim, flags of two meanings."""
        clashes = [
            Problem(kind, name, _clash(kind, name, entries))
            for (kind, name), entries in self.entries.items()
            if len(entries) > 1
        ]
        return [*self.problems, *clashes, *self._flags()[1]]

    def names(self, kind: str) -> list[str]:
        """Registered names of a kind, sorted."""
        return sorted(name for of_kind, name in self.entries if of_kind == kind)

    def of_kind(self, kind: str) -> list[Entry]:
        """Entries of a kind, sorted by name."""
        return [entry for name in self.names(kind) for entry in self.entries[kind, name]]

    def flags(self) -> list[Flag]:
        """The short flags that parameters declare, sorted by name, without those of two meanings."""
        return self._flags()[0]

    def _flags(self) -> tuple[list[Flag], list[Problem]]:
        claims: dict[str, dict[str, tuple[Flag, Entry]]] = {}
        for kind in KINDS:
            for entry in self.of_kind(kind) if kind != "checkpoints" else ():
                for parameter in entry.thing.parameters():
                    if parameter.flag is not None:
                        flag = Flag(parameter.flag, kind[:-1], parameter)
                        claims.setdefault(flag.name, {}).setdefault(flag.target, (flag, entry))
        flags, problems = [], []
        for name, meanings in sorted(claims.items()):
            if len(meanings) == 1:
                flags += [flag for flag, _ in meanings.values()]
                continue
            owners = " and ".join(
                f"{flag.target} ({entry.name} of {entry.distribution} {entry.version})"
                for flag, entry in meanings.values()
            )
            message = f"the flag --{name} is declared for {owners}: it is left out, use -P"
            problems.append(Problem("flag", name, message))
        return flags, problems

    def get(self, kind: str, name: str) -> Entry:
        """The entry of that kind and name.

        ``family:member`` gives the member of a `Plugin` registered as ``family:<…>``.

        Raises:
            BenchError: There is no such name, several distributions claim it, or it names a whole family.
        """
        entries = list(self.entries.get((kind, name), ()))
        family, colon, member = name.partition(":")
        if not entries and colon and not member.startswith("<") and is_safe_name(name):
            entries = [
                dataclasses.replace(entry, name=name, thing=entry.thing.member(member))
                for entry in self.of_kind(kind)
                if entry.name.startswith(f"{family}:<")
            ]
        if not entries:
            listing = "bench checkpoints list" if kind == "checkpoints" else f"bench list {kind}"
            message = f"unknown {kind[:-1]} {name!r}{did_you_mean(name, self.names(kind), listing)}"
            raise BenchError(f"{message}{self.explanation()}")
        if len(entries) > 1:
            raise BenchError(_clash(kind, name, entries))
        if ":<" in name:
            raise BenchError(
                f"{name} stands for many {kind}: put a name in place of {name.partition(':')[2]}"
            )
        return entries[0]

    def build(self, kind: str, name: str, values: Mapping[str, Any]) -> Any:
        """An instance of the plugin with the given parameter values.

        Raises:
            BenchError: As `get` and `Plugin.build`.
        """
        return self.get(kind, name).thing.build(values)


def _clash(kind: str, name: str, entries: list[Entry]) -> str:
    owners = " and ".join(f"{entry.distribution} {entry.version}" for entry in entries)
    own = [entry.version for entry in entries if entry.distribution == OWN]
    renaming = f"rename the card {own[-1]} (its key name)" if kind == "checkpoints" and own else ""
    remedy = renaming or (f"rename {own[-1]}" if own else "uninstall one of them")
    return f"the {kind[:-1]} {name!r} is registered by {owners}: {remedy}"


@functools.cache
def _interface(role: type) -> dict[str, inspect.Signature]:
    """Signatures of a role's public methods by name."""
    methods = inspect.getmembers(role, inspect.isfunction)
    return {name: inspect.signature(method) for name, method in methods if not name.startswith("_")}


def _check_interface(role: type, thing: type) -> None:
    """TypeError for a class whose methods can't be called as this version of bench calls its role's."""
    for name, signature in _interface(role).items():
        own = getattr(thing, name)
        if own is getattr(role, name) or not inspect.isfunction(own):
            continue
        parameters = signature.parameters
        positional = [p for p in parameters.values() if p.kind is not p.KEYWORD_ONLY and p.default is p.empty]
        keywords = {p.name: None for p in parameters.values() if p.kind is p.KEYWORD_ONLY}
        try:
            inspect.signature(own).bind(*positional, **keywords)
        except TypeError as error:
            raise TypeError(
                f"{thing.__name__}.{name}{inspect.signature(own)} was written for another version of bench, "
                f"which calls {name}({', '.join(parameters)})"
            ) from error
