"""A page of tables as one file of HTML that asks for nothing else: program, style and data are in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.reporting.layouts import elsewhere_layout
from bench.reporting.page.data import page_data
from bench.reporting.page.encoding import json_for_page
from bench.reporting.page.sources import PageRun, PageSource, RunKey
from bench.reporting.text import listed, make_printable

if TYPE_CHECKING:
    from bench.reporting.table import Table

FAILURES = 20
"""Failures that the summary lists; every one is in the tables."""


@dataclasses.dataclass(frozen=True)
class SummaryLine:
    """What was compared in the tables of one plan, for people."""

    suite: str
    scale: str
    checkpoint: str
    metrics: str
    sdes: str
    samplers: str
    samples: str
    seeds: str
    cells: str
    finished: int
    failed: int
    missing: int
    device: str


@dataclasses.dataclass(frozen=True)
class Failure:
    """A failed run of the summary: its number among the page's runs, its label and why it failed."""

    number: int
    label: str
    reason: str


def render(sources: Sequence[PageSource], runs: Mapping[RunKey, PageRun]) -> str:
    """The page.

    Args:
        sources: The tables.
        runs: The recorded runs, as `bench.reporting.page.sources.page_runs` reads them.

    Returns:
        A whole HTML document in ASCII, which browsers read in less time and memory than other texts. Its
        policy forbids every request; all texts are escaped.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.policies["compiler.ascii_str"] = False
    tables = [table for source in sources for table in source.tables]
    failures = _failures(runs)
    data = page_data(sources, runs)
    pictures = data.pop("pictures")  # the program reads them when all else is painted
    titles = dict.fromkeys(f"{table.suite} on {table.checkpoint}" for table in tables)
    text = environment.get_template("page.html.j2").render(
        title=make_printable(f"Samplers compared: {', '.join(list(titles)[:4])}"),
        version=version("sampler-bench"),
        folders=f"{len(runs)} runs",
        newest=max((run.record.created[:10] for run in runs.values()), default=""),
        summary=_summary(sources),
        failures=failures[:FAILURES],
        further_failures=max(0, len(failures) - FAILURES),
        tables=[_section(table, source.title) for source in sources for table in source.tables],
        # of this package, or escaped: none of it can end its element
        style=Markup(_text(folder / "report.css")),
        program=Markup(_program(folder)),
        data=Markup(json_for_page(data)),
        pictures=Markup(json_for_page(pictures)),
    )
    return text.encode("ascii", "xmlcharrefreplace").decode() + "\n"


def _program(folder: Path) -> str:
    parts = [_text(path) for path in sorted((folder / "js").glob("*.js"))]
    text = '(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n"
    return text.encode("ascii", "backslashreplace").decode()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _section(table: Table, title: str) -> dict[str, Any]:
    """The texts of a table's section; what is longer than a line is drawn from the data."""
    heading = f"{title} · {table.heading}" if title else table.heading
    elsewhere: dict[str, Any] | None = None
    if table.elsewhere:
        layout = elsewhere_layout(table)
        elsewhere = {
            "heading": table.elsewhere_heading,
            "header": layout.header,
            "lines": layout.lines,
            "notes": table.elsewhere_notes,
        }
    return {
        "heading": make_printable(heading),
        "lower_is_better": table.lower_is_better,
        "notes": [make_printable(note) for note in table.notes],
        "published_notes": [make_printable(note) for note in table.published_notes],
        "elsewhere": elsewhere,
    }


def _summary(sources: Sequence[PageSource]) -> list[SummaryLine]:
    """A line per source and plan."""
    lines = []
    for source in sources:
        by_plan: dict[tuple[str, str], list[Table]] = {}
        for table in source.tables:
            by_plan.setdefault((table.suite, table.name), []).append(table)
        lines += [_summary_line(plan, source.title) for plan in by_plan.values()]
    return lines


def _summary_line(tables: Sequence[Table], title: str) -> SummaryLine:
    first = tables[0]
    # the worst status of a run over its metrics
    status: dict[str, str] = {}
    for table in tables:
        for row in table.runs:
            worse = ["finished", "missing", "failed"]
            before = status.get(row.fingerprint, "finished")
            status[row.fingerprint] = max(before, row.status, key=worse.index)
    seeds = {row.seed for row in first.runs}
    return SummaryLine(
        suite=make_printable(f"{title} · {first.suite}" if title else first.suite),
        scale="" if first.steps_scale == 1 else f"steps times {first.steps_scale:g}",
        checkpoint=make_printable(first.checkpoint),
        metrics=", ".join(table.metric for table in tables),
        sdes=make_printable(listed({cell.sde for cell in first.cells})),
        samplers=str(len({(cell.sde, cell.row) for cell in first.cells})),
        samples=f"{first.samples:,}",
        seeds=str(len(seeds)),
        cells=str(len(first.cells)),
        finished=sum(one == "finished" for one in status.values()),
        failed=sum(one == "failed" for one in status.values()),
        missing=sum(one == "missing" for one in status.values()),
        device=make_printable(listed({cell.device for cell in first.cells if cell.device})),
    )


def _failures(runs: Mapping[RunKey, PageRun]) -> list[Failure]:
    return [
        Failure(number, make_printable(run.record.label), make_printable(run.record.reason))
        for number, run in enumerate(runs.values())
        if run.record.status == "failed"
    ]
