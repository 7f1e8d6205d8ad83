"""``bench compare``: two runs, suites or CSVs, paired."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bench.cli.console import console


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
    help="Results folder that names are looked up in; default: that of bench.toml, results.",
)
def compare_command(
    a: str, b: str, metrics: tuple[str, ...], limits: tuple[str, ...], as_json: bool, out: Path | None
) -> int:
    """Compare B with A: difference, interval, significance, and what they cost.

    A and B are each a record's .json, a runs.csv or cells.csv, a results folder, a planned suite (table1,
    table1/NAME) or the fingerprint of a run, which stands for all its seeds.

    Runs are paired by cell (checkpoint, sampler, task, samples; one cell on each side: whatever they are),
    then by seed. Two seeds or more: paired t test over seeds. One: paired jackknife over batches, which
    start from the same noise. The verdict is at 5% for all cells of a metric together (Holm's p); intervals
    are each cell's own, at 95%.

    --fail-on is broken where B is worse by more than the limit and the cell's own interval excludes zero;
    where it has none, the difference alone decides. A run that failed in B alone breaks it too.
    Exit status: 0, 1 a limit is broken, 2 a mistake.
    """
    from bench.api import compare
    from bench.reporting.compare.terminal import print_comparison

    comparison = compare(a, b, metrics=metrics, limits=limits, out=out)
    if as_json:
        click.echo(json.dumps(comparison.plain(), indent=1, allow_nan=False))
    else:
        print_comparison(comparison, console())
    return int(comparison.broken)
