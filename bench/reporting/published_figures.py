"""Published figures: what each is of, and where it was read."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, did_you_mean, one_line, printable
from bench.files import parse_json, read_file, registry_path
from bench.plan.settings import published_files

if TYPE_CHECKING:
    from bench.types import JSONObject

MAX_FILE = 4_000_000
"""Greatest size of a CSV of published figures, in bytes."""
KINDS = ("training-free", "schedule search", "model statistics", "learned")
"""What a sampler needs before it samples: nothing, a search for times, network statistics, or training."""


@dataclasses.dataclass(frozen=True)
class PublishedFigure:
    """A value that a paper or a repository reports, and what it is of.

    The key is (checkpoint, dataset, metric with preset, sde, sampler with parameters, grid, nfe, guidance).
    What the source does not state is an empty text, None, or a parameter whose value is None: such a figure
    stands beside no run.

    Args:
        checkpoint: Name of the checkpoint's card; empty where there is no card of exactly these weights.
        network: The network in the source's words.
        dataset: What the metric compares with, as the parameter ``reference`` of a metric names it.
        metric: Name of the metric's plugin, such as ``fid``, or ``nfe`` for a number of network calls.
        preset: Convention of the metric, as its parameter ``preset`` names it; ``none`` for none.
        value: The value, in the metric's unit.
        std: Standard deviation over runs, as published.
        sde: Name of the run's SDE; empty for a denoiser that serves every SDE.
        sampler: Names of the plugins, such as ``heun`` or ``ancestral + langevin``; empty for none.
        parameters: Values by ``ROLE.NAME``, and ``steps``, ``label_scales``, ``order`` or ``denoise``; those
            that are left out have their defaults.
        grid: Name of the time grid.
        nfe: Network calls per sample.
        guidance: ``none``, or what guides.
        method: The sampler in the source's words.
        kind: What the sampler needs before it samples, one of `KINDS`.
        source: Paper or repository.
        table: Table or section of the source.
        year: Year of the source.
        read_from: What the value was read from.
    """

    checkpoint: str
    network: str
    dataset: str
    metric: str
    preset: str
    value: float
    std: float | None
    sde: str
    sampler: str
    parameters: Mapping[str, Any] = dataclasses.field(hash=False)
    grid: str
    nfe: int | None
    guidance: str
    method: str
    kind: str
    source: str
    table: str
    year: int | None
    read_from: str

    @property
    def quantity(self) -> str:
        """The metric with its preset, such as ``fid-edm``, as columns of tables are called."""
        return self.metric if self.preset in ("none", "") else f"{self.metric}-{self.preset}"

    @property
    def citation(self) -> str:
        """Source, table and year, such as ``Song et al. 2021, Table 1``."""
        text = ", ".join(part for part in (self.source, self.table) if part)
        return text if self.year is None or str(self.year) in text else f"{text} ({self.year})"

    @property
    def text(self) -> str:
        """The value as the paper prints it: its spread decides the decimals."""
        if self.std is None:
            return f"{self.value:g}"
        digits = len(f"{self.std:g}".partition(".")[2])
        return f"{self.value:.{digits}f} ± {self.std:g}"

    def plain(self) -> JSONObject:
        """The figure as JSON data."""
        return dataclasses.asdict(self)


COLUMNS = tuple(field.name for field in dataclasses.fields(PublishedFigure))
"""Columns of a CSV of published figures."""
LONGEST = 400
"""Greatest number of characters of a text of a figure."""


def read_figures(path: Path) -> list[PublishedFigure]:
    """The published figures of a CSV with the columns `COLUMNS`.

    Raises:
        BenchError: The file can't be read, or a row is wrong.
    """
    try:
        text = read_file(path, MAX_FILE).decode()
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise BenchError(f"{path}: its columns must be {','.join(COLUMNS)}")
        return [_figure(row, f"{path}, line {reader.line_num}") for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise BenchError(f"{path}: {printable(one_line(error))}") from error


def _figure(row: dict[str, Any], place: str) -> PublishedFigure:
    if None in row or None in row.values():
        raise BenchError(f"{place}: it must have {len(COLUMNS)} columns")
    longest = max(row, key=lambda name: len(row[name]))
    if len(row[longest]) > LONGEST:
        raise BenchError(f"{place}: {longest} is longer than {LONGEST} characters")
    value = float(row["value"])
    std = float(row["std"]) if row["std"] else None
    if not math.isfinite(value) or not math.isfinite(std or 0.0):
        raise BenchError(f"{place}: value and std must be finite numbers")
    if row["kind"] not in KINDS:
        raise BenchError(f"{place}: unknown kind {printable(row['kind'])}{did_you_mean(row['kind'], KINDS)}")
    parameters = parse_json(row["parameters"].encode()) if row["parameters"] else {}
    if not isinstance(parameters, dict):
        raise BenchError(f"{place}: parameters must be a JSON object")
    numbers = {name: int(row[name]) if row[name] else None for name in ("nfe", "year")}
    return PublishedFigure(**{**row, **numbers, "value": value, "std": std, "parameters": parameters})


def all_figures() -> list[PublishedFigure]:
    """The figures that ship with the project, then those of the files that bench.toml names."""
    files = [registry_path("published", "figures.csv"), *published_files()]
    return [figure for path in files for figure in read_figures(path)]


def published(
    *,
    checkpoint: str | None = None,
    sampler: str | None = None,
    nfe: int | tuple[int, int] | None = None,
    metric: str | None = None,
) -> list[PublishedFigure]:
    """The published figures of a checkpoint, a sampler, a number of network calls or a metric.

    Args:
        checkpoint: Name of a card, or the network in the source's words; None for all.
        sampler: Name of a sampler, or of its predictor or corrector; or a part of the source's words for it,
            whatever the case of letters. None for all.
        nfe: Network calls per sample, or the least and the most; None for all, stated or not.
        metric: Name of a metric, with its preset or without, such as ``fid`` or ``fid-edm``; None for all.

    Returns:
        The figures by checkpoint, network, metric, network calls (those of unknown number last) and value.

    Raises:
        BenchError: No figure is of that checkpoint, sampler or metric, or a file of figures can't be read.
    """
    figures = all_figures()
    if checkpoint is not None:
        figures = figures_of([checkpoint], figures)
    if sampler is not None:
        names = {
            part for figure in figures for part in (figure.sampler, *figure.sampler.split(" + ")) if part
        }
        chosen = [one for one in figures if sampler in (one.sampler, *one.sampler.split(" + "))]
        chosen = chosen or [one for one in figures if sampler.casefold() in one.method.casefold()]
        if not chosen:
            raise BenchError(f"no published figure of the sampler {sampler!r}{did_you_mean(sampler, names)}")
        figures = chosen
    if metric is not None:
        names = {name for figure in figures for name in (figure.metric, figure.quantity)}
        if metric not in names:
            raise BenchError(f"no published figure of the metric {metric!r}{did_you_mean(metric, names)}")
        figures = [figure for figure in figures if metric in (figure.metric, figure.quantity)]
    if nfe is not None:
        low, high = (nfe, nfe) if isinstance(nfe, int) else nfe
        figures = [one for one in figures if one.nfe is not None and low <= one.nfe <= high]
    return sorted(figures, key=_order)


def _parts(figure: PublishedFigure) -> set[str]:
    """Names of the sampler and of its predictor and corrector."""
    return {figure.sampler, *figure.sampler.split(" + ")} - {""}


def _order(figure: PublishedFigure) -> tuple[object, ...]:
    calls = math.inf if figure.nfe is None else figure.nfe
    return (not figure.checkpoint, figure.checkpoint, figure.network, figure.metric, calls, figure.value)


def known_checkpoints(figures: Sequence[PublishedFigure]) -> set[str]:
    """Names of the cards, and of the networks in the sources' words."""
    return {name for figure in figures for name in (figure.checkpoint, figure.network) if name}


def check_published_of(checkpoints: Sequence[str]) -> tuple[str, ...]:
    """The checkpoints; `BenchError` where there is no published figure of one."""
    if checkpoints:
        figures_of(checkpoints, all_figures())
    return tuple(checkpoints)


def figures_of(checkpoints: Sequence[str], figures: Sequence[PublishedFigure]) -> list[PublishedFigure]:
    """The figures of these checkpoints, each a card's name or the network in the source's words.

    Raises:
        BenchError: There is none of one of them.
    """
    known = known_checkpoints(figures)
    for name in checkpoints:
        if name not in known:
            more = "bench published"
            raise BenchError(f"no published figure of {printable(name)!r}{did_you_mean(name, known, more)}")
    return [one for one in figures if one.checkpoint in checkpoints or one.network in checkpoints]
