"""What a figure draws: the cells of a table as points, with numbers in place of what is unknown."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from math import isnan, nan

from bench.reporting.published_figures import PublishedFigure
from bench.reporting.table import Cell
from bench.reporting.text import make_printable


@dataclasses.dataclass(frozen=True, slots=True)
class PlotPoint:
    """A cell as a figure draws it; NaN stands for what is unknown.

    Args:
        sde: Name of its panel.
        row: Name of its curve or mark.
        mean: Its value.
        x: Its abscissa, where it is a point of a curve.
        column: Name of its place, where columns are drawn side by side.
        std: Standard deviation over seeds.
        error: Standard error of one seed over its samples.
        exact: The value that theory gives.
        limit: The value that theory gives at tolerance 0.
        seeds: Number of seeds.
        note: What limits the value; a point with one has a dagger.
        published: Published figures of the same checkpoint and metric.
        elsewhere: Published figures of another checkpoint or metric.
        front: Whether it is on the Pareto front.
    """

    sde: str
    row: str
    mean: float
    x: float = nan
    column: str = ""
    std: float = nan
    error: float = nan
    exact: float = nan
    limit: float = nan
    seeds: int = 0
    note: str = ""
    published: tuple[PublishedFigure, ...] = ()
    elsewhere: tuple[PublishedFigure, ...] = ()
    front: bool = False

    @property
    def has_value(self) -> bool:
        """Whether there is a value to draw."""
        return not isnan(self.mean)


def points_of_cells(
    cells: Sequence[Cell], x: Sequence[float | None] = (), front: Sequence[bool] = ()
) -> list[PlotPoint]:
    """A point per cell of a table.

    Args:
        cells: The cells.
        x: The abscissa of each; empty where they have none.
        front: Whether each is on the Pareto front; none is where this is empty.
    """
    return [
        PlotPoint(
            sde=make_printable(cell.sde),
            row=make_printable(cell.row),
            mean=_number(cell.value),
            x=_number(x[index] if x else None),
            column=make_printable(cell.column),
            std=_number(cell.std),
            error=_number(cell.error),
            exact=_number(cell.exact),
            limit=_number(cell.limit),
            seeds=cell.seeds,
            note=make_printable(cell.note),
            published=cell.published,
            elsewhere=cell.published_elsewhere,
            front=bool(front) and front[index],
        )
        for index, cell in enumerate(cells)
    ]


def by_row(points: Iterable[PlotPoint]) -> dict[str, list[PlotPoint]]:
    """The points of each row, rows in the order of their first points."""
    rows: dict[str, list[PlotPoint]] = {}
    for point in points:
        rows.setdefault(point.row, []).append(point)
    return rows


def by_place(points: Iterable[PlotPoint]) -> list[PlotPoint]:
    """The points by their abscissa, unknown ones last."""
    return sorted(points, key=lambda point: (isnan(point.x), 0.0 if isnan(point.x) else point.x))


def _number(value: float | None) -> float:
    return nan if value is None else float(value)
