"""``bench checkpoints``: what there is, fetching, importing, verifying."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import cards
from bench.cli.console import amount, count
from bench.errors import BenchError, printable
from bench.plugins.registry import registry

if TYPE_CHECKING:
    from bench.checkpoints.cards import Card

ABSENT = ("pull", "by hand")
"""States of what is not here."""

WIDE = 100
"""Columns of a terminal from which on the list has more room between its own."""

JSON = click.option("--json", "as_json", is_flag=True, help="Print plain JSON.")


@click.group("checkpoints")
def checkpoints_command() -> None:
    """Checkpoints: list them, fetch or import their files, verify them.

    What is fetched or imported is kept in $BENCH_CACHE, by default the user's cache folder.

    \b
    bench checkpoints list
    bench checkpoints pull NAME
    bench checkpoints import FILE --card NAME
    """


def _card(name: str) -> Card:
    card: Card = registry().get("checkpoints", name).thing
    return card


@checkpoints_command.command("list")
@JSON
def list_checkpoints(as_json: bool) -> None:
    """List checkpoints, and whether they are here.

    Levels: how many noise levels the network was trained on, or cont. for all. State: shipped (lies beside
    its card), installed, pull (bench checkpoints pull NAME fetches it), by hand (bench checkpoints show
    NAME says how), damaged.
    """
    found = registry()
    rows = [cards.row(entry) for entry in found.of_kind("checkpoints")]
    problems = [printable(p.message, None) for p in found.all_problems()]
    if as_json:
        click.echo(json.dumps({"checkpoints": rows, "problems": problems}, indent=1))
        return
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from bench.cli.console import console

    out = console()
    # one blank between columns: the longest of the shipped names then fits 80; a longer one is cut, FID never
    gap = 0 if out.width < WIDE else 1
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap))
    for column in ("name", "SDE"):
        table.add_column(column, overflow="ellipsis")
    table.add_column("levels", justify="right", no_wrap=True)
    table.add_column("FID", justify="right", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for row in rows:
        fid = row["fid"]
        fid = "" if fid is None else f"{fid:.2f}" if isinstance(fid, float) else str(fid)
        levels = row["noise_levels"].replace(" discrete", "").replace("continuous", "cont.")
        sde = printable(row["sde"] or "any", 40)
        table.add_row(
            row["name"], escape(sde), levels, escape(printable(fid, 8)), amount(row["bytes"]), row["state"]
        )
    out.print(table)
    out.print("\nFID as published; bench checkpoints show NAME tells more", style="dim")
    for problem in problems:
        click.echo(f"bench: {problem}", err=True)


@checkpoints_command.command("show")
@click.argument("name")
@JSON
def show_checkpoint(name: str, as_json: bool) -> None:
    """Show all of a checkpoint's card, whether it is here, its hashes and how to get it."""
    entry = registry().get("checkpoints", name)
    click.echo(json.dumps(cards.whole(entry), indent=1) if as_json else cards.text(entry))


@checkpoints_command.command("pull")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def pull_checkpoints(names: tuple[str, ...]) -> int:
    """Fetch checkpoints and install them in the cache.

    Stopped or cut off, the same command goes on where it was. A hash that nobody has published is taken
    down and holds from there on. Exit status: 0 all are here, 1 one could not be had (the others went
    on), 2 a mistake in the command, 130 stopped.
    """
    from bench.checkpoints.install.installer import pull, refuse_unfetchable, state
    from bench.cli.fetching import Fetching

    wanted = [_card(name) for name in dict.fromkeys(names)]
    for card in wanted:
        if state(card) == "by hand":
            refuse_unfetchable(card)
    failed = False
    try:
        with Fetching() as listener:
            for card in wanted:
                try:
                    fetched = pull(card, listener)
                except BenchError as error:
                    listener.done()
                    click.echo(f"bench: {printable(str(error), None)}", err=True)
                    failed = True
                    continue
                listener.done()
                if fetched:
                    _report(card)
                else:
                    here = "lies beside its card" if card.shipped else "is installed already"
                    click.echo(f"{card.name} {here}: {card.folder}")
    except KeyboardInterrupt:
        click.echo("bench: stopped; what has come is kept: the same command goes on from there", err=True)
        return 130
    return int(failed)


def _report(card: Card) -> None:
    """What was installed, with the hashes that are trusted for want of published ones."""
    click.echo(f"installed {card.name} in {card.folder}")
    for file in cards.files(card):
        if file["hash"] != "published":
            click.echo(f"  {file['name']}: sha256 {file['sha256']}, taken down, as none is published")


@checkpoints_command.command("import")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--card", "name", required=True, metavar="NAME", help="The checkpoint that it is.")
def import_checkpoint(path: Path, name: str) -> int:
    """Install a checkpoint from a local FILE, whatever its name, or from a folder that holds its files.

    They are copied into the cache. The same again changes nothing.
    """
    from bench.checkpoints.install.installer import import_files
    from bench.cli.fetching import Fetching

    card = _card(name)
    try:
        with Fetching() as listener:
            changed = import_files(card, path, listener)
    except KeyboardInterrupt:
        click.echo("bench: stopped; nothing was installed", err=True)
        return 130
    if changed:
        _report(card)
    else:
        click.echo(f"{card.name} is installed already, unchanged: {card.folder}")
    return 0


@checkpoints_command.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME...]")
def verify_checkpoints(names: tuple[str, ...]) -> int:
    """Hash the files of checkpoints anew, by default of all that are here.

    Exit status: 0 all are as they must be, 1 one is not, or is not here.
    """
    from bench.checkpoints.install.installer import state, verify

    found = registry()
    wanted: list[Card] = [_card(name) for name in dict.fromkeys(names)]
    if not names:
        everyone = {entry.name: entry.thing for entry in found.of_kind("checkpoints")}
        wanted = [card for card in everyone.values() if state(card) not in ABSENT]
    bad = False
    for card in wanted:
        if state(card) in ABSENT:
            bad = True
            click.echo(f"absent  {card.name}  {printable(card.how_to_get(), None)}")
            continue
        wrong, unknown = verify(card)
        bad = bad or bool(wrong)
        if wrong or unknown:
            said = "; ".join(line.removeprefix(f"checkpoint {card.name}: ") for line in [*wrong, *unknown])
            click.echo(f"{'WRONG' if wrong else '?':<8}{card.name}  {printable(said, None)}")
        else:
            files = count(len(card.contents()), "file")
            click.echo(f"{'ok':<8}{card.name}  {files}, {amount(cards.size(card))}")
    return int(bad)


@checkpoints_command.command("path")
@click.argument("name")
def path_of_checkpoint(name: str) -> None:
    """Print the folder that holds a checkpoint's files."""
    card = _card(name)
    card.check()
    click.echo(card.folder)
