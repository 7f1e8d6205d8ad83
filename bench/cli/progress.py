"""What a run shows: one live line for the batch at work, one lasting line per cell, a table at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.markup import escape
from rich.table import Table

from bench.cli.console import console, duration
from bench.engine.listener import Listener
from bench.reporting.summary import fits, notes, summary_rows

if TYPE_CHECKING:
    from bench.results.run_spec import RunSpec
    from bench.results.store import Store

LIVE, PLAIN = 0.1, 15.0
"""Seconds between updates: on a terminal, and of plain lines where there is none."""


class Progress(Listener):
    """Listener that draws. Where there is no terminal it prints a plain line now and then."""

    def __init__(self, cells: int = 1) -> None:
        self.cells, self.behind = cells, 0
        self.console = console()
        self.live = self.console.status("") if self.console.is_terminal else None
        self.said = time.monotonic()

    def __enter__(self) -> Progress:
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.live is not None:
            self.live.stop()

    def notice(self, text: str) -> None:
        """A lasting line on what was found amiss in the store."""
        self.console.print(f"[yellow]notice[/]  {escape(text)}", soft_wrap=True)

    def waiting(self, cell: RunSpec) -> None:
        self._say(f"{cell.title} · waiting for another process that is at work on it")

    def cell_started(self, cell: RunSpec, cached: int, batches: int) -> None:
        place = f"cell {self.behind + 1} of {self.cells} · " if self.cells > 1 else ""
        self.title = place + cell.title
        self.batches, self.cached, self.finished = batches, cached, 0
        self.first: tuple[float, float] | None = None
        if 0 < cached < batches:
            self.console.print(f"resuming {escape(cell.title)}: {cached} of {batches} batches are on disk")
        loading = "loading and compiling" if cell.compile else "loading"
        self._say(f"{self.title} · {loading if cached < batches else 'measuring'}")

    def step(self, batch: int, done: int, total: int | None, calls: int) -> None:
        now = time.monotonic()
        ours = self.finished + (done / total if total else 0)
        # before the first step it was loaded, compiled and warmed up, which tells nothing of the others
        since, behind = self.first = self.first or (now, ours)
        if now - self.said < (LIVE if self.live is not None else PLAIN):
            return
        text = f"{self.title} · batch {self.cached + self.finished + 1} of {self.batches}"
        if total is None:
            text += f" · NFE {calls}"
        else:
            text += f" · step {done} of {total} · NFE {calls}"
            if ours > behind:
                left = (now - since) / (ours - behind) * (self.batches - self.cached - ours)
                text += f" · {duration(left)} left"
        self._say(text)

    def batch_done(self, batch: int) -> None:
        self.finished += 1
        if self.live is not None and self.cached + self.finished == self.batches:
            self._say(f"{self.title} · measuring")

    def cell_done(self, cell: RunSpec, record: dict[str, Any], *, cached: bool) -> None:
        self.behind += 1
        if record["status"] == "failed":
            self.console.print(
                f"[red]failed[/]  {escape(cell.title)}: {escape(record['reason'])}", soft_wrap=True
            )
        else:
            values = ", ".join(f"{k} {v['value']:.4g}" for k, v in record["metrics"].items())
            state = "cached " if cached else "done   "
            self.console.print(
                f"[green]{state}[/] {escape(cell.title)}: {values}, NFE {record['cost']['nfe']}"
            )

    def _say(self, text: str) -> None:
        self.said = time.monotonic()
        if self.live is not None:
            self.live.update(escape(text))
        else:
            self.console.print(escape(text))


def report(records: Sequence[dict[str, Any]], store: Store, *, table: bool = True) -> None:
    """The table of a finished run, failures with reason and log, and where everything is."""
    out = console()
    rows = summary_rows(records) if table else []
    columns = [c for c in rows[0] if any(row[c] for row in rows)] if rows else []
    if len(rows) > 1 and out.width >= 120:
        drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            drawn.add_column(column, overflow="fold")
        for row in rows:
            drawn.add_row(*(escape(row[c]) for c in columns))
        out.print(drawn)
    else:
        # one row, or little room: rows read better lying down
        for row in rows:
            drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
            for column in columns:
                drawn.add_row(column, escape(row[column]))
            out.print(drawn)
    told = fits(records[0].get("metrics", {})) if table and len(records) == 1 else []
    for note in [*told, *notes(records)]:
        out.print(escape(note), soft_wrap=True)
    failed = [r for r in records if r["status"] == "failed"]
    for record in failed:
        out.print(f"[red]failed[/] {escape(record['title'])}, log {escape(record['log'])}", soft_wrap=True)
    out.print(f"{len(records) - len(failed)} finished, {len(failed)} failed")
    for record in records[:1] if len(records) == 1 else ():
        out.print(f"  record  {escape(str(store.record_path(record['fingerprint'])))}", soft_wrap=True)
        if "preview" in record:
            out.print(f"  samples {escape(record['preview'])}", soft_wrap=True)
    if len(records) > 1:
        out.print(
            f"  records {escape(str(store.root / 'records'))}, samples {escape(str(store.root / 'images'))}"
        )
    out.print(f"  rows    {escape(str(store.root / 'runs.csv'))}", soft_wrap=True)
