"""The data of a page: cells, runs and pictures as columns, with every number as the tables have it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from bench.reporting.axis import linear_width
from bench.reporting.layouts import value_entry
from bench.reporting.matching import sampler_name
from bench.reporting.page.encoding import Value, columns, digits, lists
from bench.reporting.page.series import series_names
from bench.reporting.page.sources import PageRun, PageSource, RunKey
from bench.reporting.ranking import pareto_front
from bench.reporting.reproduction import quoted
from bench.reporting.table import Cell, Table
from bench.reporting.text import amount

if TYPE_CHECKING:
    from bench.reporting.run_rows import RunRow
    from bench.results.record import Record
    from bench.types import JSONObject

FRONTS: tuple[Literal["nfe", "seconds_per_sample"], ...] = ("nfe", "seconds_per_sample")


def page_data(sources: Sequence[PageSource], runs: Mapping[RunKey, PageRun]) -> JSONObject:
    """Everything that the page's program draws, as plain data.

    Args:
        sources: The tables.
        runs: The recorded runs by folder and fingerprint.

    Returns:
        ``tables``, a list; ``runs``, columns of one row per run; ``pictures``, by a run's number.
    """
    tables: list[Any] = []
    for source in sources:
        root = source.store.root
        own = {name: run for (folder, name), run in runs.items() if folder == root}
        numbers = {name: number for number, (folder, name) in enumerate(runs) if folder == root}
        tables += [_table(table, own, numbers) for table in source.tables]
    pictures: JSONObject = {
        str(number): run.picture.plain()
        for number, run in enumerate(runs.values())
        if run.picture is not None
    }
    return {"tables": tables, "runs": _runs(list(runs.values())), "pictures": pictures}


def _table(table: Table, runs: Mapping[str, PageRun], numbers: Mapping[str, int]) -> JSONObject:
    edges = [
        edge
        for cell in table.cells
        if cell.value is not None
        for edge in (cell.value, cell.value - (cell.spread or 0.0), cell.exact, cell.limit)
        if edge is not None
    ]
    errors = [cell.error for cell in table.cells if cell.error is not None]
    return {
        "suite": table.suite,
        "name": table.name,
        "metric": table.metric,
        "checkpoint": table.checkpoint,
        "layout": table.layout,
        "x": table.x if table.layout != "list" else None,
        "lower": table.lower_is_better,
        "axis": table.axis,
        "positive": bool(edges) and min(edges) > 0,
        "linear": linear_width([cell.spread for cell in table.cells]),
        "error": digits(statistics.median(errors)) if errors else None,
        "columns": list(table.columns),
        "sources": list(table.sources),
        "cells": _cells(table, runs, numbers),
    }


def _cells(table: Table, runs: Mapping[str, PageRun], numbers: Mapping[str, int]) -> JSONObject:
    cells = table.cells
    rows: dict[tuple[str, str, str], list[RunRow]] = {}
    for row in table.runs:
        if row.metric == table.metric:
            rows.setdefault(row.place, []).append(row)
    own = [rows.get((cell.sde, cell.row, cell.column), []) for cell in cells]
    recorded = [[row for row in of_cell if row.fingerprint in runs] for of_cell in own]
    records = [runs[of_cell[0].fingerprint].record if of_cell else None for of_cell in recorded]
    entries = [value_entry(cell) for cell in cells]
    named: dict[str, Sequence[Value]] = {
        "sde": [cell.sde for cell in cells],
        "row": [cell.row for cell in cells],
        "column": [cell.column for cell in cells],
        "series": series_names(table, records),
        "sampler": ["" if one is None else sampler_name(one.identity) for one in records],
        "grid": [_grid(one) for one in records],
        "status": [cell.status for cell in cells],
        "text": [entry.text + entry.suffix for entry in entries],
        "best": [cell.best or None for cell in cells],
        "note": [cell.note for cell in cells],
        "reason": [cell.reason for cell in cells],
        "device": [cell.device for cell in cells],
    }
    for name in ("x", "value", "std", "minimum", "seeds", "planned", "error", "exact", "limit", "floor"):
        named[name] = [getattr(cell, name) for cell in cells]
    for name in ("nfe", "nfe_max", "pace", "pace_std", "network_share", "seconds_per_sample"):
        named[name] = [getattr(cell, name) for cell in cells]
    for cost in FRONTS:
        if not table.ranked and table.x in (None, "nfe"):
            front = pareto_front(cells, cost, lower=table.lower_is_better)
            named[f"front_{cost}"] = [one or None for one in front]
    plain = columns(named)
    plain["runs"] = [[numbers[row.fingerprint] for row in of_cell] for of_cell in recorded]
    plain["published"] = {str(i): _published(cell, table) for i, cell in enumerate(cells) if cell.published}
    return plain


def _grid(record: Record | None) -> str:
    return "" if record is None or record.identity.grid is None else record.identity.grid.name


def _published(cell: Cell, table: Table) -> list[Any]:
    """Value, text and number of the source, from 0, of each figure."""
    return [[digits(one.value), one.text, table.sources.index(one.citation)] for one in cell.published]


def _runs(runs: Sequence[PageRun]) -> JSONObject:
    records = [run.record for run in runs]
    costs = [record.cost for record in records]
    named: dict[str, Sequence[Value]] = {
        "fingerprint": [record.fingerprint for record in records],
        "title": [record.title for record in records],
        "seed": [record.seed for record in records],
        "status": [record.status for record in records],
        "created": [record.created for record in records],
        "samples": [record.samples for record in records],
        "reason": [record.reason for record in records],
        "log": [run.log for run in runs],
        "no_command": [run.no_command for run in runs],
    }
    for name in ("nfe", "nfe_max", "seconds", "samples_per_second", "network_share", "warm_seconds"):
        values = [None if cost is None else getattr(cost, name) for cost in costs]
        named[name] = [None if value is None else float(f"{value:.6g}") for value in values]
    for name in ("peak_host_bytes", "peak_gpu_bytes"):
        named[name] = [amount(None if cost is None else getattr(cost, name)) for cost in costs]
    plain = columns(named)
    plain["facts"] = lists([_facts(record) for record in records])
    plain["commands"] = lists([_tokens(run) for run in runs])
    plain["metrics"] = [_metrics(record) for record in records]
    return plain


def _metrics(record: Record) -> list[Any]:
    """Label, value, error, values by theory, number of samples, and note of each metric."""
    return [
        [
            label,
            *map(digits, (one.value, one.error, one.exact, one.limit)),
            one.n,
            *([one.note] if one.note else []),
        ]
        for label, one in record.metrics.items()
    ]


def _facts(record: Record) -> list[tuple[str, str, str]]:
    """Group, name and text of everything that decides or describes a run, but its seed."""
    identity, provenance = record.identity, record.provenance
    plugins = identity.plugins()
    checkpoint = identity.checkpoint
    facts = [("settings", "checkpoint", f"{checkpoint.name} ({checkpoint.convention})")]
    hashes = [
        ("hashes", "checkpoint", checkpoint.sha256 or checkpoint.code or ""),
        ("hashes", "core", identity.code),
    ]
    versions = [
        ("versions", name, getattr(provenance, name)) for name in ("bench", "torch", "numpy", "python")
    ]
    for role, plugin in plugins.items():
        facts.append(("settings", role, plugin.name))
        facts += [("settings", f"{role}.{name}", _text(value)) for name, value in plugin.parameters.items()]
        hashes.append(("hashes", f"{role} {plugin.name}", plugin.code))
        hashes += [("hashes", name, value) for name, value in plugin.files.items()]
        versions.append(("versions", plugin.distribution, plugin.version))
        versions += [("versions", name, version) for name, version in plugin.libraries.items()]
    rest = identity.model_dump(
        mode="json",
        exclude={"checkpoint", "data", "seed", "code", "torch", "device", *plugins},
        exclude_none=True,
    )
    facts += [("settings", name, _text(value)) for name, value in rest.items()]
    facts += [("settings", "data", record.data)] if record.data else []
    for label, metric in record.metrics.items():
        facts += [("settings", f"{label}.{name}", _text(value)) for name, value in metric.parameters.items()]
        hashes.append(("hashes", label, metric.code))
        hashes += [("hashes", f"{label} {name}", value) for name, value in metric.provenance.items()]
    machine = [("device", "device", identity.device), ("device", "processor", provenance.cpu)]
    machine += [("device", "cores", _text(provenance.cores)), ("device", "machine", provenance.host)]
    machine += [("device", "platform", provenance.platform)]
    commit = (provenance.commit or "") + (" with changes" if provenance.dirty else "")
    versions.append(("versions", "commit", commit))
    return list(dict.fromkeys(fact for fact in [*facts, *versions, *hashes, *machine] if fact[2]))


def _text(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _tokens(run: PageRun) -> list[str]:
    """The commands as the texts between which a shell has spaces: a flag with its value is one. Several
    commands have a line end between them."""
    tokens: list[str] = []
    for number, words in enumerate(run.commands):
        tokens += ["\n"] if number else []
        for word in words:
            joins = (
                tokens and tokens[-1].startswith("-") and " " not in tokens[-1] and not word.startswith("-")
            )
            if joins:
                tokens[-1] += f" {quoted([word])}"
            else:
                tokens.append(quoted([word]))
    return tokens
