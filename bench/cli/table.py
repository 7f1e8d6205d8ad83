"""``bench table``: a suite's tables and plots, from records alone."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.console import console, error_console


@click.command("table")
@click.argument("suite")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Results folder that the suite was run into; default: that of bench.toml, results.",
)
@click.option("--to", type=click.Path(path_type=Path), help="Where to write; default: the results folder.")
@click.option("--name", help="One of the suite's tables, where several were run: see the message.")
@click.option("--metric", help="Metric to tabulate; default: each that the suite was run with.")
@click.option("--no-plots", is_flag=True, help="Write tables alone.")
def table_command(
    suite: str, out: Path | None, to: Path | None, name: str | None, metric: str | None, no_plots: bool
) -> int:
    """Make the tables and plots of a SUITE that was run: `bench run --suite SUITE` first.

    Reads records alone and samples nothing. Writes CSV, Markdown, LaTeX, PNG and SVG to
    TO/SUITE/NAME/ and prints the table. Cells that were not run are marked as missing.
    Exit status: 0 all cells are complete, 1 some are missing or failed, 2 a mistake in the command.
    """
    from bench.api import table
    from bench.plan.request import results_folder
    from bench.reporting.progress import Display
    from bench.reporting.terminal import print_table

    target = to or results_folder(out)
    with Display(error_console()) as display:
        tables = table(suite, metric=metric, name=name, out=out, to=target, plots=not no_plots, emit=display)
    for one in tables:
        print_table(one, console())
    return int(not all(one.complete for one in tables))
