"""Columns and JSON of a page: nothing is lost, and no text ends the element that holds it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.reporting.page.encoding import column, columns, digits, json_for_page, lists
from tests.support.made_up_pages import MARKUP, ScriptTexts, rows_of

TEXTS = st.lists(st.text(max_size=5), min_size=1, max_size=20)


@given(texts=TEXTS)
def test_a_column_of_texts_has_each_once(texts: list[str]) -> None:
    encoded: Any = column(texts)
    assert [encoded["d"][number] for number in encoded["i"]] == texts
    assert len(set(encoded["d"])) == len(encoded["d"])


def test_columns_without_values_are_left_out() -> None:
    plain = columns({"a": [1.5, None], "b": [None, None], "c": ["x", "x"]})
    assert plain.keys() == {"n", "a", "c"}
    assert rows_of(plain) == [{"a": 1.5, "c": "x"}, {"a": None, "c": "x"}]


@given(rows=st.lists(TEXTS, max_size=8))
def test_lists_keep_order_and_number_frequent_things_first(rows: list[list[str]]) -> None:
    plain: Any = lists(rows)
    assert [[plain["d"][number] for number in row] for row in plain["i"]] == rows
    counts = [sum(row.count(thing) for row in rows) for thing in plain["d"]]
    assert counts == sorted(counts, reverse=True)


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_have_the_digits_of_the_tables(value: float) -> None:
    assert digits(value) == float(f"{value:.10g}")


@given(text=st.text())
def test_data_stays_in_its_element(text: str) -> None:
    data = json_for_page({"name": text + MARKUP})
    assert data.isascii()
    assert not set(data) & set("<>&")
    assert json.loads(data) == {"name": text + MARKUP}
    (script,) = ScriptTexts(f'<script type="application/json">{data}</script>').scripts
    assert json.loads(script[1]) == {"name": text + MARKUP}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_json_has_no_word_for_is_an_error(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_for_page({"value": value})
