"""Suites: named sets of cells, shipped or the user's, with their places in a table.

A suite is a group of settings tables in bench.toml. Lists in them expand to their product:

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
import math
import re
import string
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypedDict, cast

from pydantic import BaseModel, ConfigDict, Field

from bench.errors import BenchError, did_you_mean, printable
from bench.files import is_safe_name
from bench.results.identity import SafeName
from bench.results.manifest import RESERVED

_TAKEN = (*RESERVED, "runs")
"""Names of a store's own folders and files, and the folder of the tables of all its runs."""

Layout = Literal["grid", "curve", "list"]
LONGEST = 64
"""Greatest length of a suite's name."""
LONGEST_PLACE = 200
"""Greatest length of a row's or column's name."""
MAX_CELLS = 10_000
"""Greatest number of cells of a suite."""
_FORMAT = re.compile(r"[<>^]?[ +-]?,?[0-9]{0,2}(\.[0-9]{1,2})?[defgFEG%]?")
"""What may follow the colon of a ``{name:format}``."""
_NFE = re.compile(r"\{nfe:([^{}]*)\}")
"""``{nfe:format}`` in a place that waits for it; the format may be empty."""
ROLES = ("task", "sde", "predictor", "corrector", "solver", "grid")
STEPPED = ("steps", "label_scales")
"""What --steps-scale multiplies."""


class CellGroup(BaseModel):
    """Cells of a suite: settings of the sampler, each one value or a list that multiplies out.

    ``row`` and ``column`` are a cell's place in the table. ``{name}`` in them stands for a setting or a
    plugin parameter, such as ``{predictor}``, ``{steps}`` or ``{snr}``; ``{snr:g}`` formats a number.
    ``{nfe}`` stands for the network calls per sample that the sampler declares, once it is planned.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str | list[str] | None = None
    sde: str | list[str] = "vp"
    predictor: str | list[str] | None = None
    corrector: str | list[str] | None = None
    solver: str | list[str] | None = None
    steps: int | list[int] | None = None
    grid: str | list[str] | None = None
    order: str | list[str] | None = None
    denoise: str | list[str] | None = None
    label_scales: int | list[int] | None = None
    afs: bool | list[bool] | None = None
    parameters: dict[str, dict[str, Any]] = {}
    row: Annotated[str, Field(max_length=LONGEST_PLACE)] = "{sampler}"
    column: Annotated[str, Field(max_length=LONGEST_PLACE)] = ""


class CellSettings(TypedDict, total=False):
    """The settings of one cell, by name; those that the suite leaves out are missing."""

    task: str
    sde: str
    predictor: str
    corrector: str
    solver: str
    steps: int
    grid: str
    order: str
    denoise: str
    label_scales: int
    afs: bool
    parameters: dict[str, dict[str, Any]]


class Suite(BaseModel):
    """A named set of cells. ``layout`` is the layout of its table:

    * ``grid``: rows by columns per SDE, as in the paper's Table 1 (with ``x``, also drawn as curves);
    * ``curve``: the metric along ``x`` (a setting or parameter such as nfe or snr), a curve per row;
    * ``list``: a line per cell.

    ``published_of`` names checkpoints, or networks in a source's words, whose published figures stand below
    the table. ``profile`` is that of its runs unless the user chooses one. ``network_metrics`` are metrics
    that runs on networks have besides the checkpoint's own, unless the user chooses metrics.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str = ""
    extends: str | None = None
    layout: Layout | None = None
    x: SafeName | None = None
    published_of: list[str] = []
    checkpoint: str | list[str] | None = None
    profile: str | None = None
    network_metrics: list[str] = []
    cells: list[CellGroup] = Field(default=[])


@dataclasses.dataclass(frozen=True)
class Place:
    """The place of a cell in its suite's table; ``x`` is its abscissa on a curve (None: its NFE)."""

    sde: str
    row: str
    column: str
    x: float | None = None

    def __str__(self) -> str:
        return " ".join(part for part in (self.sde, self.row, self.column) if part)

    @property
    def lacks_nfe(self) -> bool:
        """Whether ``{nfe}`` is to be filled in."""
        return any(_NFE.search(text) for text in (self.row, self.column))

    def with_nfe(self, nfe: int | None) -> Place:
        """The place with the network calls in place of ``{nfe}``; ``adaptive`` where they are unknown."""

        def number(match: re.Match[str]) -> str:
            return "adaptive" if nfe is None else format(nfe, match[1])

        row, column = (" ".join(_NFE.sub(number, text).split()) for text in (self.row, self.column))
        return dataclasses.replace(self, row=row, column=column)


def resolve_suite(name: str, suites: Mapping[str, Suite]) -> Suite:
    """The suite of that name, with the cells of the suites that it extends first."""
    chain: list[Suite] = []
    names: list[str] = []
    current: str | None = name
    while current is not None:
        if current not in suites:
            raise BenchError(f"unknown suite {current!r}{did_you_mean(current, suites)}")
        if current in names:
            raise BenchError(f"suite {current!r} extends itself: {' -> '.join([*names, current])}")
        names.append(current)
        chain.append(suites[current])
        current = suites[current].extends
    if not is_safe_name(name) or len(name) > LONGEST or name.lower() in RESERVED:
        raise BenchError(
            f"a suite can't be called {name!r}: use up to {LONGEST} letters, digits and _.:+=,@-, "
            f"and none of {', '.join(RESERVED)}"
        )
    merged: dict[str, Any] = {}
    cells: list[CellGroup] = []
    for suite in reversed(chain):
        merged |= suite.model_dump(exclude_none=True, exclude={"cells", "extends"}, exclude_defaults=True)
        cells += suite.cells
    if not cells:
        raise BenchError(f"suite {name!r} has no cells: give it [[suites.{name}.cells]]")
    return Suite(**merged, cells=cells)


def expand(name: str, suite: Suite, scale: float = 1.0) -> list[tuple[Place, CellSettings]]:
    """Every cell's place and settings, in order; ``scale`` multiplies step counts.

    Places show the unscaled settings, so that a small table has the shape of the full one.
    """
    cells: list[tuple[Place, CellSettings]] = []
    places: set[Place] = set()
    for group in suite.cells:
        plain = group.model_dump(exclude_none=True, exclude={"parameters", "row", "column"})
        axes: list[list[tuple[tuple[str, ...], Any]]] = [
            [((key,), item) for item in _as_list(value)] for key, value in plain.items()
        ]
        axes += [
            [((role, key), item) for item in _as_list(value)]
            for role, values in group.parameters.items()
            for key, value in values.items()
        ]
        if not all(axes):
            raise BenchError(f"suite {name}: a list of its cells is empty")
        count = len(cells) + math.prod(map(len, axes))
        if count > MAX_CELLS:
            raise BenchError(f"suite {name}: its lists make {count:.3g} cells, more than {MAX_CELLS}")
        for choice in itertools.product(*axes):
            settings: dict[str, Any] = {}
            words: dict[str, Any] = {}
            for path, value in choice:
                words[path[-1]] = value
                if len(path) == 1:
                    settings[path[0]] = value
                else:
                    settings.setdefault("parameters", {}).setdefault(path[0], {})[path[1]] = value
            place = _place(name, suite, group, words)
            if not place.lacks_nfe:
                add_place(name, place, places)
            cells.append((place, cast(CellSettings, _scale(settings, scale))))
    return cells


def add_place(name: str, place: Place, places: set[Place]) -> None:
    """Add a cell's place to those of its suite; `BenchError` where another cell has it."""
    spot = dataclasses.replace(place, x=None)
    if spot in places:
        raise BenchError(
            f"suite {name}: two cells have the place {place}: distinguish them by {{names}} in row or column"
        )
    places.add(spot)


class _Later:
    """A word of a template that is not known yet: it stays as it is."""

    def __format__(self, spec: str) -> str:
        format(1, spec)  # refuses a format that is none of a whole number's
        return f"{{nfe:{spec}}}"


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _place(name: str, suite: Suite, group: CellGroup, words: Mapping[str, Any]) -> Place:
    """The place of a cell: the templates of its group, filled with its settings."""
    parts = [words.get(role) for role in ("solver", "predictor", "corrector")]
    sampler = " + ".join(part for part in parts if part not in (None, "none"))
    known = {"nfe": _Later(), **words, "sampler": sampler}
    texts = []
    for template in (group.row, group.column):
        try:
            for _, field, spec, conversion in string.Formatter().parse(template):
                if field is not None and field not in known:
                    raise BenchError(
                        f"suite {name!r}: {template!r} names {field!r}, which its cells do not set"
                        f"{did_you_mean(field, known)}"
                    )
                if conversion or not _FORMAT.fullmatch(spec or ""):
                    raise ValueError("{name} or {name:g} is meant, or another short format of a number")
            text = " ".join(template.format(**known).split())
        except (ValueError, TypeError, OverflowError) as error:
            raise BenchError(f"suite {name!r}: {template!r} can't be filled in: {error}") from error
        if len(text) > LONGEST_PLACE:
            raise BenchError(
                f"suite {name!r}: {template!r} makes {printable(repr(text), 80)}, longer than {LONGEST_PLACE}"
            )
        texts.append(text)
    x = words.get(suite.x) if suite.x is not None else None
    return Place(words["sde"], texts[0], texts[1], float(x) if isinstance(x, int | float) else None)


def _scale(settings: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """The settings with scaled step counts."""
    return {key: max(1, round(value * scale)) if key in STEPPED else value for key, value in settings.items()}
