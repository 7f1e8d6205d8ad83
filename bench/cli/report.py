"""``bench report``: suites or results folders as one page of HTML, from records alone."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.console import console, echo, echo_json
from bench.cli.context import registry_of
from bench.cli.paths import NamedPath


@click.command("report", short_help="Write runs as one page of HTML, to send to somebody.")
@click.argument("sources", metavar="[SUITE|FOLDER]...", nargs=-1)
@click.option(
    "-o", "target", type=NamedPath(), default=Path("report.html"), show_default=True, help="File to write."
)
@click.option(
    "--out",
    type=NamedPath(),
    help="Results folder that the suites were run into; default: that of bench.toml, results.",
)
@click.option(
    "--published-of",
    multiple=True,
    metavar="CHECKPOINT",
    help="Show published figures of other checkpoints below; default: those that the suites name.",
)
@click.option("--no-pictures", is_flag=True, help="Leave the samples out.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as plain JSON.")
@click.pass_context
def report_command(
    context: click.Context,
    /,
    sources: tuple[str, ...],
    target: Path,
    out: Path | None,
    published_of: tuple[str, ...],
    no_pictures: bool,
    as_json: bool,
) -> int:
    """Write suites that were run, or all runs of results folders, as one page of HTML.

    Without a SUITE or FOLDER, all runs of the results folder. Reads records and previews alone and samples
    nothing. The file opens from disk, needs no network and sends no request: charts, sortable tables, samples
    side by side, and everything about each run. Exit status: 0 all cells are complete, 1 some are missing or
    failed, 2 a mistake in the command.

    \b
    bench report table1 -o report.html
    bench report results-a results-b -o report.html
    """
    from bench.api.reporting import report
    from bench.reporting.progress import Display

    with Display(console(stderr=True)) as display:
        page = report(
            *sources,
            to=target,
            out=out,
            published_of=published_of or None,
            pictures=not no_pictures,
            registry=registry_of(context),
            emit=display,
        )
    if as_json:
        echo_json(page.plain())
    else:
        echo(page.text)
    return int(not page.complete)
