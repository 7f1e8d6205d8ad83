"""Settings from bench.toml and the command line; errors name unknown keys and invalid values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.diffusion.sampler import Denoise, Order
from bench.errors import BenchError, did_you_mean, first_problem, printable
from bench.files import SHIPPED_TOML, is_safe_name, read_toml, user_path
from bench.plan.suites import CellGroup, Suite
from bench.results.identity import MAX_SAMPLES
from bench.types import ClassLabels, PrecisionChoice

DEFAULT_TASK = "generate"
NO_PROFILE = "none"
"""The profile that leaves out every bench.toml."""
NO_METRIC = "none"
"""The metric of a run that is not measured."""
NO_LOGGER = "none"
"""Stands for no logger, over those of bench.toml."""


Names = Annotated[list[str], Field(min_length=1)]


class Settings(BaseModel):
    """All settings of `bench run`, by name. Lists expand to their product."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    checkpoint: list[str] = ["cifar10-tiny"]
    task: str = DEFAULT_TASK
    data: str | None = None
    sde: list[str] = []
    predictor: Names = ["reverse_diffusion"]
    corrector: Names = ["none"]
    solver: list[str] = []
    metric: list[str] = []
    executor: str = "local"
    logger: list[str] = []
    steps: int = Field(default=1000, ge=1, le=1_000_000)
    samples: int = Field(default=1024, ge=2, le=MAX_SAMPLES)
    batch_size: int = Field(default=64, ge=1, le=1_000_000)
    seed: int = Field(default=0, ge=0, lt=2**63)
    repeats: int = Field(default=1, ge=1, le=10_000)
    grid: str = "uniform"
    order: Order = "corrector_first"
    denoise: Denoise | None = None
    labels: ClassLabels | None = None
    label_scales: int | None = Field(default=None, ge=1, le=1_000_000)
    afs: bool = False
    device: str = "auto"
    precision: PrecisionChoice = "fp32"
    compile: bool = False
    prune: bool = False
    out: Path = Field(default=Path("results"), strict=False)
    parameters: dict[str, dict[str, Any]] = {}


SELECTIONS = ("checkpoint", "sde", "predictor", "corrector", "solver", "metric", "logger")
"""Settings that are lists; a single name stands for a list of one."""

SAMPLER_SETTINGS = (
    *("task", "sde", "predictor", "corrector", "solver", "steps"),
    *("grid", "order", "denoise", "label_scales", "afs"),
)
"""Settings that define a sampler; a suite sets its own."""


class OwnData(BaseModel):
    """A data set of a bench.toml: ``path``, or ``splits`` with a path for each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | None = None
    splits: dict[str, str] = {}
    licence: str = ""
    source: str = ""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: str | None = None
    defaults: dict[str, Any] = {}
    profiles: dict[str, dict[str, Any]] = {}
    suites: dict[str, Suite] = {}
    cards: list[str] = []
    published: list[str] = []
    datasets: dict[str, OwnData] = {}


def _read(path: Path) -> _File:
    """A bench.toml, checked key by key so that an error names the table it is in."""
    try:
        raw = read_toml(path)
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise BenchError(f"{path}: {error}") from error
    tables: list[tuple[str, Any, type[BaseModel]]] = [
        ("", raw, _File),
        ("defaults", raw.get("defaults"), Settings),
    ]
    kinds: tuple[tuple[str, type[BaseModel]], ...] = (
        ("profiles", Settings),
        ("suites", Suite),
        ("datasets", OwnData),
    )
    for kind, model in kinds:
        entries = raw.get(kind)
        tables += [
            (f"{kind}.{key}", value, model)
            for key, value in (entries if isinstance(entries, dict) else {}).items()
        ]
    for place, table, _ in tuple(tables):
        groups = table.get("cells") if place.startswith("suites.") and isinstance(table, dict) else None
        for group in groups if isinstance(groups, list) else ():
            tables.append((f"{place}.cells", group, CellGroup))
    for place, table, model in tables:
        for key in table if isinstance(table, dict) else ():
            if key not in model.model_fields:
                where = f" in [{place}]" if place else ""
                raise BenchError(f"{path}: unknown key {key!r}{where}{did_you_mean(key, model.model_fields)}")
    try:
        file = _File.model_validate(raw)
    except ValidationError as error:
        raise BenchError(f"{path}: {first_problem(error)}") from error
    if NO_PROFILE in file.profiles:
        raise BenchError(
            f"{path}: a profile can't be called {NO_PROFILE!r}, which stands for no bench.toml: rename it"
        )
    for place, values in {
        "defaults": file.defaults,
        **{f"profiles.{name}": values for name, values in file.profiles.items()},
    }.items():
        _validate(values, f"{path}: [{place}] ")
    return file


def suites(folder: Path | None = None) -> dict[str, Suite]:
    """The shipped suites and those of the folder's bench.toml; of one name the folder's own counts."""
    by_name: dict[str, Suite] = {}
    for path in _files(folder):
        by_name |= _read(path).suites
    return by_name


def published_files(folder: Path | None = None) -> list[Path]:
    """The CSVs of published figures that a bench.toml names by ``published``, relative to the file."""
    files = []
    for toml in _files(folder):
        for name in _read(toml).published:
            path = user_path(toml.parent / user_path(name))
            if not name or not path.is_file():
                raise BenchError(f"{toml}: published: there is no file {path}")
            files.append(path)
    return files


def card_folders(folder: Path | None = None) -> list[tuple[Path, Path]]:
    """Pairs of a bench.toml and a folder of cards, which the key ``cards`` names relative to the file."""
    folders = []
    for toml in _files(folder):
        for name in _read(toml).cards:
            if not name:
                raise BenchError(f"{toml}: cards must name folders")
            path = user_path(toml.parent / user_path(name))
            if not path.is_dir():
                raise BenchError(f"{toml}: cards: there is no folder {path}")
            folders.append((toml, path))
    return folders


WHOLE = "all"
"""The only split of a data set that has a ``path``."""


def own_datasets(folder: Path | None = None) -> dict[str, tuple[OwnData, dict[str, Path]]]:
    """The data sets of the shipped bench.toml and of the folder's own, by name, with the path of each split.

    Paths are relative to the file. They need not exist before the data set is used.
    """
    own: dict[str, tuple[OwnData, dict[str, Path]]] = {}
    for toml in _files(folder):
        for name, data in _read(toml).datasets.items():
            where = f"{toml}: [datasets.{printable(name)}]"
            if (data.path is None) == (not data.splits):
                raise BenchError(f"{where} must have path, or splits, and not both")
            splits = {WHOLE: data.path} if data.path is not None else data.splits
            for split, path in splits.items():
                if not path or not is_safe_name(split) or "-" in split:
                    raise BenchError(
                        f"{where} {printable(split)} = {printable(repr(path))}: a split is called by "
                        "letters, digits and underscores, and names a folder or an .npz"
                    )
            places = {split: user_path(toml.parent / user_path(f"{path}")) for split, path in splits.items()}
            own[name] = (data, places)
    return own


def _files(folder: Path | None) -> list[Path]:
    """The shipped bench.toml and the folder's own, if there is one."""
    own = (folder or Path.cwd()) / "bench.toml"
    return [SHIPPED_TOML] + ([own] if own.exists() and own.resolve() != SHIPPED_TOML.resolve() else [])


def _validate(values: Mapping[str, Any], prefix: str = "") -> Settings:
    if values.get("out") == "":
        raise BenchError(f"{prefix}out must name a folder")
    try:
        return Settings.model_validate({key: _as_list(key, value) for key, value in values.items()})
    except ValidationError as error:
        raise BenchError(f"{prefix}{first_problem(error)}") from error


def _as_list(key: str, value: object) -> object:
    """A single name of a selection as a list of one."""
    return [value] if key in SELECTIONS and isinstance(value, str) else value


def _overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """The values of ``above`` over those of ``below``; plugin parameters are merged one by one."""
    parameters = {role: dict(values) for role, values in below.get("parameters", {}).items()}
    for role, values in above.get("parameters", {}).items():
        parameters[role] = parameters.get(role, {}) | values
    return dict(below) | dict(above) | ({"parameters": parameters} if parameters else {})


def _default_profile(files: Sequence[_File]) -> str:
    """The profile that the files choose; the last one decides."""
    return next((file.profile for file in reversed(files) if file.profile), "quick")


@dataclasses.dataclass(frozen=True)
class Profile:
    """A profile of bench.toml.

    Args:
        name: Its name.
        default: Whether it is used where the user names none.
        values: The settings that it changes, by name.
        settings: All settings of a command that names the profile and nothing else.
    """

    name: str
    default: bool
    values: Mapping[str, Any]
    settings: Settings


def profiles(folder: Path | None = None) -> list[Profile]:
    """The profiles of the shipped bench.toml and of the folder's own, by name."""
    files = [_read(path) for path in _files(folder)]
    default = _default_profile(files)
    merged: dict[str, dict[str, Any]] = {}
    for file in files:
        for name, values in file.profiles.items():
            merged[name] = _overlay(merged.get(name, {}), values)
    return [
        Profile(name, name == default, values, settings({}, name, folder)[0])
        for name, values in sorted(merged.items())
    ]


def settings(
    values: Mapping[str, Any], profile: str | None = None, folder: Path | None = None
) -> tuple[Settings, str]:
    """Merge values over the folder's bench.toml, and that over the shipped one.

    Within a file, the profile overrides [defaults]. Where the values select another plugin for a role than
    the files do, the files' parameters of that role are dropped: they belong to the files' selection.

    Args:
        values: Values of the command line or of a call, by name.
        profile: Name of the profile; None for the default of the files; ``none`` for no file at all.
        folder: Where the user's own bench.toml may be; None: the current folder.

    Returns:
        The settings, and the name of the profile in use.

    Raises:
        BenchError: A key, a value or the profile is unknown or wrong.
    """
    if profile == NO_PROFILE:
        return _validate(values), NO_PROFILE
    files = [_read(path) for path in _files(folder)]
    name = profile or _default_profile(files)
    known = {name for file in files for name in file.profiles}
    if name not in known:
        raise BenchError(f"unknown profile {name!r}{did_you_mean(name, known)}")
    merged: dict[str, Any] = {}
    for file in files:
        merged = _overlay(_overlay(merged, file.defaults), file.profiles.get(name, {}))
    if "parameters" in merged:
        other = {
            role
            for role in merged.keys() & values.keys()
            if _as_list(role, merged[role]) != _as_list(role, values[role])
        }
        same = {role: own for role, own in merged["parameters"].items() if role not in other}
        merged = merged | {"parameters": same}
    if values.get("solver") and not (values.get("predictor") or values.get("corrector")):
        merged = {key: value for key, value in merged.items() if key not in ("predictor", "corrector")}
        for role in ("predictor", "corrector", "grid"):
            merged.get("parameters", {}).pop(role, None)
    return _validate(_overlay(merged, values)), name


def results_folder(out: str | Path | None = None) -> Path:
    """The results folder: ``out``, or else that of bench.toml; `BenchError` for an empty name."""
    values = {} if out is None else {"out": out}
    return user_path(settings(values)[0].out)
