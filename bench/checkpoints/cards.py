"""Cards: one TOML per checkpoint that says what it is, where its files lie, and what they must hash to."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PrivateAttr, ValidationError

from bench import cache
from bench.errors import BenchError, did_you_mean

EXACT = ("gaussian", "mixture")
"""Formats that are closed-form scores and need no reader."""

Predicts = Literal["noise", "scaled_score", "score", "edm"]
"""What a network's output is: the noise (``-sigma score``), ``sigma score``, the score itself, or the F of
EDM's preconditioning (Karras et al. 2022, eq. 7)."""

Labels = Literal["time", "sigma", "index", "index_down", "edm"]
"""The number that tells a network its noise level: ``999 t``; sigma(t); the scale's index, the smallest noise
being 0 (stretched to 1000 where the network has another number of scales) or the largest; ``ln(sigma)/4``."""


ROLES = ("sde", "predictor", "corrector", "solver", "metric", "reader")
"""Roles that a card may give parameters of."""

LOADING = ("sde", "reader")
"""Those whose parameters decide what is loaded: which weights, and of what levels a network is asked."""

Side = Annotated[int, Field(ge=1, le=8192)]


class CardFile(BaseModel):
    """One file of a checkpoint. ``sha256`` and ``bytes`` are None where nobody has published them: then
    they are taken down when the file is first installed, and hold from there on.

    ``browser``: its ``url`` is a page for people, from which no program can fetch it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    size: int | None = Field(default=None, alias="bytes", ge=1)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    url: str | None = Field(default=None, pattern=r"^https?://")
    browser: bool = False


class Card(BaseModel):
    """A checkpoint: its files, what its network is, and the convention it was trained in.

    ``format`` names the reader of its files, or is ``gaussian`` or ``mixture``: closed-form scores of
    Gaussian (mixture) data on [0, 1], diagonal in the DCT and colour basis; tensors weight (K,), mean and
    variance (K, C, H, W), colour (C, C).

    A network is told its noise level as ``labels`` says and answers what ``predicts`` says, on images of
    ``data_range``. ``sde`` is the SDE it was trained on, the default of its runs; ``scales`` the number of
    noise levels where they were discrete. ``parameters`` are plugin parameters by role that its runs take
    where the user gives none and the SDE is its own. ``network`` is the network's configuration.
    ``classifier`` names a classifier of noisy images of the same data, by which runs can be guided.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    summary: str
    format: str
    shape: tuple[Side, Side, Side]
    data_range: tuple[FiniteFloat, FiniteFloat]
    files: tuple[CardFile, ...] = Field(min_length=1)
    licence: str
    author: str
    data: str
    metric: str
    source: str = ""
    recipe: str = ""
    sde: str | None = None
    scales: int | None = Field(default=None, ge=2, le=1_000_000)
    predicts: Predicts | None = None
    labels: Labels | None = None
    learned_variance: bool = False
    classifier: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9._-]*$")
    parameters: dict[str, dict[str, Any]] = {}
    network: dict[str, Any] = {}
    training: dict[str, Any] = {}
    published: dict[str, Any] = {}

    _home: Path | None = PrivateAttr(default=None)

    @classmethod
    def read(cls, path: Path) -> Card:
        """Read a card; its files are looked for beside it, then in the cache."""
        try:
            card = cls(**tomllib.loads(path.read_text()))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise BenchError(f"card {path}: {error}") from error
        except ValidationError as error:
            raise BenchError(f"card {path}: {first_complaint(error)}") from error
        complaint = card.contradiction()
        if complaint:
            raise BenchError(f"card {path}: {complaint}")
        card._home = path.parent
        return card

    def contradiction(self) -> str:
        """What does not fit together in the card, or nothing."""
        if any(file.name == cache.MANIFEST for file in self.files):
            return f"a file can't be called {cache.MANIFEST}"
        if len({file.name for file in self.files}) < len(self.files):
            return "two files have one name"
        if self.data_range[0] >= self.data_range[1]:
            return f"data_range must rise, not go from {self.data_range[0]:g} to {self.data_range[1]:g}"
        for role in self.parameters:
            if role not in ROLES:
                return f"unknown role {role!r} in [parameters]{did_you_mean(role, ROLES)}"
        if self.exact:
            return ""
        if self.predicts is None or self.labels is None:
            return "a network's card needs predicts and labels"
        if (self.predicts == "edm") != (self.labels == "edm"):
            return "predicts and labels are both edm, or neither"
        if self.predicts != "edm" and self.sde is None:
            return "a network that is not edm needs its sde"
        if self.discrete and self.scales is None:
            return f"labels {self.labels!r} need scales, the number of noise levels"
        return ""

    @property
    def exact(self) -> bool:
        """Whether the score is closed-form."""
        return self.format in EXACT

    @property
    def discrete(self) -> bool:
        """Whether the network knows its noise levels by index."""
        return self.labels in ("index", "index_down")

    @property
    def shipped(self) -> bool:
        """Whether the files lie beside the card rather than in the cache."""
        return self._home is not None and (self._home / self.files[0].name).exists()

    @property
    def folder(self) -> Path:
        """The folder that holds the files, or would hold them."""
        return self._home if self._home is not None and self.shipped else cache.folder(self.name)

    def contents(self) -> dict[str, tuple[int | None, str | None]]:
        """Size and hash that each file in `folder` must have; `BenchError` where they are not here."""
        if self.shipped:
            return {file.name: (file.size, file.sha256) for file in self.files}
        found = cache.manifest(self.name)
        if found is None:
            raise BenchError(f"checkpoint {self.name} is not here: {self.how_to_get()}")
        origin = found.get("origin") or found["files"]
        for file in self.files:
            came = origin.get(file.name, {}).get("sha256")
            if file.sha256 is not None and came != file.sha256:
                raise BenchError(
                    f"checkpoint {self.name}: what is installed is not what its card names "
                    f"({file.name}): {self.how_to_get()}"
                )
        return {name: (facts["bytes"], facts["sha256"]) for name, facts in found["files"].items()}

    def how_to_get(self) -> str:
        """What to type, or to fetch by hand, to have the files."""
        if all(file.url and not file.browser for file in self.files):
            return f"bench checkpoints pull {self.name}"
        names = " and ".join(file.name for file in self.files)
        pages = " ".join(sorted({file.url for file in self.files if file.url}))
        beside = self._home or "the folder of its card"
        first = f"fetch {names} from {pages}, then" if pages else f"put {names} into {beside}, or"
        return f"{first} bench checkpoints import FILE --card {self.name}"

    def check(self) -> None:
        """`BenchError` where a file is missing or is not what it must be."""
        remedy = "restore it from the project" if self.shipped else self.how_to_get()
        for name, (size, sha256) in self.contents().items():
            cache.check_file(self.folder / name, size, sha256, f"checkpoint {self.name}", remedy)

    def digest(self) -> str:
        """SHA-256 of the file; of several, that of their names' and hashes' list."""
        found = {
            name: sha256 or cache.hashed(self.folder / name) for name, (_, sha256) in self.contents().items()
        }
        if len(found) == 1:
            return next(iter(found.values()))
        lines = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(found.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    def deciding(self) -> dict[str, Any]:
        """What of the card decides a score: the files' hashes and how they are read."""
        keys = {"format", "shape", "data_range", "network", "sde", "scales", "predicts", "labels"}
        found: dict[str, Any] = self.model_dump(mode="json", include=keys | {"learned_variance"})
        found["parameters"] = {role: self.parameters[role] for role in LOADING if role in self.parameters}
        return found | {"sha256": self.digest()}


def first_complaint(error: ValidationError) -> str:
    """The first thing that a validation found wrong, in one line."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])
