"""``bench checkpoints``: list, fetch, import and verify checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.checkpoints.install.states import (
    ABSENT,
    all_facts,
    facts,
    file_facts,
    refuse_unfetchable,
    state,
    total_bytes,
    verify,
)
from bench.cli import cards
from bench.cli.console import console, echo, echo_json, echo_lines
from bench.cli.context import registry_of
from bench.cli.paths import NamedPath
from bench.cli.stopping import STOPPED, report_stop
from bench.errors import BenchError, printable
from bench.reporting.text import amount, count

if TYPE_CHECKING:
    from bench.checkpoints.cards import Card

WIDE = 100
"""Smallest width of a terminal at which the listing has wider gaps between its columns."""

JSON = click.option("--json", "as_json", is_flag=True, help="Print plain JSON.")


@click.group("checkpoints", short_help="List, fetch, import and verify checkpoints.")
def checkpoints_command() -> None:
    """Checkpoints: list them, fetch or import their files, verify them.

    Files are kept in $BENCH_CACHE, by default the user's cache folder.

    \b
    bench checkpoints list
    bench checkpoints pull NAME
    bench checkpoints import FILE --card NAME
    """


def _card(context: click.Context, name: str) -> Card:
    card: Card = registry_of(context).get("checkpoints", name).thing
    return card


@checkpoints_command.command("list")
@JSON
@click.pass_context
def list_checkpoints(context: click.Context, as_json: bool) -> None:
    """List checkpoints and the state of their files.

    Levels: number of noise levels of the network's training, or cont. for continuous. State: shipped (beside
    the card), installed, pull (bench checkpoints pull NAME fetches it), by hand (bench checkpoints show NAME
    says how), damaged.
    """
    plugins = registry_of(context)
    rows = [facts(entry) for entry in plugins.of_kind("checkpoints")]
    problems = [p.message for p in plugins.all_problems()]
    if as_json:
        plain = {"checkpoints": [row.plain() for row in rows], "problems": problems}
        echo_json(plain)
        return
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    out = console()
    # with one blank between columns the longest of the shipped names fits 80; a longer name is cut, FID never
    gap = 0 if out.width < WIDE else 1
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap))
    for column in ("name", "SDE"):
        table.add_column(column, overflow="ellipsis")
    table.add_column("levels", justify="right", no_wrap=True)
    table.add_column("FID", justify="right", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for row in rows:
        fid = "" if row.fid is None else f"{row.fid:.2f}" if isinstance(row.fid, float) else str(row.fid)
        levels = row.noise_levels.replace(" discrete", "").replace("continuous", "cont.")
        sde = printable(row.sde or "any", 40)
        cells = (row.name, escape(sde), levels, escape(printable(fid, 8)), amount(row.bytes), row.state)
        table.add_row(*cells)
    out.print(table)
    out.print("\nFID as published; bench checkpoints show NAME tells more", style="dim")
    for problem in problems:
        echo(f"bench: {problem}", err=True)


@checkpoints_command.command("show", short_help="Show a card, and the state of its files.")
@click.argument("name")
@JSON
@click.pass_context
def show_checkpoint(context: click.Context, name: str, as_json: bool) -> None:
    """Show a checkpoint's card, the state of its files, their hashes, and how to get them."""
    entry = registry_of(context).get("checkpoints", name)
    if as_json:
        echo_json(all_facts(entry))
    else:
        echo_lines(cards.text(entry))


@checkpoints_command.command("pull")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.pass_context
def pull_checkpoints(context: click.Context, names: tuple[str, ...]) -> int:
    """Fetch checkpoints and install them in the cache.

    After an interruption the same command resumes. Where no hash is published, the first installation records
    it, and later ones must match. Exit status: 0 all are installed, 1 one can't be installed (the others
    are), 2 a mistake in the command, 130 stopped (143 by SIGTERM, 129 by SIGHUP).
    """
    from bench.checkpoints.install.installer import pull, received_bytes
    from bench.reporting.progress import Display

    chosen = [_card(context, name) for name in dict.fromkeys(names)]
    for card in chosen:
        if state(card) == "by hand":
            refuse_unfetchable(card)
    failed = False
    try:
        with Display(console()) as display:
            for card in chosen:
                try:
                    fetched = pull(card, registry_of(context), display)
                except BenchError as error:
                    display.clear()
                    echo(f"bench: {error}", err=True)
                    failed = True
                    continue
                display.clear()
                if fetched:
                    _report(card)
                else:
                    here = "is beside its card" if card.shipped else "is installed already"
                    echo(f"{card.name} {here}: {card.folder}")
    except KeyboardInterrupt:
        size = sum(received_bytes(card) for card in chosen)
        remains = f"{amount(size)} are kept: the same command resumes from there"
        report_stop(f"; {remains if size else 'no part of a file is kept'}")
        return STOPPED
    return int(failed)


def _report(card: Card) -> None:
    """Print the installed checkpoint, with its unpublished hashes."""
    echo(f"installed {card.name} in {card.folder}")
    for file in file_facts(card):
        if file.hash != "published":
            echo(f"  {file.name}: sha256 {file.sha256}, recorded, as none is published")


@checkpoints_command.command("import", short_help="Install a checkpoint from a local file or folder.")
@click.argument("path", metavar="FILE", type=NamedPath())
@click.option("--card", "name", required=True, metavar="NAME", help="Name of the checkpoint.")
@click.pass_context
def import_checkpoint(context: click.Context, path: Path, name: str) -> int:
    """Install a checkpoint from a local FILE of any name, or from a folder that holds its files.

    They are copied into the cache. A second import of the same files changes nothing.
    """
    from bench.checkpoints.install.installer import import_files
    from bench.reporting.progress import Display

    card = _card(context, name)
    try:
        with Display(console()) as display:
            changed = import_files(card, path, registry_of(context), display)
    except KeyboardInterrupt:
        report_stop("; nothing was installed")
        return STOPPED
    if changed:
        _report(card)
    else:
        echo(f"{card.name} is installed already, unchanged: {card.folder}")
    return 0


@checkpoints_command.command("verify", short_help="Hash the files of checkpoints again.")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.pass_context
def verify_checkpoints(context: click.Context, names: tuple[str, ...]) -> int:
    """Hash the files of checkpoints again; by default, of all that are on disk.

    Exit status: 0 every file has its hash, 1 a file has another hash or is missing.
    """
    chosen: list[Card] = [_card(context, name) for name in dict.fromkeys(names)]
    if not names:
        registered = {entry.name: entry.thing for entry in registry_of(context).of_kind("checkpoints")}
        chosen = [card for card in registered.values() if state(card) not in ABSENT]
    faulty = False
    for card in chosen:
        if state(card) in ABSENT:
            faulty = True
            echo(f"absent  {card.name}  {card.how_to_get()}")
            continue
        wrong, unknown = verify(card)
        faulty = faulty or bool(wrong)
        if wrong or unknown:
            lines = "; ".join(line.removeprefix(f"checkpoint {card.name}: ") for line in [*wrong, *unknown])
            echo(f"{'WRONG' if wrong else '?':<8}{card.name}  {lines}")
        else:
            files = count(len(card.contents()), "file")
            echo(f"{'ok':<8}{card.name}  {files}, {amount(total_bytes(card))}")
    return int(faulty)


@checkpoints_command.command("path")
@click.argument("name")
@click.pass_context
def path_of_checkpoint(context: click.Context, name: str) -> None:
    """Print the folder that holds a checkpoint's files."""
    card = _card(context, name)
    card.check()
    echo(card.folder)
