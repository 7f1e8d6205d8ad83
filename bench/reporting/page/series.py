"""What the charts of a page connect and name: the series of a table's cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.reporting.matching import sampler_name
from bench.reporting.table import Table

if TYPE_CHECKING:
    from bench.results.record import Record


def series_names(table: Table, records: Sequence[Record | None]) -> list[str]:
    """The name of each cell's series, within its SDE.

    The series are the rows where a row's cells differ in cost or in the abscissa; of a grid of alternatives
    each row and column is one. A list has a line per setting: there
    the cells that differ in nothing but the number of steps are a series, called by sampler and grid, and by
    the parameters that tell series of one sampler and grid apart.

    Args:
        table: The table.
        records: A record of each cell; None where there is none.
    """
    if table.layout != "list" and not table.ranked:
        return [cell.row for cell in table.cells]
    if table.layout == "grid":
        return [f"{cell.row} · {cell.column}" if cell.column else cell.row for cell in table.cells]
    own = [None if record is None else (_head(record), _settings(record)) for record in records]
    values: dict[str, dict[str, set[str]]] = {}
    for head, settings in filter(None, own):
        for key, value in settings.items():
            values.setdefault(head, {}).setdefault(key, set()).add(str(value))
    names = []
    for cell, pair in zip(table.cells, own, strict=True):
        if pair is None:
            names.append(cell.row)
            continue
        head, settings = pair
        varied = [key for key in settings if len(values[head][key]) > 1]
        names.append(", ".join([head, *(f"{key}={settings[key]}" for key in varied)]))
    return names


def _head(record: Record) -> str:
    grid = record.identity.grid
    parts = [sampler_name(record.identity), "" if grid is None or grid.name == "uniform" else grid.name]
    return " · ".join(part for part in parts if part)


def _settings(record: Record) -> dict[str, object]:
    """All that may tell two samplers of one name apart, but the number of steps."""
    identity = record.identity
    parameters: dict[str, object] = {
        f"{role}.{name}": value
        for role, plugin in identity.plugins().items()
        if role != "task"
        for name, value in plugin.parameters.items()
    }
    parameters |= {
        name: getattr(identity, name) for name in ("order", "denoise", "label_scales", "afs", "labels")
    }
    return parameters
