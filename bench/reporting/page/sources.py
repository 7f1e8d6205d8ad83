"""What a page is made of: tables, the records behind their runs, and their logs, pictures and commands."""

from __future__ import annotations

import dataclasses
import re
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
_FILE = re.compile(r'File "/(?:[^"\n]*/)?([^"/\n]+/[^"/\n]+)"')
"""A file of a traceback, and its last two names."""
OUT = Path("results")
"""The results folder of a page's commands: whoever reads the page has another one."""


RunKey = tuple[Path, str]
"""A run's results folder and fingerprint: two folders may hold the same run, made at different times."""


@dataclasses.dataclass(frozen=True)
class PageSource:
    """Tables of one results folder.

    Args:
        tables: The tables, each with its runs.
        store: The results folder that their records are in.
        records: Records that the page has whether or not a table does, such as those of a call whose runs
            all failed.
        title: What tells it from the page's other sources; empty where their suites do.
    """

    tables: tuple[Table, ...]
    store: Store
    records: tuple[Record, ...] = ()
    title: str = ""

    def key(self, fingerprint: str) -> RunKey:
        """The key of a run of this source."""
        return self.store.root, fingerprint


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
) -> dict[RunKey, PageRun]:
    """The recorded runs of all tables by folder and fingerprint, in the tables' order.

    Args:
        sources: The tables.
        registry: Plugins by name, for the commands.
        pictures: Whether the samples of each cell's first finished seed are read.
    """
    runs: dict[RunKey, PageRun] = {}
    for source in sources:
        pictured: set[tuple[str, ...]] = set()
        for table in source.tables:
            for row in table.runs:
                place = (table.suite, table.name, *row.place)
                first_seed = pictures and row.status == "finished" and place not in pictured
                key = source.key(row.fingerprint)
                if key in runs or (record := source.store.read_record(row.fingerprint)) is None:
                    continue
                picture = picture_of(record, source.store) if first_seed else None
                if first_seed and record.status == "finished":
                    pictured.add(place)
                runs[key] = _page_run(record, source.store, registry, picture)
        for record in source.records:
            if source.key(record.fingerprint) not in runs:
                runs[source.key(record.fingerprint)] = _page_run(record, source.store, registry, None)
    drawn = {key: run.picture for key, run in runs.items() if run.picture is not None}
    for key, picture in zip(drawn, within_budget(list(drawn.values())), strict=True):
        runs[key] = dataclasses.replace(runs[key], picture=picture)
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
    text = without_folders(text)
    return text if len(text) <= LOG_TAIL else f"… {text[-LOG_TAIL:]}"


def without_folders(log: str) -> str:
    """A traceback whose files have their last folder alone: the others are of the machine, or of its user.

    Args:
        log: The text.
    """
    return _FILE.sub(lambda match: f'File "…/{match[1]}"', log)
