"""Plain data for a page: columns instead of rows, texts by their number, and JSON that no markup can end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.types import JSONObject, JSONValue

Value = str | int | float | bool | None


def digits(value: float | None) -> float | None:
    """A number with the ten significant digits that the CSVs of a table have; None for None."""
    return None if value is None else float(f"{value:.10g}")


def column(values: Sequence[Value]) -> JSONValue:
    """A column of a table of data.

    Args:
        values: Texts alone, or numbers, truth values and None.

    Returns:
        Of texts a dictionary ``d`` and the numbers ``i`` of the rows' texts in it; of others the list itself,
        floats by `digits`; None where all are None, so that the column can be left out.
    """
    if all(value is None for value in values):
        return None
    if all(isinstance(value, str) for value in values):
        texts = Numbers()
        numbers: list[Any] = [texts.number(value) for value in values]
        return {"d": texts.things, "i": numbers}
    return [digits(value) if isinstance(value, float) else value for value in values]


def columns(named: dict[str, Sequence[Value]]) -> JSONObject:
    """Several columns by name, without those that are empty; ``n`` is the number of rows."""
    encoded = {name: column(values) for name, values in named.items()}
    plain: JSONObject = {"n": max(map(len, named.values()), default=0)}
    return plain | {name: values for name, values in encoded.items() if values is not None}


class Numbers:
    """Numbers things in the order in which they come."""

    def __init__(self, things: Iterable[Hashable] = ()) -> None:
        self._numbers: dict[Hashable, int] = {}
        for thing in things:
            self.number(thing)

    def number(self, thing: Hashable) -> int:
        """The number of a thing, a new one where it has none."""
        return self._numbers.setdefault(thing, len(self._numbers))

    @property
    def things(self) -> list[Any]:
        """All things, each at its number."""
        return list(self._numbers)


def lists(rows: Sequence[Sequence[Hashable]]) -> JSONObject:
    """Lists that share many of their things: ``d`` holds each thing once, the most frequent first, and ``i``
    a list of numbers per row."""
    counts = Counter(thing for row in rows for thing in row)
    numbers = Numbers(thing for thing, _ in counts.most_common())
    return {"d": numbers.things, "i": [[numbers.number(thing) for thing in row] for row in rows]}


_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def json_for_page(plain: JSONValue) -> str:
    """Strict JSON for the inside of a ``<script type="application/json">``, in ASCII.

    No ``<`` is left in it, so that no text in the data can end the element.

    Raises:
        ValueError: A number is NaN or infinite.
    """
    text = json.dumps(plain, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES)
