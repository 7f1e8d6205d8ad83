"""Which cells are best: of a row, of a curve, at a cost; and how far two orders agree."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from bench.reporting.published_figures import PublishedFigure
from bench.reporting.table import Cell
from bench.types import Array

ORDER_POINTS = 3
"""Numbers of network calls that a measured order is fitted to."""


def best_of_rows(cells: Sequence[Cell], *, lower: bool) -> list[bool]:
    """Whether each cell is the best of its row, by more than the spread of it and the next.

    The spread is ``sqrt(s^2 + s'^2)`` of the standard deviations over seeds: with one seed no cell is best.
    """
    best = [False] * len(cells)
    rows: dict[tuple[str, str], list[int]] = {}
    for index, cell in enumerate(cells):
        if cell.status == "finished" and cell.value is not None:
            rows.setdefault((cell.sde, cell.row), []).append(index)
    for indices in rows.values():
        ranked = sorted(indices, key=lambda index: _key(cells[index], lower=lower))
        if len(ranked) < 2:
            continue
        first, second = cells[ranked[0]], cells[ranked[1]]
        if first.std is not None and second.std is not None:
            gap = _key(second, lower=lower) - _key(first, lower=lower)
            best[ranked[0]] = gap > math.hypot(first.std, second.std)
    return best


def best_of_curves(cells: Sequence[Cell], *, lower: bool) -> list[bool]:
    """Whether each cell has the best mean of its SDE and row."""
    best: dict[tuple[str, str], float] = {}
    for cell in cells:
        place = (cell.sde, cell.row)
        best[place] = min(best.get(place, math.inf), _key(cell, lower=lower))
    return [cell.value is not None and _key(cell, lower=lower) == best[cell.sde, cell.row] for cell in cells]


def pareto_front(
    cells: Sequence[Cell], cost: Literal["nfe", "seconds_per_sample"], *, lower: bool
) -> list[bool]:
    """Whether each cell is on the front of its SDE: better than all cheaper ones, noise aside.

    By cost, then by value, a cell joins the front where its mean is better than that of the front's last cell
    by more than ``sqrt(s^2 + s'^2)``, with each cell's `Cell.spread`; 0 where that is unknown. Ties: the
    first.
    """
    prices: list[float | None] = [getattr(cell, cost) for cell in cells]
    order = sorted(
        (math.inf if price is None else price, _key(cells[index], lower=lower), index)
        for index, price in enumerate(prices)
    )
    front = [False] * len(cells)
    last: dict[str, Cell] = {}
    for _, key, index in order:
        cell = cells[index]
        before = last.get(cell.sde)
        if before is not None:
            noise = math.hypot(before.spread or 0.0, cell.spread or 0.0)
            joins = _key(before, lower=lower) - key > noise
        else:
            joins = cell.value is not None
        if joins:
            last[cell.sde] = cell
            front[index] = True
    return front


def _key(cell: Cell, *, lower: bool) -> float:
    """What is smallest for the best cell; infinite without a value."""
    if cell.value is None:
        return math.inf
    return cell.value if lower else -cell.value


def kendall_tau(a: Array, b: Array) -> float:
    """Kendall's tau-b (1945): ``sum sign(a_i - a_j) sign(b_i - b_j) / sqrt(A B)`` over pairs.

    A and B count the pairs that are not tied in a and in b; nan where one has none.
    """
    i, j = np.triu_indices(len(a), 1)
    x, y = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
    untied = float(np.sqrt((x != 0).sum() * (y != 0).sum()))
    return float((x * y).sum() / untied) if untied else float("nan")


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Kendall's tau of the cells at a place with the published order; ``tau_exact`` is that of their exact
    values, None where a cell has none."""

    place: str
    cells: int
    tau: float
    tau_exact: float | None


def rank_agreements(
    cells: Sequence[Cell],
    figures: Callable[[Cell], Sequence[PublishedFigure]] = lambda cell: cell.published,
    *,
    columns: bool = False,
) -> list[Agreement]:
    """The agreement with the published order per SDE, over at least three cells that have both values.

    Args:
        cells: The cells.
        figures: The published figures of a cell; of several the mean counts.
        columns: Whether each column is ranked by itself, as its cells cost the same.
    """
    places: dict[str, list[tuple[Cell, float]]] = {}
    for cell in cells:
        values = [figure.value for figure in figures(cell) if figure.metric != "nfe"]
        if values and cell.value is not None:
            place = f"{cell.sde}, {cell.column}" if columns else cell.sde
            places.setdefault(place, []).append((cell, float(np.mean(values))))
    agreements = []
    for place, pairs in places.items():
        if len(pairs) < 3:
            continue
        both = [cell for cell, _ in pairs]
        published = np.array([value for _, value in pairs])
        exact = [cell.exact for cell in both if cell.exact is not None]
        agreements.append(
            Agreement(
                place=place,
                cells=len(both),
                tau=kendall_tau(np.array([cell.value for cell in both]), published),
                tau_exact=kendall_tau(np.array(exact), published) if len(exact) == len(both) else None,
            )
        )
    return agreements


@dataclasses.dataclass(frozen=True)
class MeasuredOrder:
    """How fast the error of a row falls: as ``NFE^-order`` over ``points`` numbers of calls from ``first`` to
    ``last``, beside the order that its sampler declares."""

    sde: str
    row: str
    order: float
    declared: float | None
    points: int
    first: float
    last: float


def measured_orders(cells: Sequence[Cell]) -> list[MeasuredOrder]:
    """The orders of rows whose cells are errors with a floor, in the order of the rows.

    The slope of ln value in ln NFE by least squares over a row's last `ORDER_POINTS` cells that lie above
    twice their floor: nearer to it, what is left is the error of the measurement.
    """
    rows: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        if cell.floor is not None and cell.value is not None and cell.nfe and cell.value > 2 * cell.floor:
            rows.setdefault((cell.sde, cell.row), []).append(cell)
    orders = []
    for (sde, row), resolved in rows.items():
        last = sorted(resolved, key=lambda cell: cell.nfe or 0.0)[-ORDER_POINTS:]
        calls = [cell.nfe or 0.0 for cell in last]
        if len(set(calls)) < ORDER_POINTS:
            continue
        slope = np.polyfit(np.log(calls), np.log([cell.value or 0.0 for cell in last]), 1)[0]
        declared = last[0].declared_order
        orders.append(MeasuredOrder(sde, row, -float(slope), declared, len(last), calls[0], calls[-1]))
    return orders
