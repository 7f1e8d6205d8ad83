"""``bench table``: a suite's tables and plots, from records alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.console import console
from bench.errors import BenchError, did_you_mean

if TYPE_CHECKING:
    from bench.results.store import Store


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
@click.option("--no-plots", is_flag=True, help="Tables alone.")
def table_command(
    suite: str, out: Path, to: Path | None, name: str | None, metric: str | None, no_plots: bool
) -> int:
    """Make the tables and plots of a SUITE that was run: `bench run --suite SUITE` first.

    Reads records alone and samples nothing. Writes CSV, Markdown, LaTeX, PNG and SVG to
    TO/SUITE/NAME/ and prints the table. Cells that were not run are shown as missing.
    Exit status: 0 all cells are there, 1 some are missing or failed, 2 a mistake in the command.
    """
    from bench.reporting.build import build
    from bench.results.store import Store

    out = out.expanduser()
    said: list[str] = []
    store = Store(out, writes=False, notice=said.append)
    found = store.read_suites(suite)
    for line in said:
        click.echo(f"bench: {line}", err=True)
    if not found:
        raise BenchError(_nothing(store, suite))
    if name is not None:
        names = [m["name"] for m in found]
        found = [m for m in found if m["name"] == name]
        if not found:
            raise BenchError(f"suite {suite} has no table {name!r}{did_you_mean(name, names)}")
    complete = True
    for manifest in found:
        metrics = manifest["metrics"]
        if metric is not None and metric not in metrics:
            raise BenchError(
                f"{suite}/{manifest['name']} has no {metric}{did_you_mean(metric, metrics)}: take it by "
                f"bench measure --suite {suite} --metric {metric}"
            )
        for chosen in [metric] if metric else metrics:
            folder = (to or out).expanduser()
            try:
                result = build(manifest, store, chosen, folder, plots=not no_plots)
            except OSError as error:
                raise BenchError(
                    f"{folder} can't be written ({error.strerror}): choose another by --to"
                ) from error
            _show(result)
            complete &= result.complete
    return int(not complete)


def _nothing(store: Store, suite: str) -> str:
    folder = store.root / "suites"
    ran = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    known = f" (it has {', '.join(ran)})" if ran else ""
    return f"no run of suite {suite!r} in {store.root}{known}: bench run --suite {suite} comes first"


def _show(result: Any) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    screen = console()
    screen.print(escape(result.heading), soft_wrap=True, style="bold")
    header, rows = result.shown
    if sum(max(len(row[i]) for row in (header, *rows)) + 3 for i in range(len(header))) > screen.width:
        header, rows = result.narrow
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in header:
        table.add_column(escape(column), overflow="fold")
    for row in rows:
        table.add_row(*(_bold(cell) if screen.is_terminal else escape(cell) for cell in row))
    screen.print(table)
    for note in result.notes:
        said = note if screen.is_terminal else note.replace("Bold:", "Between asterisks:")
        screen.print(escape(said), soft_wrap=True)
    screen.print(
        f"written to {escape(str(result.folder))}: {escape(', '.join(result.files))}", soft_wrap=True
    )
    screen.print("")


def _bold(cell: str) -> str:
    from rich.markup import escape

    if not cell.startswith("*"):
        return escape(cell)
    inner, _, after = cell[1:].partition("*")
    return f"[bold]{escape(inner)}[/]{escape(after)}"
