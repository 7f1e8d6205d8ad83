"""Suites: named sets of cells, shipped or the user's, laid out for a table.

A suite is tables of settings in bench.toml; lists in them expand to their product:

    [suites.mine]
    about = "my predictor at three step counts"
    layout = "grid"
    [[suites.mine.cells]]
    sde = ["ve", "vp"]
    predictor = ["mine", "ancestral"]
    steps = [100, 500, 1000]
    row = "{predictor}"
    column = "{steps} steps"
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import string
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.errors import BenchError, did_you_mean

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_TAKEN = ("samples", "records", "logs", "images", "suites")
"""Folders of a store, beside which a suite's tables stand."""

Layout = Literal["grid", "curve", "list"]
ROLES = ("task", "sde", "predictor", "corrector", "solver")
STEPPED = ("steps", "label_scales")
"""What --steps-scale multiplies."""


class CellGroup(BaseModel):
    """Cells of a suite: settings of the sampler, each one value or a list that multiplies out.

    ``row`` and ``column`` place a cell; ``{name}`` in them stands for a setting or a plugin parameter
    (``{predictor}``, ``{steps}``, ``{snr}``).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str | list[str] | None = None
    sde: str | list[str] = "vp"
    predictor: str | list[str] | None = None
    corrector: str | list[str] | None = None
    solver: str | list[str] | None = None
    steps: int | list[int] | None = None
    grid: str | list[str] | None = None
    rho: float | list[float] | None = None
    order: str | list[str] | None = None
    denoise: str | list[str] | None = None
    label_scales: int | list[int] | None = None
    parameters: dict[str, dict[str, Any]] = {}
    row: str = "{sampler}"
    column: str = ""


class Suite(BaseModel):
    """A named set of cells. ``layout`` says how its table is laid out:

    * ``grid``: rows by columns per SDE, as the paper's Table 1 (with ``x`` drawn as curves);
    * ``curve``: the metric along ``x`` (a setting or parameter: nfe, snr), a curve per row;
    * ``list``: a line per cell.

    ``published`` names a CSV of published figures (sde, row, column, quantity, value, std, source) in
    registry/published, or a path beside the bench.toml.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str = ""
    extends: str | None = None
    layout: Layout | None = None
    x: str | None = None
    published: str | None = None
    checkpoint: str | list[str] | None = None
    cells: list[CellGroup] = Field(default=[])


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a cell stands in its suite's table; ``x`` is its abscissa on a curve (None: its NFE)."""

    sde: str
    row: str
    column: str
    x: float | None = None

    def __str__(self) -> str:
        return " ".join(part for part in (self.sde, self.row, self.column) if part)


def resolved(name: str, suites: Mapping[str, Suite]) -> Suite:
    """The suite of that name with those it extends taken in, theirs first."""
    chain: list[Suite] = []
    seen: list[str] = []
    wanted: str | None = name
    while wanted is not None:
        if wanted not in suites:
            raise BenchError(f"unknown suite {wanted!r}{did_you_mean(wanted, suites)}")
        if wanted in seen:
            raise BenchError(f"suite {wanted!r} extends itself: {' -> '.join([*seen, wanted])}")
        seen.append(wanted)
        chain.append(suites[wanted])
        wanted = suites[wanted].extends
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise BenchError(
            f"a suite can't be called {name!r}: take letters, digits, - and _, "
            f"and none of {', '.join(_TAKEN)}"
        )
    merged: dict[str, Any] = {}
    cells: list[CellGroup] = []
    for suite in reversed(chain):
        given = suite.model_dump(exclude_none=True, exclude={"cells", "extends"}, exclude_defaults=True)
        merged |= given
        cells += suite.cells
    if not cells:
        raise BenchError(f"suite {name!r} has no cells: give it [[suites.{name}.cells]]")
    return Suite(**merged, cells=cells)


def expand(name: str, suite: Suite, scale: float = 1.0) -> list[tuple[Place, dict[str, Any]]]:
    """Every cell's place and the settings that make it, in order; ``scale`` multiplies step counts.

    Places are told by the unscaled settings, so that a small table has the full one's shape.
    """
    found: list[tuple[Place, dict[str, Any]]] = []
    taken: set[Place] = set()
    for group in suite.cells:
        plain = group.model_dump(exclude_none=True, exclude={"parameters", "row", "column"})
        axes: list[list[tuple[tuple[str, ...], Any]]] = [
            [((key,), v) for v in _listed(value)] for key, value in plain.items()
        ]
        axes += [
            [((role, key), v) for v in _listed(value)]
            for role, values in group.parameters.items()
            for key, value in values.items()
        ]
        if not all(axes):
            raise BenchError(f"suite {name}: a list of its cells is empty")
        for choice in itertools.product(*axes):
            chosen: dict[str, Any] = {}
            told: dict[str, Any] = {}
            for path, value in choice:
                told[path[-1]] = value
                if len(path) == 1:
                    chosen[path[0]] = value
                else:
                    chosen.setdefault("parameters", {}).setdefault(path[0], {})[path[1]] = value
            place = _place(name, suite, group, told)
            spot = dataclasses.replace(place, x=None)
            if spot in taken:
                raise BenchError(
                    f"suite {name}: two cells stand at {place}: tell them apart by {{names}} in row or column"
                )
            taken.add(spot)
            found.append((place, _scaled(chosen, scale)))
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _place(name: str, suite: Suite, group: CellGroup, told: dict[str, Any]) -> Place:
    parts = [told.get(role) for role in ("solver", "predictor", "corrector")]
    sampler = " + ".join(p for p in parts if p not in (None, "none"))
    words = told | {"sampler": sampler}
    texts = []
    for template in (group.row, group.column):
        try:
            for _, field, _, _ in string.Formatter().parse(template):
                if field is not None and field not in words:
                    raise BenchError(
                        f"suite {name!r}: {template!r} names {field!r}, which its cells do not set"
                        f"{did_you_mean(field, words)}"
                    )
            texts.append(" ".join(template.format(**words).split()))
        except ValueError as error:
            raise BenchError(f"suite {name!r}: {template!r} can't be filled in: {error}") from error
    x = told.get(suite.x) if suite.x is not None else None
    return Place(told["sde"], texts[0], texts[1], float(x) if isinstance(x, int | float) else None)


def _scaled(chosen: dict[str, Any], scale: float) -> dict[str, Any]:
    return {k: max(1, round(v * scale)) if k in STEPPED else v for k, v in chosen.items()}
