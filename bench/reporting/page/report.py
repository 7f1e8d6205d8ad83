"""The file of a page: made from results folders, written whole or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.files import replace_file
from bench.reporting.page.sources import PageSource, page_runs
from bench.reporting.text import amount, count

if TYPE_CHECKING:
    from bench.plugins.registry import Registry
    from bench.types import JSONObject


@dataclasses.dataclass(frozen=True)
class PageReport:
    """A page that was written, in numbers.

    Args:
        path: The file.
        size: Its size in bytes.
        tables: Number of tables: one per plan and metric.
        cells: Number of their cells.
        runs: Number of recorded runs.
        failed: Number of those that failed.
        pictures: Number of runs whose samples are in the page.
        complete: Whether every planned run is finished and has its metrics.
    """

    path: Path
    size: int
    tables: int
    cells: int
    runs: int
    failed: int
    pictures: int
    complete: bool

    @property
    def text(self) -> str:
        """The page in a line."""
        parts = [count(self.tables, "table"), count(self.cells, "cell"), count(self.runs, "run")]
        parts += [f"{self.failed} of them failed"] if self.failed else []
        parts += [f"samples of {self.pictures}"] if self.pictures else []
        return f"{self.path}: {', '.join(parts)}; {amount(self.size)}"

    def plain(self) -> JSONObject:
        """The numbers as JSON data."""
        return dataclasses.asdict(self) | {"path": str(self.path)}


def write_page(
    sources: Sequence[PageSource], to: Path, registry: Registry, *, pictures: bool = True
) -> PageReport:
    """Write the page of tables.

    Args:
        sources: The tables, by results folder.
        to: The file; one that exists is replaced.
        registry: Plugins by name, for the commands that make the runs again.
        pictures: Whether samples are in the page.

    Raises:
        BenchError: The file can't be written.
    """
    from bench.reporting.page.render import render

    runs = page_runs(sources, registry, pictures=pictures)
    content = render(sources, runs).encode("ascii")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        replace_file(to, content)
    except OSError as error:
        raise BenchError(f"{to} can't be written ({error.strerror}): name another file") from error
    tables = [table for source in sources for table in source.tables]
    return PageReport(
        path=to,
        size=len(content),
        tables=len(tables),
        cells=sum(len(table.cells) for table in tables),
        runs=len(runs),
        failed=sum(run.record.status == "failed" for run in runs.values()),
        pictures=sum(run.picture is not None for run in runs.values()),
        complete=all(table.complete for table in tables),
    )
