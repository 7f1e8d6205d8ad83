"""Published figures of a table: below it those of other checkpoints, and what the notes say about all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bench.reporting.matching import Matcher, network_calls
from bench.reporting.published_figures import PublishedFigure, known_checkpoints
from bench.reporting.ranking import rank_agreements
from bench.reporting.run_rows import metric_records
from bench.reporting.table import Cell, Table
from bench.reporting.text import number

if TYPE_CHECKING:
    from bench.results.manifest import SuitePlan
    from bench.results.record import Record

MOST = 5
"""Greatest number of figures of other keys that the notes name."""


def with_published(
    table: Table,
    plan: SuitePlan,
    records: Sequence[Record | None],
    matcher: Matcher,
    published_of: Sequence[str] | None,
) -> Table:
    """The table with published figures of other checkpoints below it, and with notes on all of them.

    Args:
        table: The table, whose cells have the figures of their own checkpoint.
        plan: Its plan.
        records: The record of each of ``plan.cells``, None where there is none.
        matcher: Finds the published figures of a run.
        published_of: The other checkpoints; None for those of the plan.
    """
    names = tuple(plan.published_of if published_of is None else published_of)
    unknown = [name for name in names if name not in known_checkpoints(matcher.figures)]
    values = metric_records(records, table.metric)
    # no figure is a counterpart of a distance from runs of one's own
    alone = any(value.companions for value in values.values())
    others = (
        [one for one in matcher.figures if {one.checkpoint, one.network} & set(names)] if not alone else []
    )
    by_place: dict[tuple[str, str, str], Record] = {}
    for run, record in zip(plan.cells, records, strict=True):
        if record is not None:
            by_place.setdefault(run.place, record)
    sdes = sorted({record.identity.sde.name for record in by_place.values()})
    cells = []
    for cell in table.cells:
        own_run = by_place.get((cell.sde, cell.row, cell.column))
        figures = () if own_run is None else matcher.elsewhere(own_run, others, sdes)
        figures = tuple(figure for figure in figures if figure not in cell.published)
        cells.append(dataclasses.replace(cell, published_elsewhere=figures))
    changed = {(cell.sde, cell.row, cell.column): cell for cell in cells}
    excerpt = tuple(changed[cell.sde, cell.row, cell.column] for cell in table.excerpt)
    table = dataclasses.replace(table, cells=tuple(cells), excerpt=excerpt, published_of=names)
    own = _own_notes(table) + _near_notes(table, [records[index] for index in values], matcher)
    own += [f"No published figure of {name}: bench published lists all." for name in unknown]
    return dataclasses.replace(
        table,
        notes=(*table.notes, *own),
        published_notes=tuple(own),
        elsewhere_notes=tuple(_elsewhere_notes(table)),
    )


def _own_notes(table: Table) -> list[str]:
    """On the figures beside the cells: what is the same, how the orders agree, and the sources."""
    figures = dict.fromkeys(figure for cell in table.cells for figure in cell.published)
    if not figures:
        return []
    return [
        "Published: of the same checkpoint, data set, metric, sampler, grid and network calls; where a "
        "paper's noise levels begin and end may differ.",
        *_agreements(table, "the published one", lambda cell: cell.published),
        *_sources(table, list(figures)),
    ]


def _elsewhere_notes(table: Table) -> list[str]:
    """On the figures below the table."""
    if not table.elsewhere:
        return []
    return [
        *_agreements(table, "this", lambda cell: cell.published_elsewhere),
        *_sources(table, table.elsewhere),
    ]


def _agreements(table: Table, order: str, figures: Callable[[Cell], Sequence[PublishedFigure]]) -> list[str]:
    """Kendall's tau with a published order; along x of each column, as the whole order is that of the
    cost."""
    notes = []
    for agreement in rank_agreements(table.cells, figures, columns=table.x is not None):
        exact = agreement.tau_exact
        addition = "" if exact is None else f"; of the exact values {exact:.2f}"
        notes.append(
            f"Kendall's τ between the measured order and {order}, {agreement.place}: {agreement.tau:.2f} "
            f"over {agreement.cells} cells{addition}."
        )
    return notes


def _sources(table: Table, figures: Sequence[PublishedFigure]) -> list[str]:
    """The sources of these figures, with their numbers where the table has several."""
    citations = dict.fromkeys(figure.citation for figure in figures)
    sources = table.sources
    if len(sources) == 1:
        return [f"Source: {sources[0]}."]
    return [f"[{sources.index(citation) + 1}] {citation}." for citation in citations]


def _near_notes(table: Table, records: Sequence[Record | None], matcher: Matcher) -> list[str]:
    """Figures of the same checkpoint, sampler and calls that stand beside no cell, and what is another."""
    lines: dict[PublishedFigure, str] = {}
    for record in records:
        for figure, reasons in () if record is None else matcher.near(record, table.metric):
            calls = number(None if record is None else network_calls(record))
            lines[figure] = (
                f"Published too, but of another key: {figure.sampler}, NFE {calls}: {figure.text} "
                f"({figure.citation}; {', '.join(reasons)})."
            )
    notes = list(lines.values())
    rest = len(notes) - MOST
    more = f"{rest} more published figures of another key: bench published --checkpoint {table.checkpoint}."
    return notes[:MOST] + ([more] if rest > 0 else [])
