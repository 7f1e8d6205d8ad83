"""Cards: one TOML per checkpoint that says what it is, where its file lies, and what it must hash to."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from bench.errors import BenchError


class Card(BaseModel):
    """A checkpoint. ``kind`` says how its file is read:

    * ``gaussian``, ``mixture``: closed-form scores of Gaussian (mixture) data on [0, 1], diagonal in
      the DCT and colour basis; tensors weight (K,), mean and variance (K, C, H, W), colour (C, C).
    * ``edm``: a denoiser with EDM's preconditioning; ``network`` holds its configuration and
      ``sigma_data``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    summary: str
    kind: Literal["gaussian", "mixture", "edm"]
    shape: tuple[int, int, int]
    data_range: tuple[float, float]
    file: str
    size: int = Field(alias="bytes", ge=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    licence: str
    data: str
    recipe: str
    author: str
    metric: str
    network: dict[str, Any] = {}
    training: dict[str, Any] = {}

    _folder: Path = PrivateAttr(default=Path())

    @classmethod
    def read(cls, path: Path) -> Card:
        """Read a card; its file is looked for beside it."""
        try:
            card = cls(**tomllib.loads(path.read_text()))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise BenchError(f"card {path}: {error}") from error
        except ValidationError as error:
            raise BenchError(f"card {path}: {first_complaint(error)}") from error
        card._folder = path.parent
        return card

    @property
    def path(self) -> Path:
        """Where the card's file lies."""
        return self._folder / self.file

    def content(self) -> bytes:
        """The file's bytes, checked against the card's size and hash; `BenchError` where they differ."""
        return checked_bytes(self.path, self.size, self.sha256, f"checkpoint {self.name}")

    def deciding(self) -> dict[str, Any]:
        """What of the card decides a score: the file's hash and how it is read."""
        return self.model_dump(mode="json", include={"sha256", "kind", "shape", "data_range", "network"})

    @property
    def exact(self) -> bool:
        """Whether the score is closed-form."""
        return self.kind != "edm"


def checked_bytes(path: Path, size: int, sha256: str, what: str) -> bytes:
    """Read a file that must have this size and hash; one clear line where it has not."""
    try:
        blob = path.read_bytes()
    except FileNotFoundError as error:
        raise BenchError(f"{what}: its file {path} is missing; restore it from the project") from error
    except OSError as error:
        raise BenchError(f"{what}: {path} can't be read: {error.strerror}") from error
    if len(blob) != size:
        state = "truncated" if len(blob) < size else "too long"
        raise BenchError(
            f"{what}: {path} is {state} ({len(blob)} bytes, not {size}); restore it from the project"
        )
    found = hashlib.sha256(blob).hexdigest()
    if found != sha256:
        raise BenchError(
            f"{what}: {path} has the wrong hash (sha256 {found[:12]}…, not {sha256[:12]}…); restore it"
        )
    return blob


def first_complaint(error: ValidationError) -> str:
    """The first thing that a validation found wrong, in one line."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])
