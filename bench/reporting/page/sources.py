"""What a page is made of: tables, the records behind their runs, and their logs, pictures and commands."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.files import read_file
from bench.reporting.page.pictures import Picture, picture_of, within_budget
from bench.reporting.reproduction import Command, commands
from bench.reporting.table import Table

if TYPE_CHECKING:
    from bench.plugins.registry import Registry
    from bench.results.record import Record
    from bench.results.store import Store

MAX_LOG = 2_000_000
"""Greatest size of a log that is read, in bytes."""
LOG_TAIL = 6000
"""Characters of a log that a page shows: its end."""
OUT = Path("results")
"""The results folder of a page's commands: whoever reads the page has another one."""


@dataclasses.dataclass(frozen=True)
class PageSource:
    """Tables of one results folder.

    Args:
        tables: The tables, each with its runs.
        store: The results folder that their records are in.
        records: Records that the page has whether or not a table does, such as those of a call whose runs
            all failed.
    """

    tables: tuple[Table, ...]
    store: Store
    records: tuple[Record, ...] = ()


@dataclasses.dataclass(frozen=True)
class PageRun:
    """A recorded run as the page's drawer shows it.

    Args:
        record: The record.
        commands: Commands that make it again, as lists of words.
        no_command: Why no command makes it; empty where one does.
        log: End of the log of a failed run; empty for none.
        picture: Its samples (`bench.reporting.page.pictures.picture_of`); None for none.
    """

    record: Record
    commands: tuple[Command, ...]
    no_command: str
    log: str
    picture: Picture | None


def page_runs(
    sources: Sequence[PageSource], registry: Registry, *, pictures: bool = True
) -> dict[str, PageRun]:
    """The recorded runs of all tables by fingerprint, in the tables' order.

    Args:
        sources: The tables.
        registry: Plugins by name, for the commands.
        pictures: Whether the samples of each cell's first finished seed are read.
    """
    runs: dict[str, PageRun] = {}
    for source in sources:
        pictured: set[tuple[str, ...]] = set()
        for table in source.tables:
            for row in table.runs:
                place = (table.suite, table.name, *row.place)
                first_seed = pictures and row.status == "finished" and place not in pictured
                if row.fingerprint in runs or (record := source.store.read_record(row.fingerprint)) is None:
                    continue
                picture = picture_of(record, source.store) if first_seed else None
                if first_seed and record.status == "finished":
                    pictured.add(place)
                runs[row.fingerprint] = _page_run(record, source.store, registry, picture)
        for record in source.records:
            if record.fingerprint not in runs:
                runs[record.fingerprint] = _page_run(record, source.store, registry, None)
    drawn = {name: run.picture for name, run in runs.items() if run.picture is not None}
    for name, picture in zip(drawn, within_budget(list(drawn.values())), strict=True):
        runs[name] = dataclasses.replace(runs[name], picture=picture)
    return runs


def _page_run(record: Record, store: Store, registry: Registry, picture: Picture | None) -> PageRun:
    words: list[Command] = []
    reason = ""
    try:
        words = commands(record, registry, OUT)
    except BenchError as error:
        reason = str(error)
    return PageRun(record, tuple(words), reason, _log(record, store), picture)


def _log(record: Record, store: Store) -> str:
    if record.status != "failed":
        return ""
    try:
        text = read_file(store.log_path(record.fingerprint), MAX_LOG).decode(errors="replace")
    except (OSError, ValueError):
        return ""
    return text if len(text) <= LOG_TAIL else f"… {text[-LOG_TAIL:]}"
