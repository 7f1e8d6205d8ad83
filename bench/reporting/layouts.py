"""A table laid out for readers: headers and lines of entries, which writers render."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from bench.reporting.published_figures import PublishedFigure
from bench.reporting.table import Cell, Table
from bench.reporting.text import LIMIT, amount, number, percent, with_most


@dataclasses.dataclass(frozen=True)
class Entry:
    """An entry of a layout: its text, whether it is emphasized as the best, whether a dagger marks it, and
    what follows the marks."""

    text: str
    best: bool = False
    flagged: bool = False
    suffix: str = ""

    @property
    def core(self) -> str:
        """The text with its dagger: what is emphasized."""
        return f"{self.text} †" if self.flagged else self.text

    @property
    def plain(self) -> str:
        """The entry without any format: the best is between asterisks."""
        return f"*{self.core}*{self.suffix}" if self.best else self.core + self.suffix


EMPTY = Entry("")


@dataclasses.dataclass(frozen=True)
class TextTable:
    """A header and lines of as many entries."""

    header: tuple[str, ...]
    lines: tuple[tuple[Entry, ...], ...]

    @property
    def width(self) -> int:
        """Characters of a line, with three between columns."""
        columns = zip(self.header, *([entry.plain for entry in line] for line in self.lines), strict=True)
        return sum(max(map(len, column)) + 3 for column in columns)

    def without_empty_columns(self) -> TextTable:
        """The layout without the columns in which every line is empty."""
        used = [i for i in range(len(self.header)) if any(line[i].plain for line in self.lines)]
        return TextTable(
            tuple(self.header[i] for i in used), tuple(tuple(line[i] for i in used) for line in self.lines)
        )


def table_layout(table: Table) -> TextTable:
    """The layout of the whole table: rows by columns, or a line per cell."""
    return grid_layout(table) if table.layout == "grid" else list_layout(table, table.cells)


def terminal_layout(table: Table, width: int) -> TextTable:
    """The layout of what a terminal of so many characters shows."""
    if table.layout != "grid":
        return list_layout(table, table.excerpt)
    layout = grid_layout(table)
    return layout if layout.width <= width else list_layout(table, table.excerpt)


def grid_layout(table: Table) -> TextTable:
    """Per SDE and row a line of values, of minima, of values by theory, and of published figures."""

    def published(cell: Cell) -> Entry:
        return _published_entry(cell.published, table.sources)

    kinds: tuple[tuple[str, Callable[[Cell], Entry]], ...] = (
        (table.metric, value_entry),
        (f"{table.metric}, minimum", _minimum_entry),
        (f"{table.metric}, exact", _exact_entry),
        (f"{table.metric}, {LIMIT}", _limit_entry),
        (f"{table.metric}, published", published),
    )
    return _by_rows(table, kinds)


def elsewhere_layout(table: Table) -> TextTable:
    """The published figures of ``table.published_of``, in the places of the cells that were sampled alike."""

    def kind(quantity: str) -> Callable[[Cell], Entry]:
        def entry(cell: Cell) -> Entry:
            figures = [figure for figure in cell.published_elsewhere if figure.quantity == quantity]
            return _published_entry(figures, table.sources)

        return entry

    quantities = dict.fromkeys(figure.quantity for figure in table.elsewhere)
    kinds = tuple((quantity, kind(quantity)) for quantity in quantities)
    return _by_rows(table, kinds).without_empty_columns()


def _by_rows(table: Table, kinds: Iterable[tuple[str, Callable[[Cell], Entry]]]) -> TextTable:
    """Per SDE and row a line of each kind that is not empty in it."""
    kinds = tuple(kinds)
    lines: list[tuple[Entry, ...]] = []
    for row in table.rows:
        first = (Entry(row.sde), Entry(row.row))
        for name, entry in kinds:
            entries = [EMPTY if cell is None else entry(cell) for cell in row.cells]
            if any(e.text for e in entries):
                lines.append((*first, Entry(name), *entries))
                # names stand at the first line alone
                first = (EMPTY, EMPTY)
    return TextTable(("sde", "row", "", *table.columns), tuple(lines))


def list_layout(table: Table, cells: Iterable[Cell]) -> TextTable:
    """A line per cell: its place, value, minimum, values by theory, NFE, published figure and pace."""
    header = (
        *("sde", "row", "column", table.metric, "minimum", "exact", LIMIT, "NFE"),
        *("published", "samples/s"),
    )
    lines = (
        (
            *_place(cell),
            value_entry(cell),
            _minimum_entry(cell),
            _exact_entry(cell),
            _limit_entry(cell),
            Entry(with_most(number(cell.nfe), cell.nfe_max)),
            _published_entry(cell.published, table.sources),
            Entry(number(cell.pace)),
        )
        for cell in cells
    )
    return TextTable(header, tuple(lines)).without_empty_columns()


def cost_layout(cells: Sequence[Cell]) -> TextTable:
    """A line per cell: NFE per sample, pace, share of the time in the network, seconds per 50,000 samples,
    batch size, and device, peak memory and the cost of the sampler's fit, where records hold them."""
    header = (
        *("sde", "row", "column", "NFE", "samples/s", "in network", "s per 50,000 samples", "batch size"),
        *("device", "host memory", "GPU memory", "fit NFE", "fit seconds"),
    )
    lines = (
        (
            *_place(cell),
            Entry(with_most(number(cell.nfe), cell.nfe_max)),
            Entry(number(cell.pace, cell.pace_std)),
            Entry(percent(cell.network_share)),
            Entry(number(None if cell.pace is None else 50_000 / cell.pace)),
            Entry(str(cell.batch_size)),
            Entry(cell.device),
            Entry(amount(cell.peak_host_bytes)),
            Entry(amount(cell.peak_gpu_bytes)),
            EMPTY if cell.fit_nfe is None else Entry(number(cell.fit_nfe)),
            EMPTY if cell.fit_seconds is None else Entry(number(cell.fit_seconds)),
        )
        for cell in cells
    )
    return TextTable(header, tuple(lines)).without_empty_columns()


def value_entry(cell: Cell) -> Entry:
    """The mean over seeds with its spread and marks; the status where there is no value."""
    if cell.status != "finished":
        return Entry(cell.status)
    seeds = f" ({cell.seeds} of {cell.planned})" if cell.seeds < cell.planned else ""
    return Entry(number(cell.value, cell.std), best=cell.best, flagged=cell.flagged, suffix=seeds)


def _minimum_entry(cell: Cell) -> Entry:
    return EMPTY if cell.minimum is None else Entry(f"{cell.minimum:.4g}")


def _exact_entry(cell: Cell) -> Entry:
    return EMPTY if cell.exact is None else Entry(f"{cell.exact:.4g}")


def _limit_entry(cell: Cell) -> Entry:
    return EMPTY if cell.limit is None else Entry(f"{cell.limit:.4g}")


def _published_entry(figures: Iterable[PublishedFigure], sources: Sequence[str]) -> Entry:
    """All figures as papers print them; where there are several sources, each with its number in the
    notes."""
    if len(sources) < 2:
        return Entry("; ".join(figure.text for figure in figures))
    return Entry("; ".join(f"{figure.text} [{sources.index(figure.citation) + 1}]" for figure in figures))


def _place(cell: Cell) -> tuple[Entry, Entry, Entry]:
    return Entry(cell.sde), Entry(cell.row), Entry(cell.column)
