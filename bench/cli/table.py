"""``bench table``: a suite's tables and plots, from records alone."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.console import console


@click.command("table")
@click.argument("suite")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Results folder that the suite was run into.",
)
@click.option("--to", type=click.Path(path_type=Path), help="Where to write; default: the results folder.")
@click.option("--name", help="One of the suite's tables, where several were run: see the message.")
@click.option("--metric", help="Metric to tabulate; default: each that the suite was run with.")
@click.option("--no-plots", is_flag=True, help="Write tables alone.")
def table_command(
    suite: str, out: Path, to: Path | None, name: str | None, metric: str | None, no_plots: bool
) -> int:
    """Make the tables and plots of a SUITE that was run: `bench run --suite SUITE` first.

    Reads records alone and samples nothing. Writes CSV, Markdown, LaTeX, PNG and SVG to
    TO/SUITE/NAME/ and prints the table. Cells that were not run are marked as missing.
    Exit status: 0 all cells are complete, 1 some are missing or failed, 2 a mistake in the command.
    """
    from bench.cli.bars import Lines
    from bench.reporting.suite_tables import make_tables
    from bench.reporting.terminal import print_table
    from bench.results.store import Store

    out = out.expanduser()
    store = Store(out, writes=False, emit=Lines())
    tables = make_tables(
        suite, store, metric=metric, name=name, to=(to or out).expanduser(), plots=not no_plots
    )
    for table in tables:
        print_table(table, console())
    return int(not all(table.complete for table in tables))
