"""``bench list`` and ``bench show``: what is registered, set in bench.toml, and recorded."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli import cards
from bench.cli.console import console, echo, echo_json, echo_lines
from bench.cli.context import registry_of
from bench.cli.paths import NamedPath
from bench.cli.runs import print_runs, recorded_runs, run_text, show_run
from bench.errors import BenchError, did_you_mean, printable
from bench.plugins.hookspecs import KINDS
from bench.plugins.registry import Entry, Registry

if TYPE_CHECKING:
    from bench.checkpoints.cards import Card
    from bench.cli.runs import ShownRun
    from bench.plan.settings import Profile
    from bench.types import JSONObject

WIDE = 120
"""Smallest width of a terminal at which the list has the column "from"."""
IN_CARDS = ("readers", "parametrisations", "labels")
"""Kinds whose parameters are set in a checkpoint's card."""
LISTED = (*KINDS, "suites", "profiles", "runs")
"""What can be listed and shown."""


def facts(entry: Entry) -> JSONObject:
    """An entry as plain data."""
    plain: JSONObject = {
        "kind": entry.kind,
        "name": entry.name,
        "distribution": entry.distribution,
        "version": entry.version,
        "summary": summary(entry),
    }
    if entry.kind == "checkpoints":
        return plain | {"card": entry.thing.model_dump(mode="json", by_alias=True)}
    if entry.kind == "metrics":
        plain |= {
            key: getattr(entry.thing, key) for key in ("direction", "value_kind", "min_samples", "bias")
        }
    if entry.kind == "datasets":
        plain |= {key: getattr(entry.thing, key) for key in ("shape", "data_range", "licence", "source")}
        plain["splits"] = dict(entry.thing.splits)
    keys = ("name", "type", "default", "help", "range", "flag", "decides")
    plain["parameters"] = [{key: getattr(one, key) for key in keys} for one in entry.thing.parameters()]
    return plain


def summary(entry: Entry) -> str:
    """One line about an entry: the first line of its docstring, or a card's summary."""
    if entry.kind == "checkpoints":
        return str(entry.thing.summary)
    return (inspect.getdoc(entry.thing) or "").split("\n")[0]


OUT = click.option("--out", type=NamedPath(), help="Results folder of the runs; default: that of bench.toml.")


@click.command("list", short_help="List plugins, checkpoints, suites, profiles or runs.")
@click.argument("kind", type=str, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print plain JSON.")
@OUT
@click.pass_context
def list_command(context: click.Context, kind: str | None, as_json: bool, out: Path | None) -> None:
    """List what is registered: tasks, sdes, grids, predictors, correctors, solvers, metrics, extractors,
    datasets, checkpoints, readers, parametrisations, labels, executors, loggers; suites and profiles of
    bench.toml; recorded runs of a results folder."""
    kind = None if kind is None else _kind(kind)
    if out is not None and kind != "runs":
        raise BenchError("--out belongs to runs: bench list runs --out FOLDER")
    registry = registry_of(context)
    entries = [entry for one in KINDS if kind in (None, one) for entry in registry.of_kind(one)]
    suites = suite_facts() if kind in (None, "suites") else []
    profiles = _profiles() if kind in (None, "profiles") else []
    runs = recorded_runs(out) if kind == "runs" else []
    problems = [problem.message for problem in registry.all_problems()]
    if as_json:
        plain = {"entries": [facts(entry) for entry in entries], "suites": suites}
        plain |= {"profiles": [*map(profile_facts, profiles)], "runs": [run.plain() for run in runs]}
        echo_json({**plain, "problems": problems})
        return
    if kind == "runs":
        print_runs(runs)
    else:
        _print_list(entries, suites, profiles, kind)
    for problem in problems:
        echo(f"bench: {problem}", err=True)


def _kind(name: str) -> str:
    """A kind by its name, or the name of one of the kind."""
    kind = name if name in LISTED else f"{name}s"
    if kind not in LISTED:
        raise BenchError(f"unknown kind {name!r}{did_you_mean(name, LISTED)}")
    return kind


def _print_list(
    entries: list[Entry], suites: list[JSONObject], profiles: list[Profile], kind: str | None
) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    out = console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    heading = "summary" if kind in ("checkpoints", "datasets", "suites", "profiles") else "parameters"
    columns = ("kind", "name", heading, *(("from",) if out.width >= WIDE else ()))
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    rows = []
    for entry in entries:
        text = LINES.get(entry.kind, _defaults)(entry)
        rows.append((entry.kind[:-1], entry.name, text, f"{entry.distribution} {entry.version}"))
    for suite in suites:
        text = f"{suite['cells']} cells" + (f": {suite['about']}" if suite["about"] else "")
        rows.append(("suite", f"{suite['name']}", text, "bench.toml"))
    for profile in profiles:
        changes = "  ".join(f"{key}={_plain(value)}" for key, value in profile.values.items())
        rows.append(("profile", profile.name, "default; " * profile.default + changes, "bench.toml"))
    for row in rows:
        table.add_row(*[escape(printable(text, 1000)) for text in row[: len(columns)]])
    out.print(table)
    uses = {"suites": "bench run --suite NAME runs it", "profiles": "bench run --profile NAME uses it"}
    uses |= {one: f"a card's [parameters.{one[:-1]}] sets its parameters" for one in IN_CARDS}
    use = uses.get(kind or "", "set a parameter by -P ROLE.PARAMETER=VALUE")
    out.print(escape(f"bench show NAME describes one; {use}"), style="dim", highlight=False)


def suite_facts() -> list[JSONObject]:
    """The suites of the shipped bench.toml and of the one in the current folder, as plain data."""
    from bench.plan.settings import suites
    from bench.plan.suites import expand, resolve_suite

    by_name = suites()
    whole = {name: resolve_suite(name, by_name) for name in by_name}
    return [
        {
            "kind": "suites",
            "name": name,
            "about": suite.about,
            "layout": suite.layout,
            "cells": len(expand(name, suite)),
        }
        for name, suite in whole.items()
    ]


def profile_facts(profile: Profile) -> JSONObject:
    """A profile of bench.toml as plain data: what it changes, and all settings of a command that names it."""
    settings = profile.settings.model_dump(mode="json")
    changes = {key: settings[key] for key in profile.values}
    if "parameters" in profile.values:
        chosen, own = settings["parameters"], profile.values["parameters"]
        changes["parameters"] = {role: {name: chosen[role][name] for name in own[role]} for role in own}
    return {
        "kind": "profiles",
        "name": profile.name,
        "default": profile.default,
        "changes": changes,
        "settings": settings,
    }


def _profiles() -> list[Profile]:
    from bench.plan.settings import profiles

    return profiles()


def _suite_text(suite: JSONObject) -> str:
    from bench.plan.settings import suites
    from bench.plan.suites import expand, resolve_suite

    name = f"{suite['name']}"
    cells = expand(name, resolve_suite(name, suites()))
    lines = [f"suite {name}, {suite['cells']} cells", f"  {suite['about']}", ""]
    lines += [f"  {place}" for place, _ in cells]
    return _printable_lines([*lines, "", f"bench run --suite {name}, then bench table {name}", ""])


def _profile_text(profile: Profile) -> str:
    """A profile's settings, of which those that it changes come first."""
    settings = profile.settings.model_dump(mode="json")
    rest = {key: value for key, value in settings.items() if key not in profile.values}
    lines = [f"profile {profile.name}{', the default' if profile.default else ''}", ""]
    lines += [f"  {key} = {_plain(value)}" for key, value in profile.values.items()]
    lines += [
        "",
        "other settings, from [defaults] or built in; those that are unset depend on checkpoint and task",
    ]
    lines += [f"  {key} = {_plain(value)}" for key, value in rest.items() if value not in (None, [], {})]
    return _printable_lines([*lines, "", f"bench run --profile {profile.name}", ""])


def _printable_lines(lines: Sequence[str]) -> str:
    return "\n".join(printable(line, None) for line in lines)


def _plain(value: Any) -> str:
    """A setting as text: names of a list with commas between them."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return json.dumps(value) if isinstance(value, dict | bool) else _text(value)


def _metric_text(metric: Any) -> str:
    """How to read a metric's values."""
    lines = [f"{metric.value_kind}; {metric.direction} is better"]
    lines += [f"flagged (†) below {metric.min_samples} samples"]
    lines += [f"bias: {metric.bias}"] if metric.bias else []
    return "\n".join(f"  {line}" for line in lines)


def _dataset_line(entry: Entry) -> str:
    """Shape, splits and license of a data set."""
    splits = ", ".join(f"{split} {n:,}" if n else split for split, n in entry.thing.splits.items())
    terms = entry.thing.licence
    return f"{_shape(entry.thing)}  {splits}  ({terms})"


def _shape(dataset: Any) -> str:
    return "of its files' shape" if dataset.shape is None else "x".join(map(str, dataset.shape))


def _dataset_text(dataset: Any) -> str:
    """Shape, range, splits, license and source of a data set, and how it is named."""
    low, high = dataset.data_range
    splits = [f"{dataset.name}-{split}" + (f" ({n:,})" if n else "") for split, n in dataset.splits.items()]
    lines = [f"items {_shape(dataset)}, {low:g} to {high:g}", f"splits: {', '.join(splits)}"]
    terms = dataset.licence
    lines += [f"license: {terms}", f"source: {dataset.source}"]
    return "\n".join(f"  {printable(line, None)}" for line in lines)


def _defaults(entry: Entry) -> str:
    """All parameters with their defaults."""
    return "  ".join(f"{p.name}={_text(p.default)}" for p in entry.thing.parameters())


LINES: dict[str, Callable[[Entry], str]] = {"checkpoints": summary, "datasets": _dataset_line}
"""The line of an entry in the list, by kind; of the other kinds it is the parameters."""


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_text, value)) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


@click.command("show", short_help="Show a plugin, checkpoint, suite, profile or run.")
@click.argument("words", metavar="[KIND] NAME", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print plain JSON.")
@OUT
@click.pass_context
def show_command(context: click.Context, words: tuple[str, ...], as_json: bool, out: Path | None) -> None:
    """Show everything called NAME: a plugin's equation, its parameters with their ranges, its distribution;
    a checkpoint; the cells of a suite; the settings of a profile; or, for the first digits of a fingerprint,
    the record of a run, the command that makes it again, and where its samples are."""
    if len(words) > 2:
        raise BenchError(f"bench show takes [KIND] NAME, not {len(words)} names")
    kind = _kind(words[0]) if len(words) == 2 else None
    name = words[-1]
    registry = registry_of(context)
    entries = _entries(registry, name, kind)
    suites = [one for one in suite_facts() if one["name"] == name] if kind in (None, "suites") else []
    profiles = [one for one in _profiles() if one.name == name] if kind in (None, "profiles") else []
    run = show_run(name, out, registry, required=kind == "runs") if kind in (None, "runs") else None
    runs = [] if run is None else [run]
    kinds = [kind for kind, things in _kinds(entries, suites, profiles, runs).items() if things]
    if len(kinds) > 1:
        remedies = " or ".join(f"bench show {kind} {name}" for kind in kinds)
        raise BenchError(f"{name!r} is a {' and a '.join(kinds)}: write {remedies}")
    if not kinds:
        _refuse(name, kind, registry)
    if as_json:
        shown_runs = [one.plain() for one in runs]
        echo_json([*map(facts, entries), *suites, *map(profile_facts, profiles), *shown_runs])
        return
    for entry in entries:
        if entry.kind == "checkpoints":
            echo_lines("\n".join([cards.text(entry), *_convention_lines(entry.thing, registry)]))
        else:
            echo_lines("\n".join([_entry_text(entry), *_start_lines(entry, registry)]))
        echo("")
    for suite in suites:
        echo_lines(_suite_text(suite))
    for profile in profiles:
        echo_lines(_profile_text(profile))
    for one in runs:
        echo_lines(run_text(one))


def _kinds(
    entries: Sequence[Entry],
    suites: Sequence[JSONObject],
    profiles: Sequence[Profile],
    runs: Sequence[ShownRun],
) -> dict[str, Sequence[object]]:
    """What a name is, by words of which only one may apply: plugins of several roles are shown together."""
    by_kind: dict[str, Sequence[object]] = {entries[0].kind[:-1]: entries} if entries else {}
    return by_kind | {"suite": suites, "profile": profiles, "run": runs}


def _refuse(name: str, kind: str | None, registry: Registry) -> None:
    """`BenchError` for a name that nothing has."""
    known = {f"{one['name']}" for one in suite_facts()} if kind in (None, "suites") else set()
    known |= {one.name for one in _profiles()} if kind in (None, "profiles") else set()
    known |= {entry.name for one in KINDS if kind in (None, one) for entry in registry.of_kind(one)}
    if kind is None:
        raise BenchError(f"nothing is registered as {name!r}{did_you_mean(name, known, 'bench list')}")
    raise BenchError(f"unknown {kind[:-1]} {name!r}{did_you_mean(name, known, f'bench list {kind}')}")


def _entries(registry: Registry, name: str, kind: str | None) -> list[Entry]:
    """All entries of that name, of any kind or one; for ``family:member``, the members."""
    kinds = [one for one in KINDS if kind in (None, one)]
    entries = [entry for one in kinds for entry in registry.of_kind(one) if entry.name == name]
    family, colon, _ = name.partition(":")
    if entries or not colon:
        return entries
    families = [one for one in kinds if any(n.startswith(f"{family}:<") for n in registry.names(one))]
    return [registry.get(one, name) for one in families]


def _convention_lines(card: Card, registry: Registry) -> list[str]:
    """What the names of a network's parametrisation and label mean."""
    if card.exact:
        return []
    names = [("parametrisations", card.predicts), ("labels", card.labels)]
    known = [(kind, name) for kind, name in names if name and (kind, name) in registry.entries]
    lines = [f"  {kind[:-1]} {name}: {summary(registry.get(kind, name))}" for kind, name in known]
    return ["", *lines] if lines else []


def _start_lines(entry: Entry, registry: Registry) -> list[str]:
    """How a predictor or solver starts on the SDEs that end in pure noise."""
    idle = getattr(entry.thing, "idle", False)
    if entry.kind not in ("predictors", "solvers") or ":" in entry.name or idle:
        return []
    lines = []
    for sde in registry.of_kind("sdes"):
        law = sde.thing()
        if law.ends_in_noise:
            limit = "DDIM's limit, x' = alpha' E[x0 | x] + sigma' x / sigma"
            step = "its own" if entry.thing().starts_in_noise(law) else limit
            lines.append(f"  first step on {sde.name}, where alpha = 0: {step}")
    return ["", *lines] if lines else []


def _entry_text(entry: Entry) -> str:
    text = f"{entry.kind[:-1]} {entry.name}, from {entry.distribution} {entry.version}\n\n  "
    text += (inspect.getdoc(entry.thing) or "").replace("\n", "\n  ")
    if entry.kind == "metrics":
        text += "\n\n" + _metric_text(entry.thing)
    if entry.kind == "datasets":
        text += "\n\n" + _dataset_text(entry.thing)
    for p in entry.thing.parameters():
        limits = f", {p.range}" if p.range else ""
        setting = f"-P {entry.kind[:-1]}.{p.name}={_text(p.default)}"
        if entry.kind in IN_CARDS:
            setting = f"{p.name} = {json.dumps(p.default)} in a card's [parameters.{entry.kind[:-1]}]"
        text += f"\n\n  {setting}  ({p.type}{limits})\n"
        text += click.wrap_text(p.help, 79, "      ", "      ")
        notes = [f"short: --{p.flag}"] if p.flag else []
        notes += [] if p.decides else ["does not decide the value: comparisons ignore it"]
        text += "".join(f"\n      {note}" for note in notes)
    return text
