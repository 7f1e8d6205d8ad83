"""bench.toml and flags -> settings. Unknown keys and wrong values are refused by name."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.diffusion.grid import GridKind
from bench.diffusion.sampler import Denoise, Order
from bench.errors import BenchError, did_you_mean, first_problem
from bench.files import REGISTRY, SHIPPED_TOML
from bench.plan.suites import CellGroup, Suite
from bench.types import Precision

DEFAULT_TASK = "generate"


Names = Annotated[list[str], Field(min_length=1)]


class Settings(BaseModel):
    """Everything that `bench run` can be told. Lists expand to their product."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    checkpoint: Names = ["cifar10-tiny"]
    task: str = DEFAULT_TASK
    data: str | None = None
    sde: list[str] = []
    predictor: Names = ["reverse_diffusion"]
    corrector: Names = ["none"]
    solver: list[str] = []
    metric: list[str] = []
    executor: str = "local"
    steps: int = Field(default=1000, ge=1, le=1_000_000)
    samples: int = Field(default=1024, ge=2, le=10_000_000)
    batch_size: int = Field(default=64, ge=1, le=1_000_000)
    seed: int = Field(default=0, ge=0, lt=2**63)
    repeats: int = Field(default=1, ge=1, le=10_000)
    grid: GridKind = "uniform"
    rho: float = Field(default=7.0, gt=0, allow_inf_nan=False)
    order: Order = "corrector_first"
    denoise: Denoise | None = None
    label_scales: int | None = Field(default=None, ge=1, le=1_000_000)
    device: str = "auto"
    precision: Precision = "fp32"
    compile: bool = False
    prune: bool = False
    out: Path = Field(default=Path("results"), strict=False)
    parameters: dict[str, dict[str, Any]] = {}


SELECTIONS = ("checkpoint", "sde", "predictor", "corrector", "solver", "metric")
"""Settings that are lists; a single name may stand for a list of one."""

SAMPLER_SETTINGS = (
    *("task", "sde", "predictor", "corrector", "solver", "steps"),
    *("grid", "rho", "order", "denoise", "label_scales"),
)
"""Settings that make a sampler: a suite sets its own."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: str | None = None
    defaults: dict[str, Any] = {}
    profiles: dict[str, dict[str, Any]] = {}
    suites: dict[str, Suite] = {}
    cards: list[str] = []


def _read(path: Path) -> _File:
    try:
        raw = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BenchError(f"{path}: {error}") from error
    tables: list[tuple[str, Any, type[BaseModel]]] = [
        ("", raw, _File),
        ("defaults", raw.get("defaults"), Settings),
    ]
    kinds: tuple[tuple[str, type[BaseModel]], ...] = (("profiles", Settings), ("suites", Suite))
    for kind, model in kinds:
        named = raw.get(kind)
        tables += [(f"{kind}.{k}", v, model) for k, v in (named if isinstance(named, dict) else {}).items()]
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
        found = _File.model_validate(raw)
    except ValidationError as error:
        raise BenchError(f"{path}: {first_problem(error)}") from error
    for place, values in {
        "defaults": found.defaults,
        **{f"profiles.{k}": v for k, v in found.profiles.items()},
    }.items():
        _validated(values, f"{path}: [{place}] ")
    return found


def suites(folder: Path | None = None) -> dict[str, Suite]:
    """The shipped suites and those of the folder's bench.toml; one of the same name replaces a shipped one.

    ``published`` becomes the path of the file that it names.
    """
    found: dict[str, Suite] = {}
    for path in _files(folder):
        for name, suite in _read(path).suites.items():
            found[name] = suite.model_copy(update={"published": _published(path, name, suite.published)})
    return found


def card_folders(folder: Path | None = None) -> list[tuple[Path, Path]]:
    """(bench.toml, folder of cards) as ``cards`` names them, from where the bench.toml lies."""
    found = []
    for toml in _files(folder):
        for named in _read(toml).cards:
            path = toml.parent / Path(named).expanduser()
            if not path.is_dir():
                raise BenchError(f"{toml}: cards: there is no folder {path}")
            found.append((toml, path))
    return found


def _published(toml: Path, suite: str, named: str | None) -> str | None:
    if named is None:
        return None
    places = (REGISTRY / "published" / f"{named}.csv", toml.parent / named)
    for path in places:
        if path.is_file():
            return str(path)
    raise BenchError(f"{toml}: [suites.{suite}] published: neither {places[0]} nor {places[1]} exists")


def _files(folder: Path | None) -> list[Path]:
    """The shipped bench.toml and the folder's own, if there is one."""
    own = (folder or Path.cwd()) / "bench.toml"
    return [SHIPPED_TOML] + ([own] if own.is_file() and own.resolve() != SHIPPED_TOML.resolve() else [])


def _validated(values: dict[str, Any], prefix: str = "") -> Settings:
    if values.get("out") == "":
        raise BenchError(f"{prefix}out must name a folder")
    try:
        return Settings.model_validate({k: _listed(k, v) for k, v in values.items()})
    except ValidationError as error:
        raise BenchError(f"{prefix}{first_problem(error)}") from error


def _listed(key: str, value: Any) -> Any:
    return [value] if key in SELECTIONS and isinstance(value, str) else value


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """``above`` laid over ``below``, plugin parameters one by one."""
    parameters = {role: dict(values) for role, values in below.get("parameters", {}).items()}
    for role, values in above.get("parameters", {}).items():
        parameters[role] = parameters.get(role, {}) | values
    return below | above | ({"parameters": parameters} if parameters else {})


def settings(
    flags: dict[str, Any], profile: str | None = None, folder: Path | None = None
) -> tuple[Settings, str]:
    """Flags over the folder's bench.toml over the shipped one; in a file, the profile over [defaults].

    Returns the settings and the name of the profile that was taken. Another selection by flag than
    the files' own drops the parameters that they give to that role: they were meant for their choice.
    """
    files = [_read(path) for path in _files(folder)]
    profiles = {name for file in files for name in file.profiles}
    chosen = profile or next((f.profile for f in reversed(files) if f.profile), "quick")
    if chosen not in profiles:
        raise BenchError(f"unknown profile {chosen!r}{did_you_mean(chosen, profiles)}")
    merged: dict[str, Any] = {}
    for file in files:
        merged = _over(_over(merged, file.defaults), file.profiles.get(chosen, {}))
    if "parameters" in merged:
        changed = {
            role for role in merged.keys() & flags.keys() if _listed(role, merged[role]) != flags[role]
        }
        kept = {role: values for role, values in merged["parameters"].items() if role not in changed}
        merged = merged | {"parameters": kept}
    if flags.get("solver") and not (flags.get("predictor") or flags.get("corrector")):
        merged = {k: v for k, v in merged.items() if k not in ("predictor", "corrector")}
        for role in ("predictor", "corrector"):
            merged.get("parameters", {}).pop(role, None)
    return _validated(_over(merged, flags)), chosen
