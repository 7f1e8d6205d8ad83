"""Best cells, Pareto fronts and agreement of orders."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.reporting.ranking import (
    best_of_curves,
    best_of_rows,
    kendall_tau,
    measured_orders,
    pareto_front,
    rank_agreements,
)
from bench.reporting.table import Cell
from tests.support.made_up import cell, figure

finite = st.floats(-100, 100).map(lambda x: round(x, 1))


@settings(max_examples=80)
@given(st.lists(st.tuples(finite, finite), min_size=2, max_size=20))
def test_kendall_tau_is_scipys(pairs: list[tuple[float, float]]) -> None:
    a, b = (np.array(column) for column in zip(*pairs, strict=True))
    expected = stats.kendalltau(a, b).statistic
    assert kendall_tau(a, b) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def row_of(values: list[float], std: float | None = 0.0, **changes: Any) -> list[Cell]:
    """Cells of one row with these values."""
    return [cell(value=value, std=std, **changes) for value in values]


@settings(max_examples=80)
@given(st.lists(st.tuples(finite, st.integers(1, 9)), min_size=1, max_size=12), st.booleans())
def test_the_front_is_what_none_beats(points: list[tuple[float, int]], lower: bool) -> None:
    values, costs = [p[0] for p in points], [float(p[1]) for p in points]
    cells = [cell(value=value, std=0.0, nfe=cost) for value, cost in zip(values, costs, strict=True)]
    front = pareto_front(cells, "nfe", lower=lower)
    sign = 1 if lower else -1
    for i, (v, c) in enumerate(points):
        beaten = any((sign * w <= sign * v and d < c) or (sign * w < sign * v and d <= c) for w, d in points)
        assert not (front[i] and beaten)
        # of equals at equal cost one stands for all
        assert beaten or any(front[j] for j, q in enumerate(points) if q == (v, c))


def test_a_cell_without_a_value_or_cost_is_on_no_front() -> None:
    cells = [cell(value=2.0, nfe=None), cell(value=None, nfe=1.0), cell(value=3.0, nfe=5.0)]
    assert pareto_front(cells, "nfe", lower=True) == [True, False, True]


@pytest.mark.parametrize("known", ["std", "error"])
def test_the_front_ignores_differences_within_the_spread(known: str) -> None:
    """Spreads of 3 and 4 make a difference of 5 noise and one of 5.1 not, whichever way is better; the last
    cell of the front counts, so that small steps add up."""
    for sign in (1.0, -1.0):
        values = [(10.0, 1.0, 3.0), (5.0, 2.0, 4.0), (4.9, 3.0, 4.0), (4.8, 4.0, 0.0), (-1.0, 5.0, 0.0)]
        cells = [
            cell(value=sign * value, nfe=nfe, **({"std": None} | {known: spread}))
            for value, nfe, spread in values
        ]
        assert pareto_front(cells, "nfe", lower=sign > 0) == [True, False, True, False, True]


def test_a_spread_that_is_unknown_hides_nothing() -> None:
    cells = [cell(value=2.0, std=None, nfe=1.0), cell(value=1.9, std=None, nfe=2.0)]
    assert pareto_front(cells, "nfe", lower=True) == [True, True]


def test_each_sde_has_a_front_of_its_own() -> None:
    cells = [cell(value=1.0, nfe=1.0), cell(value=2.0, nfe=1.0), cell(sde="vp", value=2.0, nfe=1.0)]
    assert pareto_front(cells, "nfe", lower=True) == [True, False, True]


def test_the_best_beats_the_next_by_more_than_the_spread() -> None:
    assert best_of_rows(row_of([1.0, 2.0, 9.0], std=0.7), lower=True) == [True, False, False]
    assert not any(best_of_rows(row_of([1.0, 2.0, 9.0], std=0.71), lower=True))
    assert best_of_rows(row_of([1.0, 2.0, 9.0], std=0.7), lower=False) == [False, False, True]
    assert not any(best_of_rows(row_of([1.0, 2.0], std=None), lower=True))
    failed = cell(value=2.0, std=0.0, status="failed")
    assert not any(best_of_rows([*row_of([1.0]), failed], lower=True))


def test_every_curve_has_a_best_cell() -> None:
    cells = [*row_of([2.0, 1.0]), cell(row="other", value=5.0), cell(row="other", value=None)]
    assert best_of_curves(cells, lower=True) == [False, True, True, False]
    assert best_of_curves(cells, lower=False) == [True, False, True, False]


def test_orders_agree_by_sde_over_cells_that_have_both_values() -> None:
    both = [
        cell(value=v, column=f"{v}", published=(figure(value=p - 1), figure(value=p + 1, source="other")))
        for v, p in ((1.0, 3.0), (2.0, 4.0), (3.0, 5.0))
    ]
    few = [cell(sde="vp", published=(figure(),))]
    (agreement,) = rank_agreements([*both, cell(value=9.0), *few])
    assert (agreement.place, agreement.cells, agreement.tau, agreement.tau_exact) == ("ve", 3, 1.0, None)
    exact = [cell(value=c.value, published=c.published, exact=-(c.value or 0.0)) for c in both]
    assert rank_agreements(exact)[0].tau_exact == -1.0
    assert not rank_agreements(both, lambda one: one.published_elsewhere)
    assert not rank_agreements(both, columns=True)
    (agreement,) = rank_agreements([dataclasses.replace(c, column="NFE 5") for c in both], columns=True)
    assert (agreement.place, agreement.tau) == ("ve, NFE 5", 1.0)
    calls = [cell(published=(figure(metric="nfe", value=float(n)),)) for n in range(3)]
    assert not rank_agreements(calls)  # a cost is no quality


def test_measured_orders_are_slopes_above_the_floor() -> None:
    """An error of 8 / N^3 with a floor of 1e-4: cells near it, and rows of too few others, have no part."""

    def errors(row: str, power: float, calls: tuple[int, ...], declared: float | None) -> list[Cell]:
        return [
            cell(
                row=row,
                column=f"NFE {n}",
                nfe=float(n),
                value=8 * n**-power,
                floor=1e-4,
                declared_order=declared,
            )
            for n in calls
        ]

    cells = [
        *errors("third", 3.0, (5, 10, 20, 30, 100), 3.0),
        *errors("first", 1.0, (5, 10, 20, 40), None),
        *errors("short", 1.0, (5, 10), 1.0),
        cell(row="no floor", nfe=10.0, value=1.0),
    ]
    third, first = measured_orders(cells)
    assert (third.row, third.declared, third.first, third.last) == ("third", 3.0, 10, 30)
    assert third.order == pytest.approx(3.0)
    assert (first.row, first.declared, first.first, first.last) == ("first", None, 10, 40)
    assert first.order == pytest.approx(1.0)
