"""``bench list`` and ``bench show``: what is registered."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import click

from bench.cli import cards
from bench.cli.console import console, echo, echo_json, echo_lines
from bench.cli.context import registry_of
from bench.errors import BenchError, did_you_mean, printable
from bench.plugins.hookspecs import KINDS
from bench.plugins.registry import Entry, Registry

if TYPE_CHECKING:
    from bench.types import JSONObject

WIDE = 120
"""Smallest width of a terminal at which the list has the column "from"."""


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
        plain |= {key: getattr(entry.thing, key) for key in ("direction", "min_samples", "bias")}
    keys = ("name", "type", "default", "help", "range", "flag", "decides")
    plain["parameters"] = [{key: getattr(one, key) for key in keys} for one in entry.thing.parameters()]
    return plain


def summary(entry: Entry) -> str:
    """One line about an entry: the first line of its docstring, or a card's summary."""
    if entry.kind == "checkpoints":
        return str(entry.thing.summary)
    return (inspect.getdoc(entry.thing) or "").split("\n")[0]


@click.command("list")
@click.argument("kind", type=str, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print plain JSON.")
@click.pass_context
def list_command(context: click.Context, kind: str | None, as_json: bool) -> None:
    """List what is registered: tasks, sdes, predictors, correctors, solvers, metrics, extractors,
    checkpoints, readers, executors, suites."""
    kinds = (*KINDS, "suites")
    if kind is not None:
        kind = kind if kind in kinds else f"{kind}s"
        if kind not in kinds:
            raise BenchError(f"unknown kind {kind[:-1]!r}{did_you_mean(kind, kinds)}")
    registry = registry_of(context)
    entries = [entry for one in KINDS if kind in (None, one) for entry in registry.of_kind(one)]
    suites = suite_facts() if kind in (None, "suites") else []
    problems = [problem.message for problem in registry.all_problems()]
    if as_json:
        plain = {"entries": [facts(entry) for entry in entries], "suites": suites, "problems": problems}
        echo_json(plain)
        return
    _print_list(entries, suites, kind)
    for problem in problems:
        echo(f"bench: {problem}", err=True)


def _print_list(entries: list[Entry], suites: list[JSONObject], kind: str | None) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    out = console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    heading = "summary" if kind in ("checkpoints", "suites") else "parameters"
    columns = ("kind", "name", heading, *(("from",) if out.width >= WIDE else ()))
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for entry in entries:
        text = summary(entry) if entry.kind == "checkpoints" else _defaults(entry)
        origin = printable(f"{entry.distribution} {entry.version}")
        row = (entry.kind[:-1], entry.name, escape(printable(text, 1000)), escape(origin))
        table.add_row(*row[: len(columns)])
    for suite in suites:
        text = f"{suite['cells']} cells" + (f": {suite['about']}" if suite["about"] else "")
        table.add_row(
            *("suite", escape(printable(f"{suite['name']}")), escape(printable(text, 1000)), "bench.toml")[
                : len(columns)
            ]
        )
    out.print(table)
    runs, sets = "bench run --suite NAME runs it", "set a parameter by -P ROLE.PARAMETER=VALUE"
    markup = f"bench show NAME describes one; {runs if kind == 'suites' else sets}"
    out.print(markup, style="dim", highlight=False)


def suite_facts() -> list[JSONObject]:
    """The suites of the shipped bench.toml and of the one in the current folder, as plain data."""
    from bench.plan.settings import suites
    from bench.plan.suites import expand, resolve_suite

    by_name = suites()
    whole = {name: resolve_suite(name, by_name) for name in by_name}
    return [
        {"name": name, "about": suite.about, "layout": suite.layout, "cells": len(expand(name, suite))}
        for name, suite in whole.items()
    ]


def _suite_text(suite: JSONObject) -> str:
    from bench.plan.settings import suites
    from bench.plan.suites import expand, resolve_suite

    name = f"{suite['name']}"
    cells = expand(name, resolve_suite(name, suites()))
    lines = [f"suite {name}, {suite['cells']} cells", f"  {suite['about']}", ""]
    lines += [f"  {place}" for place, _ in cells]
    return "\n".join([*lines, "", f"bench run --suite {name}, then bench table {name}", ""])


def _metric_text(metric: Any) -> str:
    """How to read a metric's values."""
    lines = [f"{metric.direction} is better", f"flagged (†) below {metric.min_samples} samples"]
    lines += [f"bias: {metric.bias}"] if metric.bias else []
    return "\n".join(f"  {line}" for line in lines)


def _defaults(entry: Entry) -> str:
    """All parameters with their defaults."""
    return "  ".join(f"{p.name}={_text(p.default)}" for p in entry.thing.parameters())


def _text(value: object) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


@click.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print plain JSON.")
@click.pass_context
def show_command(context: click.Context, name: str, as_json: bool) -> None:
    """Show everything called NAME: its equation, its parameters with their ranges, its distribution."""
    registry = registry_of(context)
    entries = _entries(registry, name)
    suites = [suite for suite in suite_facts() if suite["name"] == name]
    if suites and not entries:
        if as_json:
            echo_json(suites[0])
        else:
            echo_lines(_suite_text(suites[0]))
        return
    if not entries:
        known = {f"{suite['name']}" for suite in suite_facts()}
        known |= {entry.name for kind in KINDS for entry in registry.of_kind(kind)}
        raise BenchError(f"nothing is registered as {name!r}{did_you_mean(name, known, 'bench list')}")
    if as_json:
        echo_json([facts(entry) for entry in entries])
        return
    for entry in entries:
        echo_lines(cards.text(entry) if entry.kind == "checkpoints" else _entry_text(entry))
        echo("")


def _entries(registry: Registry, name: str) -> list[Entry]:
    """All entries of that name, of any kind; for ``family:member``, the members."""
    entries = [entry for kind in KINDS for entry in registry.of_kind(kind) if entry.name == name]
    family, colon, _ = name.partition(":")
    if entries or not colon:
        return entries
    kinds = [kind for kind in KINDS if any(n.startswith(f"{family}:<") for n in registry.names(kind))]
    return [registry.get(kind, name) for kind in kinds]


def _entry_text(entry: Entry) -> str:
    text = f"{entry.kind[:-1]} {entry.name}, from {entry.distribution} {entry.version}\n\n  "
    text += (inspect.getdoc(entry.thing) or "").replace("\n", "\n  ")
    if entry.kind == "metrics":
        text += "\n\n" + _metric_text(entry.thing)
    for p in entry.thing.parameters():
        limits = f", {p.range}" if p.range else ""
        text += f"\n\n  -P {entry.kind[:-1]}.{p.name}={_text(p.default)}  ({p.type}{limits})\n"
        text += click.wrap_text(p.help, 79, "      ", "      ")
        notes = [f"short: --{p.flag}"] if p.flag else []
        notes += [] if p.decides else ["does not decide the value: comparisons ignore it"]
        text += "".join(f"\n      {note}" for note in notes)
    return text
