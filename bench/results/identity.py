"""Identity: what decides the numbers of a run, as typed plain data. Its hash is the fingerprint."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from bench.errors import printable
from bench.files import parse_json, safe_name
from bench.types import ClassLabels, JSONObject

Positive = Annotated[int, Field(ge=1)]
MAX_SAMPLES = 10_000_000
"""Greatest number of samples of a run."""
Samples = Annotated[int, Field(ge=1, le=MAX_SAMPLES)]
Natural = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, le=1e18)]
"""Seconds, network calls or a rate."""
Value = Annotated[float, Field(ge=-1e150, le=1e150)]
"""The value of a metric; its square and sums of squares are finite."""
SafeName = Annotated[str, AfterValidator(safe_name)]
"""A name that can be part of a path."""


class Strict(BaseModel):
    """Base of all stored data: immutable, without unknown keys, type conversions, NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


MAX_STORED = 16_000_000
"""Greatest size of a stored file, in bytes; a record of 100,000 batches has less."""


class Stored(Strict):
    """Base of stored data that fills a JSON file of its own.

    The file has the version of the format and, as ``checksum``, the SHA-256 of everything else in it.
    """

    schema_version: int

    def to_json(self) -> bytes:
        """The object as strict JSON, without keys whose value is None; `ValueError` for NaN or infinity."""
        return with_checksum(self.model_dump(mode="json", exclude_none=True))

    @classmethod
    def in_current_form(cls, plain: JSONObject) -> JSONObject:
        """A file's data as this version writes it; where an earlier one wrote it in another form, a copy."""
        return plain

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """Parse a file's content; `ValueError` of one line where it is damaged or of another version."""
        try:
            plain = parse_json(content)
        except ValueError as error:
            raise ValueError(f"not JSON: {error}") from error
        version = plain.get("schema_version") if isinstance(plain, dict) else None
        expected = cls.model_fields["schema_version"].default
        if isinstance(version, bool) or version != expected:
            text = printable(repr(version), 40)
            raise ValueError(f"of another version of bench (schema {text}, not {expected})")
        checksum = plain.pop("checksum", None)
        try:
            # strict mode reads tuples from JSON alone
            stored = cls.model_validate_json(json.dumps(cls.in_current_form(plain)))
            expected_checksum = _checksum(plain)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(printable(f"{where}: {first['msg']}")) from error
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        if checksum is None:
            raise ValueError("it has no checksum")
        if checksum != expected_checksum:
            raise ValueError("its checksum is another: it was edited, or damaged")
        return stored


def with_checksum(plain: JSONObject) -> bytes:
    """A file's content: plain data and its new checksum, as JSON; `ValueError` for NaN or infinity."""
    rest = {key: value for key, value in plain.items() if key != "checksum"}
    whole = rest | {"checksum": _checksum(rest)}
    return (json.dumps(whole, indent=1, allow_nan=False) + "\n").encode()


def _checksum(plain: JSONObject) -> str:
    """SHA-256 of plain data as canonical JSON; `ValueError` for NaN or infinity."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class PluginIdentity(Strict):
    """A plugin as a run used it: name, parameters, and the code that defines it.

    ``code`` is the hash of its source (`bench.plan.source_hash`), ``libraries`` holds the versions of the
    distributions that it declares or imports, ``files`` the hashes of the files that it declares, and
    ``provenance`` everything else that decides its numbers.
    """

    name: SafeName
    parameters: dict[str, JsonValue] = {}
    distribution: str
    version: str
    code: str
    libraries: dict[str, str] = {}
    files: dict[str, str] = {}
    provenance: dict[str, JsonValue] = {}


class CheckpointIdentity(Strict):
    """Everything of a checkpoint that decides a score: the files' hash, the convention, and its plugins.

    ``code`` is the hash of the source of a network in memory. ``trained_on`` is the SDE of the training, for
    a run on another one: it decides the levels at which the network is called.
    """

    name: SafeName
    format: str
    shape: tuple[int, ...]
    data_range: tuple[float, float]
    basis: str | None = None
    sha256: str
    network: dict[str, JsonValue] = {}
    sde: str | None = None
    scales: int | None = None
    predicts: str | None = None
    labels: str | None = None
    learned_variance: bool = False
    classes: int | None = None
    parameters: dict[str, dict[str, JsonValue]] = {}
    reader: PluginIdentity | None = None
    parametrisation: PluginIdentity | None = None
    label: PluginIdentity | None = None
    trained_on: PluginIdentity | None = None
    code: str | None = None
    convention: Literal["exact", "published", "rescaled"]


class DataIdentity(Strict):
    """The images that a task works on; ``kind`` is ``draws`` where the exact checkpoint draws them."""

    kind: str
    name: str = ""
    n: int | None = None
    sha256: str = ""
    decoder: str = ""


class Identity(Strict):
    """Everything that decides the numbers of a batch.

    ``code`` is the hash of the core's modules that compute samples. The grid and its fields are None for a
    solver, ``labels`` for an unconditional checkpoint, ``afs`` for a first step as any other.
    """

    checkpoint: CheckpointIdentity
    task: PluginIdentity
    sde: PluginIdentity
    predictor: PluginIdentity | None = None
    corrector: PluginIdentity | None = None
    solver: PluginIdentity | None = None
    grid: PluginIdentity | None = None
    steps: int | None = None
    order: str | None = None
    label_scales: int | None = None
    afs: bool | None = None
    denoise: str
    labels: ClassLabels | None = None
    data: DataIdentity | None = None
    batch_size: Positive
    seed: Natural
    precision: str
    compile: bool
    device: str
    torch: str
    code: str

    def plugins(self) -> dict[str, PluginIdentity]:
        """The run's plugins by role."""
        roles = {
            "task": self.task,
            "sde": self.sde,
            "predictor": self.predictor,
            "corrector": self.corrector,
            "solver": self.solver,
            "grid": self.grid,
        }
        return {role: plugin for role, plugin in roles.items() if plugin is not None}

    def cell(self, samples: int) -> str:
        """Digest of the settings that define a cell of a table: equal for all seeds, devices and versions.

        Two runs of one cell and one seed measure the same quantity. They may differ in batch size, device,
        versions and code.
        """
        settings: dict[str, JsonValue] = {
            role: [plugin.name, plugin.parameters] for role, plugin in self.plugins().items()
        }
        keys = ("steps", "order", "label_scales", "denoise", "precision", "compile")
        settings |= {key: getattr(self, key) for key in keys}
        if self.labels is not None:
            settings["labels"] = self.labels
        if self.afs:
            settings["afs"] = True
        data = None if self.data is None else [self.data.kind, self.data.sha256]
        return digest(settings | {"checkpoint": self.checkpoint.name, "data": data, "samples": samples})


def digest(plain: object) -> str:
    """16 hexadecimal digits of the SHA-256 of plain data as canonical JSON."""
    text = json.dumps(plain, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
