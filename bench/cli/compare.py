"""``bench compare``: two runs, suites or CSVs."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.console import console, echo_json
from bench.cli.paths import NamedPath


@click.command("compare", short_help="Compare B with A: difference, interval, significance, cost.")
@click.argument("a")
@click.argument("b")
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="Default: all that both have.")
@click.option(
    "--fail-on",
    "limits",
    multiple=True,
    metavar="METRIC:X",
    help="Exit with 1 if B is worse than A by more than X in a metric, nfe or seconds (per sample); X% of "
    "A for distances and costs.",
)
@click.option("--json", "as_json", is_flag=True, help="Print plain JSON.")
@click.option(
    "--out",
    type=NamedPath(),
    help="Results folder in which names are looked up; default: that of bench.toml, results.",
)
def compare_command(
    a: str, b: str, metrics: tuple[str, ...], limits: tuple[str, ...], as_json: bool, out: Path | None
) -> int:
    """Compare B with A: difference, interval, significance and cost.

    A and B are each a record's .json, a runs.csv or cells.csv, a results folder, a planned suite (table1,
    table1/NAME) or the fingerprint of a run, which stands for all its seeds.

    Runs are matched by cell (checkpoint, sampler, task, samples), then by seed. If both sides hold one cell,
    these two are matched. Two seeds or more: t test over seeds. One seed: jackknife over batches. Runs that
    start from the same noise are pairs. Those of another batch size, kind of device or images are not, and
    neither are those of a file that leaves these out: their test is unpaired. The verdict holds at 5% for all
    cells of a metric together (Holm's p); intervals are each cell's own, at 95%.

    Percentages are of A. There are none of a value that may be negative, of a share or score, or of a
    distance within 1.96 standard errors of zero: give an absolute limit there. A limit of --fail-on is broken
    where B is worse by more than the limit and the cell's own interval excludes zero; without an interval,
    the difference alone decides. A run that failed in B alone breaks every limit. Exit status: 0 no limit is
    broken, 1 a limit is broken, 2 a mistake in the command.
    """
    from bench.api.reporting import compare
    from bench.reporting.compare.terminal import print_comparison

    comparison = compare(a, b, metrics=metrics, limits=limits, out=out)
    if as_json:
        echo_json(comparison.plain())
    else:
        print_comparison(comparison, console())
    return int(comparison.broken)
