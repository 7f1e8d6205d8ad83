"""Cards: one TOML file per checkpoint, which says what it is, where its files are, and their hashes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PrivateAttr, ValidationError

from bench import cache
from bench.errors import BenchError, did_you_mean, first_problem
from bench.files import LONGEST_NAME, read_toml
from bench.types import JSONObject

EXACT = ("gaussian", "mixture")
"""Formats that are closed-form scores and need no reader."""

Predicts = Literal["noise", "scaled_score", "score", "edm"]
"""What a network's output is: the noise (``-sigma score``), ``sigma score``, the score itself, or the F of
EDM's preconditioning (Karras et al. 2022, eq. 7)."""

Labels = Literal["999t", "sigma", "index", "time_index", "index_down", "edm"]
"""The number that tells a network its noise level: ``999 t``; sigma(t); the index of the noise scale, counted
from the smallest noise (``index``, stretched to 1000 where the network has another number of scales) or from
the largest (``index_down``); ``t (N - 1)`` of N scales (``time_index``); ``ln(sigma)/4``."""

ROLES = ("sde", "predictor", "corrector", "solver", "metric", "reader")
"""Roles that a card may give parameters of."""

LOADING = ("sde", "reader")
"""Roles whose parameters decide what is loaded: the weights, and the levels at which a network is called."""

Side = Annotated[int, Field(ge=1, le=8192)]
Text = Annotated[str, Field(max_length=2000)]
CardName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=LONGEST_NAME)]


class CardFile(BaseModel):
    """One file of a checkpoint.

    ``sha256`` and ``bytes`` are None where nobody has published them: the first installation records them,
    and later ones are held to the record. ``browser``: its ``url`` is a page for people, from which no
    program can fetch it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=LONGEST_NAME)
    size: int | None = Field(default=None, alias="bytes", ge=1)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    url: str | None = Field(default=None, pattern=r"^https?://", max_length=2000)
    browser: bool = False


class Card(BaseModel):
    """A checkpoint: its files, its network, and the convention that the network was trained in.

    Args:
        name: What users type.
        summary: One line for listings.
        format: Name of the `Reader` of its files, or ``gaussian`` or ``mixture``: closed-form scores of
            Gaussian (mixture) data on [0, 1], diagonal in the DCT and color basis; tensors weight (K,), mean
            and variance (K, C, H, W), ``colour`` (C, C).
        shape: Shape (C, H, W) of one image.
        data_range: Range of the images that the network takes.
        files: Its files.
        licence: License of the weights.
        author: Who trained it.
        data: What it was trained on, for people.
        dataset: Name of the data set that its samples are compared with where the user names no reference;
            empty for CIFAR-10's training images, and with an exact checkpoint for draws of its own.
        metric: Name of the metric of its runs where the user chooses none.
        source: Where it was published.
        recipe: Script that made it, where that is part of the project.
        sde: Name of the SDE that it was trained on, the default of its runs.
        scales: Number of noise levels, where it was trained on discrete ones. With an exact checkpoint:
            it answers as a network that was trained at this many scales of SMLD's chain (VE) or DDPM's (VP).
        predicts: What the network's output is: ``noise``, ``score``, ``scaled_score``, ``edm``.
        labels: How the network is told its noise level: ``999t``, ``sigma``, ``index``, ``time_index``,
            ``index_down``, ``edm``.
        learned_variance: Whether the output has C further channels, the variance of the reverse step.
        classes: Number of classes of a class-conditional network, which is given the class of each image; 0
            for an unconditional one.
        null_class: Whether a class-conditional network was trained without a class too (class -1).
        classifier: Name of a classifier of noisy images of the same data, which can guide runs.
        parameters: Plugin parameters by role. Runs on the card's own SDE take them where the user gives none.
        network: Configuration of the network; what it may hold is up to the reader.
        training: Facts about the training, for people.
        published: Published figures, for listings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: CardName
    summary: Text
    format: Text
    shape: tuple[Side, Side, Side]
    data_range: tuple[FiniteFloat, FiniteFloat]
    files: tuple[CardFile, ...] = Field(min_length=1, max_length=100)
    licence: Text
    author: Text
    data: Text
    metric: Text
    dataset: Text = ""
    source: Text = ""
    recipe: Text = ""
    sde: Text | None = None
    scales: int | None = Field(default=None, ge=2, le=1_000_000)
    predicts: Predicts | None = None
    labels: Labels | None = None
    learned_variance: bool = False
    classes: int = Field(default=0, ge=0, le=8192)
    null_class: bool = False
    classifier: CardName | None = None
    parameters: dict[str, dict[str, Any]] = {}
    network: dict[str, Any] = {}
    training: dict[str, Any] = {}
    published: dict[str, Any] = {}

    _home: Path | None = PrivateAttr(default=None)

    @classmethod
    def read(cls, path: Path) -> Card:
        """Read a card.

        Args:
            path: The TOML file. The checkpoint's files are expected beside it, or in the cache.

        Returns:
            The card.

        Raises:
            BenchError: The file can't be read, or its content contradicts itself.
        """
        try:
            card = _parse(path, cls)
        except _UnreadableError as error:
            raise BenchError(f"card {path}: {error}") from error
        problem = card.contradiction()
        if problem:
            raise BenchError(f"card {path}: {problem}")
        card._home = path.parent
        return card

    def contradiction(self) -> str:
        """What does not fit together in the card; empty where everything does."""
        if any(file.name == cache.MANIFEST for file in self.files):
            return f"a file can't be called {cache.MANIFEST}"
        if len({file.name for file in self.files}) < len(self.files):
            return "two files have one name"
        if self.data_range[0] >= self.data_range[1]:
            return f"data_range must rise, not go from {self.data_range[0]:g} to {self.data_range[1]:g}"
        for role in self.parameters:
            if role not in ROLES:
                return f"unknown role {role!r} in [parameters]{did_you_mean(role, ROLES)}"
        if self.null_class and not self.classes:
            return "null_class belongs to a network with classes"
        if self.exact:
            return "a closed-form score has no classes" if self.classes else ""
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
    def in_memory(self) -> bool:
        """Whether the checkpoint exists in this process alone."""
        return False

    @property
    def cacheable(self) -> bool:
        """Whether everything that decides its scores is hashed, so that results may be taken from disk."""
        return not self.uncacheable_reason

    @property
    def uncacheable_reason(self) -> str:
        """Why results are never taken from disk; empty where they may be."""
        return ""

    @property
    def needs_reader(self) -> bool:
        """Whether a `Reader` makes its network of its files."""
        return not self.exact

    @property
    def discrete(self) -> bool:
        """Whether the network is told its noise levels by index."""
        return self.labels in ("index", "time_index", "index_down")

    @property
    def shipped(self) -> bool:
        """Whether the files are beside the card rather than in the cache."""
        return self._home is not None and (self._home / self.files[0].name).exists()

    @property
    def folder(self) -> Path:
        """The folder that holds the files, or would hold them."""
        return self._home if self._home is not None and self.shipped else cache.folder(self.name)

    def contents(self) -> dict[str, tuple[int | None, str | None]]:
        """(size, SHA-256) that each file in `folder` must have; `BenchError` where it is not installed."""
        if self.shipped:
            return {file.name: (file.size, file.sha256) for file in self.files}
        manifest = cache.manifest(self.name)
        if manifest is None:
            raise BenchError(f"checkpoint {self.name} is not here: {self.how_to_get()}")
        for file in self.files:
            fetched = manifest.fetched.get(file.name)
            if file.sha256 is not None and (fetched is None or fetched.sha256 != file.sha256):
                raise BenchError(
                    f"checkpoint {self.name}: what is installed is not what its card names "
                    f"({file.name}): {self.how_to_get()}"
                )
        return {name: (file.size, file.sha256) for name, file in manifest.files.items()}

    def how_to_get(self) -> str:
        """What to type, or to fetch by hand, to get the files."""
        if all(file.url and not file.browser for file in self.files):
            return f"bench checkpoints pull {self.name}"
        names = " and ".join(file.name for file in self.files)
        pages = " ".join(sorted({file.url for file in self.files if file.url}))
        beside = self._home or "the folder of its card"
        first = f"fetch {names} from {pages}, then" if pages else f"put {names} into {beside}, or"
        return f"{first} bench checkpoints import FILE --card {self.name}"

    def check(self) -> None:
        """Check that every file is here and has its size and hash; `BenchError` otherwise."""
        remedy = "restore it from the project" if self.shipped else self.how_to_get()
        for name, (size, sha256) in self.contents().items():
            cache.check_file(self.folder / name, size, sha256, f"checkpoint {self.name}", remedy)

    def digest(self) -> str:
        """SHA-256 of the file; of several, that of the list of their hashes and names."""
        hashes = {
            name: sha256 or cache.cached_sha256(self.folder / name)
            for name, (_, sha256) in self.contents().items()
        }
        if len(hashes) == 1:
            return next(iter(hashes.values()))
        lines = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(hashes.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    def deciding(self) -> JSONObject:
        """The part of the card that decides a score: the files' hashes and how they are read."""
        keys = {"format", "shape", "data_range", "network", "sde", "scales", "predicts", "labels"}
        facts: JSONObject = self.model_dump(mode="json", include=keys | {"learned_variance"})
        facts["parameters"] = {role: self.parameters[role] for role in LOADING if role in self.parameters}
        if self.classes:
            facts["classes"] = self.classes
        return facts | {"sha256": self.digest()}


class WeightsCard(BaseModel):
    """The card of a small network that ships with the project: one file of weights beside its TOML.

    Classifiers and extractors of features have such cards. Further keys, for people, are ignored.

    Args:
        files: The file of weights, with size and hash.
        network: The arguments that the network is built with.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    files: tuple[CardFile]
    network: dict[str, Any] = {}

    _path: Path = PrivateAttr()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a card.

        Args:
            path: The TOML file.

        Returns:
            The card.

        Raises:
            BenchError: The file is missing or damaged.
        """
        try:
            card = _parse(path, cls)
            if card.files[0].size is None or card.files[0].sha256 is None:
                raise _UnreadableError("its file has no bytes or no sha256")
        except _UnreadableError as error:
            missing = isinstance(error.__cause__, OSError)
            fault = "is missing" if missing else f"is damaged ({error})"
            raise BenchError(f"card {path} {fault}; restore it from the project") from error
        card._path = path
        return card

    @property
    def name(self) -> str:
        """The name of the TOML file."""
        return self._path.stem

    @property
    def sha256(self) -> str:
        """SHA-256 that the weights must have."""
        return str(self.files[0].sha256)

    def weights(self) -> Path:
        """The file of weights, size and hash checked; `BenchError` where it is missing or damaged."""
        file = self.files[0]
        path = self._path.parent / file.name
        cache.check_file(path, file.size, file.sha256, self.name, "restore it from the project")
        return path


class _UnreadableError(Exception):
    """Why a card can't be read."""


_Model = TypeVar("_Model", bound=BaseModel)


def _parse(path: Path, kind: type[_Model]) -> _Model:
    """The content of a TOML file as a model."""
    try:
        return kind.model_validate(read_toml(path))
    except ValidationError as error:
        raise _UnreadableError(first_problem(error)) from error
    except (OSError, ValueError) as error:
        raise _UnreadableError(str(error)) from error
