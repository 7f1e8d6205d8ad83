"""``bench table``: tables and plots of a suite, or of a folder of runs, from records alone."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.console import console, echo_json
from bench.cli.paths import NamedPath


@click.command("table", short_help="Make tables and plots of a suite, or of a results folder.")
@click.argument("source", metavar="[SUITE|FOLDER]", required=False)
@click.option(
    "--out",
    type=NamedPath(),
    help="Results folder that the suite was run into; default: that of bench.toml, results.",
)
@click.option("--to", type=NamedPath(), help="Where to write; default: the results folder.")
@click.option("--name", help="One of the tables, where there are several: see the message.")
@click.option("--metric", help="Metric to tabulate; default: each that the runs have.")
@click.option(
    "--published-of",
    multiple=True,
    metavar="CHECKPOINT",
    help="Show published figures of other checkpoints below; default: those that the suite names.",
)
@click.option("--no-plots", is_flag=True, help="Write tables alone.")
@click.option("--json", "as_json", is_flag=True, help="Print the tables as plain JSON.")
def table_command(
    source: str | None,
    out: Path | None,
    to: Path | None,
    name: str | None,
    metric: str | None,
    published_of: tuple[str, ...],
    no_plots: bool,
    as_json: bool,
) -> int:
    """Make the tables and plots of a SUITE that was run, or of all runs of a results FOLDER.

    Without both, of all runs of the results folder. Reads records alone and samples nothing. Writes CSV,
    Markdown, LaTeX, PNG and SVG to TO/SUITE/NAME/ (TO/runs/NAME/ without a suite) and prints the table. Cells
    of a suite that were not run are marked as missing. Exit status: 0 all cells are complete, 1 some are
    missing or failed, 2 a mistake in the command.
    """
    from bench.api.reporting import table
    from bench.plan.settings import results_folder
    from bench.reporting.progress import Display
    from bench.reporting.suite_tables import suite_or_folder
    from bench.reporting.terminal import print_table

    suite, folder = suite_or_folder(source, out, results_folder(out))
    with Display(console(stderr=True)) as display:
        tables = table(
            suite,
            metric=metric,
            name=name,
            out=folder,
            to=to or folder,
            plots=not no_plots,
            published_of=published_of or None,
            emit=display,
        )
    if as_json:
        echo_json({"tables": [one.plain() for one in tables]})
    else:
        for one in tables:
            print_table(one, console())
    return int(not all(one.complete for one in tables))
