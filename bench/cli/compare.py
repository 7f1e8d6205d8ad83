"""``bench compare``: two runs, suites or CSVs, paired."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.console import console, count
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.reporting.compare.comparison import Limit, Row
    from bench.reporting.compare.pairing import Pair, Pairing, Side


@click.command("compare")
@click.argument("a")
@click.argument("b")
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="Default: all that both have.")
@click.option(
    "--fail-on",
    "limits",
    multiple=True,
    metavar="METRIC:X%",
    help="Exit with 1 if B is worse than A by more: X% or X, of a metric, nfe or seconds (per sample).",
)
@click.option("--json", "as_json", is_flag=True, help="Print plain JSON.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="results",
    show_default=True,
    help="Results folder that names are looked up in.",
)
def compare_command(
    a: str, b: str, metrics: tuple[str, ...], limits: tuple[str, ...], as_json: bool, out: Path
) -> int:
    """Compare B with A: difference, interval, significance, and what they cost.

    A and B are each a record's .json, a runs.csv or cells.csv, a results folder, a planned suite (table1,
    table1/NAME) or the fingerprint of a run, which stands for all its seeds.

    Cells are paired by title and samples (one cell on each side: whatever they are), then by seed. Two
    seeds or more: paired t test over seeds. One: paired jackknife over batches, which start from the same
    noise. The verdict is at 5% for all cells of a metric together (Holm's p); intervals are each cell's own,
    at 95%.

    --fail-on is broken where B is worse by more than the limit and the cell's own interval excludes zero;
    where it has none, the difference alone decides. A cell that failed in B alone breaks it too.
    Exit status: 0, 1 a limit is broken, 2 a mistake.
    """
    from bench.reporting.compare.comparison import Limit, compare, shared_metrics
    from bench.reporting.compare.pairing import pair
    from bench.reporting.compare.sides import read_side

    asked = [Limit.read(text) for text in limits]
    sides = (read_side(a, out.expanduser()), read_side(b, out.expanduser()))
    pairing = pair(*sides)
    rows = [row for name in shared_metrics(pairing.pairs, metrics) for row in compare(pairing.pairs, name)]
    checked = [(limit, compare(pairing.pairs, limit.metric)) for limit in asked]
    for limit, found in checked:
        if not found:
            raise BenchError(f"--fail-on {limit.text}: no pair has {limit.metric} on both sides")
    if as_json:
        click.echo(json.dumps(_plain(sides, pairing, rows, checked), indent=1, allow_nan=False))
    else:
        _show(sides, pairing, rows, checked)
    broken = any(limit.broken(row) for limit, found in checked for row in found)
    return int(broken or bool(asked and _newly_failed(pairing)))


def _newly_failed(pairing: Pairing) -> list[str]:
    """Cells that failed in B and not in A: no limit can be kept by them."""
    before = {name.partition(": ")[0] for name in pairing.failed_a}
    return [name for name in pairing.failed_b if name.partition(": ")[0] not in before]


def _show(
    sides: tuple[Side, Side], pairing: Pairing, rows: list[Row], checked: list[tuple[Limit, list[Row]]]
) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from bench.reporting.compare.comparison import overall, remarks

    out = console()

    def line(text: str) -> None:
        out.print(escape(text), soft_wrap=True)

    for name, side in zip("AB", sides, strict=True):
        line(f"{name}  {side.name}: {count(len(side.runs), 'run')}")
        for note in side.notes:
            line(f"   {note}")
    texts = [_texts(row) for row in rows]
    samples = {row.pair.samples for row in rows}
    columns = [c for c in texts[0] if any(text[c] for text in texts) and (c != "samples" or len(samples) > 1)]
    if len(rows) > 1 and out.width >= 120:
        tables = [Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)]
        for text in texts:
            tables[0].add_row(*(escape(text[c]) for c in columns))
    else:  # one row, or little room: rows read better lying down
        tables = [Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False) for _ in texts]
        for table, text in zip(tables, texts, strict=True):
            for column in columns:
                table.add_row(column, escape(text[column]))
    for table in tables:
        out.print(table)
    nfe, speed = overall(pairing.pairs)
    each = f", {samples.pop()} samples each" if len(samples) == 1 else ""
    line(
        f"{count(len(pairing.pairs), 'cell')} paired{each}; geometric means, B over A: "
        f"NFE {_ratio(nfe)}, samples/s {_ratio(speed)}"
    )
    for remark in remarks(rows):
        line(remark)
    for what, names in _left_out(pairing).items():
        if names:
            line(f"{count(len(names), 'cell')} {what}" + ("" if len(names) > 1 else f": {names[0]}"))
    for limit, found in checked:
        broken = [row for row in found if limit.broken(row)]
        for row in broken:
            line(f"fail-on {limit.text}: {row.pair.title} is worse {_by(row)}")
        for row in found:
            if limit.exceeded(row) and not limit.broken(row):
                over = f"{row.pair.title} is over it, but the interval includes 0"
                line(f"fail-on {limit.text}: {over} {_by(row)}")
        lacking = len(pairing.pairs) - len(found)
        unchecked = f", {count(lacking, 'cell')} lack it on one side" if lacking else ""
        line(f"fail-on {limit.text}: broken by {len(broken)} of {count(len(found), 'cell')}{unchecked}")
    if checked:
        for name in _newly_failed(pairing):
            line(f"fail-on: {name} failed in B")


def _left_out(pairing: Pairing) -> dict[str, list[str]]:
    return {
        "in A only": pairing.only_a,
        "in B only": pairing.only_b,
        "failed in A": pairing.failed_a,
        "failed in B": pairing.failed_b,
        "without a seed in common": pairing.other_seeds,
    }


def _texts(row: Row) -> dict[str, str]:
    from bench.reporting.compare.comparison import ratios

    estimate, dagger = row.estimate, " †" if row.note else ""
    nfe, speed = ratios(row.pair)
    return {
        "cell": row.pair.title.replace(" → ", "\n→ "),
        "samples": str(row.pair.samples),
        "metric": row.metric,
        "A": f"{row.a:.4g}{dagger}",
        "B": f"{row.b:.4g}{dagger}",
        "B − A": f"{estimate.difference:.4g}",
        "95 % interval": _interval(row),
        "relative": _percent(row),
        "p (Holm)": "" if row.p_holm is None else f"{row.p_holm:.2g}",
        "paired by": count(estimate.n, estimate.paired_by[:-1]) if estimate.paired_by == "seeds" else
        f"{estimate.n} groups of batches" if estimate.paired_by else "one seed",
        "NFE B/A": _ratio(nfe),
        "speed B/A": _ratio(speed),
        "verdict": row.verdict,
    }  # fmt: skip


def _interval(row: Row) -> str:
    interval = row.estimate.interval
    return "" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}"


def _percent(row: Row) -> str:
    if row.relative is None:
        return ""
    return f"{100 * row.relative:+.4g} %" if row.relative else "0 %"


def _ratio(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _by(row: Row) -> str:
    interval = f", 95 % interval of B − A {_interval(row)}" if row.estimate.interval else ", no interval"
    return f"on B: {row.metric} {row.a:.4g} → {row.b:.4g} ({_percent(row) or 'from 0'}{interval})"


def _plain(
    sides: Sequence[Side], pairing: Pairing, rows: Sequence[Row], checked: Sequence[tuple[Limit, list[Row]]]
) -> dict[str, Any]:
    from bench.reporting.compare.comparison import overall, ratios, remarks

    nfe, speed = overall(pairing.pairs)
    cells = []
    for pair in pairing.pairs:
        ratio = ratios(pair)
        cells.append(_cell(pair) | {"nfe_ratio": ratio[0], "speed_ratio": ratio[1]})
    return {
        "a": _side(sides[0]),
        "b": _side(sides[1]),
        "rows": [_row(row) for row in rows],
        "cells": cells,
        "nfe_ratio": nfe,
        "speed_ratio": speed,
        "only_a": pairing.only_a,
        "only_b": pairing.only_b,
        "failed_a": pairing.failed_a,
        "failed_b": pairing.failed_b,
        "other_seeds": pairing.other_seeds,
        "remarks": remarks(rows),
        "fail_on": [
            _row(row) | {"limit": limit.text, "broken": limit.broken(row)}
            for limit, found in checked
            for row in found
        ],
    }


def _side(side: Side) -> dict[str, Any]:
    return {"name": side.name, "runs": [run.fingerprint for run in side.runs], "notes": side.notes}


def _cell(pair: Pair) -> dict[str, Any]:
    return {
        "cell": pair.title,
        "cell_a": pair.a[0].cell,
        "cell_b": pair.b[0].cell,
        "samples": pair.samples,
        "seeds": [run.seed for run in pair.a],
        "nfe_a": [run.nfe for run in pair.a],
        "nfe_b": [run.nfe for run in pair.b],
    }


def _row(row: Row) -> dict[str, Any]:
    names = ("metric", "direction", "seeds", "a", "b", "relative", "p_holm", "verdict", "note")
    return (
        {"cell": row.pair.title, "samples": row.pair.samples}
        | {name: getattr(row, name) for name in names}
        | dataclasses.asdict(row.estimate)
    )
