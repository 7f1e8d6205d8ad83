"""``bench list`` and ``bench show``: what is registered."""

from __future__ import annotations

import inspect
import json
from typing import Any

import click

from bench.cli import cards
from bench.errors import BenchError, did_you_mean, printable
from bench.plugins.hookspecs import KINDS
from bench.plugins.registry import Entry, registry


def facts(entry: Entry) -> dict[str, Any]:
    """An entry as plain data."""
    found: dict[str, Any] = {
        "kind": entry.kind,
        "name": entry.name,
        "distribution": entry.distribution,
        "version": entry.version,
        "summary": summary(entry),
    }
    if entry.kind == "checkpoints":
        return found | {"card": entry.thing.model_dump(mode="json", by_alias=True)}
    if entry.kind == "metrics":
        found |= {k: getattr(entry.thing, k) for k in ("direction", "min_samples", "bias")}
    keys = ("name", "type", "default", "help", "range")
    return found | {"parameters": [{k: getattr(p, k) for k in keys} for p in entry.thing.parameters()]}


def summary(entry: Entry) -> str:
    """One line on what an entry is."""
    if entry.kind == "checkpoints":
        return str(entry.thing.summary)
    return (inspect.getdoc(entry.thing) or "").split("\n")[0]


WIDE = 120
"""Columns of a terminal from which on the list tells where things are from, as ``bench show`` does."""


@click.command("list")
@click.argument("kind", type=str, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print plain JSON.")
def list_command(kind: str | None, as_json: bool) -> None:
    """List what is registered: tasks, sdes, predictors, correctors, solvers, metrics, extractors,
    checkpoints, readers, executors, suites."""
    listed = (*KINDS, "suites")
    if kind is not None:
        kind = kind if kind in listed else f"{kind}s"
        if kind not in listed:
            raise BenchError(f"unknown kind {kind[:-1]!r}{did_you_mean(kind, listed)}")
    found = registry()
    entries = [e for k in KINDS if kind in (None, k) for e in found.of_kind(k)]
    known = suite_facts() if kind in (None, "suites") else []
    problems = [printable(p.message, None) for p in found.all_problems()]
    if as_json:
        plain = {"entries": [facts(e) for e in entries], "suites": known, "problems": problems}
        click.echo(json.dumps(plain, indent=1))
        return
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from bench.cli.console import console

    out = console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    heading = "summary" if kind in ("checkpoints", "suites") else "parameters"
    columns = ("kind", "name", heading, *(("from",) if out.width >= WIDE else ()))
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for entry in entries:
        tells = summary(entry) if entry.kind == "checkpoints" else _short(entry)
        origin = printable(f"{entry.distribution} {entry.version}")
        texts = (entry.kind[:-1], entry.name, escape(printable(tells, 1000)), escape(origin))
        table.add_row(*texts[: len(columns)])
    for suite in known:
        cells = f"{suite['cells']} cells: {suite['about']}" if suite["about"] else f"{suite['cells']} cells"
        table.add_row(*("suite", escape(suite["name"]), escape(cells), "bench.toml")[: len(columns)])
    out.print(table)
    out.print(
        "bench show NAME tells more; set a parameter by -P ROLE.PARAMETER=VALUE", style="dim", highlight=False
    )
    for problem in problems:
        click.echo(f"bench: {problem}", err=True)


def suite_facts() -> list[dict[str, Any]]:
    """The suites of the shipped bench.toml and of the folder's own, as plain data."""
    from bench.plan.settings import suites
    from bench.plan.suites import expand, resolved

    named = suites()
    whole = {name: resolved(name, named) for name in named}
    return [
        {"name": name, "about": suite.about, "layout": suite.layout, "cells": len(expand(name, suite))}
        for name, suite in whole.items()
    ]


def _suite_text(suite: dict[str, Any]) -> str:
    from bench.plan.settings import suites
    from bench.plan.suites import expand, resolved

    cells = expand(suite["name"], resolved(suite["name"], suites()))
    lines = [f"suite {suite['name']}, {suite['cells']} cells", f"  {suite['about']}", ""]
    lines += [f"  {place}" for place, _ in cells]
    return "\n".join([*lines, "", f"bench run --suite {suite['name']}, then bench table {suite['name']}", ""])


def _judged(entry: Entry) -> str:
    """How a metric's values are to be read."""
    told = facts(entry)
    lines = [f"{told['direction']} is better", f"flagged (†) below {told['min_samples']} samples"]
    lines += [f"bias: {told['bias']}"] if told["bias"] else []
    return "\n".join(f"  {line}" for line in lines)


def _short(entry: Entry) -> str:
    return "  ".join(f"{p.name}={_text(p.default)}" for p in entry.thing.parameters())


def _text(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


@click.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print plain JSON.")
def show_command(name: str, as_json: bool) -> None:
    """Show everything of that NAME: its equation, parameters with their ranges, where it comes from."""
    found = registry()
    entries = [e for kind in KINDS for e in found.of_kind(kind) if e.name == name]
    family, colon, _ = name.partition(":")
    if colon and not entries:
        families = [kind for kind in KINDS if any(n.startswith(f"{family}:<") for n in found.names(kind))]
        entries = [found.get(kind, name) for kind in families]
    suites = [suite for suite in suite_facts() if suite["name"] == name]
    if suites and not entries:
        click.echo(json.dumps(suites[0], indent=1) if as_json else _suite_text(suites[0]))
        return
    if not entries:
        known = {suite["name"] for suite in suite_facts()} | {
            e.name for kind in KINDS for e in found.of_kind(kind)
        }
        raise BenchError(f"nothing is registered as {name!r}{did_you_mean(name, known, 'bench list')}")
    if as_json:
        click.echo(json.dumps([facts(e) for e in entries], indent=1))
        return
    for entry in entries:
        click.echo(cards.text(entry) if entry.kind == "checkpoints" else _entry_text(entry))
        click.echo("")


def _entry_text(entry: Entry) -> str:
    text = f"{entry.kind[:-1]} {entry.name}, from {entry.distribution} {entry.version}\n\n  "
    text += (inspect.getdoc(entry.thing) or "").replace("\n", "\n  ")
    if entry.kind == "metrics":
        text += "\n\n" + _judged(entry)
    for p in entry.thing.parameters():
        limits = f", {p.range}" if p.range else ""
        text += f"\n\n  -P {entry.kind[:-1]}.{p.name}={_text(p.default)}  ({p.type}{limits})\n"
        text += click.wrap_text(p.help, 79, "      ", "      ")
    return text
