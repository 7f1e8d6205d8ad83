"""``bench publish``: a static folder of several reports, with an index and the records."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.console import console, echo, echo_json
from bench.cli.context import registry_of
from bench.cli.paths import NamedPath


@click.command("publish", short_help="Write a folder for a project page: reports and records.")
@click.argument("sources", metavar="[SUITE|FOLDER]...", nargs=-1)
@click.option("-o", "target", type=NamedPath(), required=True, help="Folder to write.")
@click.option(
    "--out",
    type=NamedPath(),
    help="Results folder that the suites were run into; default: that of bench.toml, results.",
)
@click.option("--no-pictures", is_flag=True, help="Leave the samples out.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as plain JSON.")
@click.pass_context
def publish_command(
    context: click.Context,
    /,
    sources: tuple[str, ...],
    target: Path,
    out: Path | None,
    no_pictures: bool,
    as_json: bool,
) -> int:
    """Write a folder for a project page: a report of each SUITE or FOLDER, its records, and an index.

    Without a SUITE or FOLDER, one report of all runs of the results folder. The folder is static: any web
    server can serve it, and it opens from disk. Other files in it stay. Exit status: 0 all cells are
    complete, 1 some are missing or failed, 2 a mistake in the command.

    \b
    bench publish -o public table1 fast
    """
    from bench.api.reporting import publish
    from bench.reporting.progress import Display

    with Display(console(stderr=True)) as display:
        site = publish(
            *sources,
            to=target,
            out=out,
            pictures=not no_pictures,
            registry=registry_of(context),
            emit=display,
        )
    if as_json:
        echo_json(site.plain())
    else:
        echo(site.text)
    return int(not site.complete)
