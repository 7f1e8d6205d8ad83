"""Plugins that are fitted to a checkpoint before they sample: what a fit is given, and the file it leaves."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from bench.cache import cache_folder
from bench.diffusion.prediction import Prediction
from bench.diffusion.sampler import Sampler
from bench.errors import BenchError, StoreError, printable
from bench.files import parse_json, read_file, replace_file, user_path
from bench.params import FileValue, Plugin, param
from bench.types import JSONObject

if TYPE_CHECKING:
    from torch import Tensor

LARGEST = 16_000_000
"""Greatest size of an artifact, in bytes."""
BY_HASH = "sha256:"
"""What the plain form of an artifact begins with; its file's SHA-256 follows."""

Amount = Annotated[float, Field(ge=0, le=1e18)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]


class FitFacts(BaseModel):
    """What an artifact's file holds, strict JSON.

    Args:
        schema_version: Version of the format.
        role: Role of the fitted plugin, such as ``grid``.
        plugin: Its name.
        parameters: Its parameters, without the artifact.
        checkpoint: Name of the checkpoint that it was fitted to.
        checkpoint_sha256: Hash of the checkpoint's files.
        convention: How the checkpoint was called: ``exact``, ``published`` or ``rescaled``.
        sde: Name of the run's SDE.
        sde_parameters: Its parameters.
        sampler: Name of the predictor or solver.
        sampler_parameters: Its parameters.
        grid: Name of the time grid that a predictor was fitted on; None for what is fitted on none.
        grid_parameters: Its parameters.
        labels: Classes that the checkpoint was given; None for an unconditional one.
        precision: What the network computed in.
        steps: Number of steps.
        nfe: Network calls per sample of a run, as the sampler declares them; None where it does not.
        seed: Seed of the samples of the fit.
        samples: Number of samples of the fit.
        batch_size: Samples per batch, on which their noise depends.
        fit_nfe: Network evaluations of the fit in all, one for each state of each call.
        fit_seconds: Duration of the fit in seconds, without loading and warming up.
        values: What the plugin found.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    schema_version: Literal[1] = 1
    role: str
    plugin: str
    parameters: dict[str, JsonValue]
    checkpoint: str
    checkpoint_sha256: str
    convention: str
    sde: str
    sde_parameters: dict[str, JsonValue]
    sampler: str
    sampler_parameters: dict[str, JsonValue]
    grid: str | None = None
    grid_parameters: dict[str, JsonValue] = {}
    labels: str | int | None = None
    precision: str = "fp32"
    steps: Count
    nfe: int | None
    seed: Annotated[int, Field(ge=0)]
    samples: Count
    batch_size: Count
    fit_nfe: Amount
    fit_seconds: Amount
    values: dict[str, JsonValue]

    def content(self) -> bytes:
        """The file's content."""
        return (json.dumps(self.model_dump(mode="json"), indent=1, allow_nan=False) + "\n").encode()


@dataclasses.dataclass(frozen=True)
class Artifact(FileValue):
    """The file that ``bench fit`` writes: what a plugin found, of what, and at what cost.

    Runs hold its content, not its path, so that a file that is changed or moved later changes no run; a run's
    fingerprint holds its SHA-256.

    Args:
        content: The file's bytes.
    """

    content: bytes = dataclasses.field(repr=False)

    @classmethod
    def read(cls, text: str) -> Self:
        """The artifact of a file; of ``sha256:HEX``, the one of that hash in this process or in the cache.

        Args:
            text: The path, or ``sha256:`` with the file's hash.

        Returns:
            The artifact, parsed.

        Raises:
            BenchError: There is no such file, or it is damaged or no artifact.
        """
        if text.startswith(BY_HASH):
            known = _READ.get(text)
            path = stored_path(text.removeprefix(BY_HASH))
            if known is None and not path.is_file():
                raise BenchError(f"no artifact {printable(text, 80)} is in the cache: give its file's path")
            if known is not None:
                return cls(known)
        else:
            path = user_path(text)
        try:
            artifact = cls(read_file(path, LARGEST))
            _ = artifact.facts
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise BenchError(
                f"{printable(str(path))} can't be read as an artifact of bench fit: {printable(str(reason))}"
            ) from error
        if text.startswith(BY_HASH) and artifact.plain != text:
            raise BenchError(f"{path} is damaged: remove it, and give the artifact's own file")
        _READ[artifact.plain] = artifact.content
        return artifact

    @functools.cached_property
    def facts(self) -> FitFacts:
        """What the file holds; `ValueError` of one line where it is no artifact."""
        plain = parse_json(self.content)
        version = plain.get("schema_version") if isinstance(plain, dict) else None
        if version != 1 or isinstance(version, bool):
            raise ValueError(f"it is no artifact of this version of bench (schema {version!r}, not 1)")
        try:
            return FitFacts.model_validate(plain)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        except RecursionError as error:
            raise ValueError("nested too deeply") from error

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of the file, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def plain(self) -> str:
        """``sha256:`` and the hash."""
        return BY_HASH + self.sha256

    def keep(self) -> None:
        """Put a copy into the cache, under its hash, from which a record's own command reads it."""
        path = stored_path(self.sha256)
        if path.is_file():
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, self.content)
        except (OSError, StoreError):
            # the copy is a convenience: the file itself is where its user has it
            return


_READ: dict[str, bytes] = {}
"""Contents of the artifacts that this process has read or made, by their plain form."""


def remember(artifact: Artifact) -> None:
    """Let the plain form of an artifact that was just made be read in this process."""
    _READ[artifact.plain] = artifact.content


def stored_path(sha256: str) -> Path:
    """Where the cache keeps the artifact of that hash; `BenchError` for what is no hash."""
    if len(sha256) != 64 or any(digit not in "0123456789abcdef" for digit in sha256):
        raise BenchError(f"{printable(sha256, 80)!r} is no SHA-256 of an artifact: give its file's path")
    return cache_folder("artifacts", f"{sha256}.json")


def _forget(state: Mapping[str, object]) -> None:
    del state


@dataclasses.dataclass(frozen=True)
class FitWork:
    """What `Fittable.fit` is given: a run's sampler, and samples of a seed of the fit's own.

    Args:
        sampler: The sampler that is fitted. Of a fitted grid's, the grid is a placeholder: put one of
            yours in its place by `dataclasses.replace`.
        sizes: Number of samples of each batch.
        prior: ``prior(i)``: standard normal noise (B, ...) of batch i, the same each time.
        prediction: ``prediction(i)``: the checkpoint for batch i, whose calls are counted.
        advance: ``advance(done, total)``: reports progress, in units of the plugin's own.
        state: What `save` wrote before the fit was stopped; None for a new one.
        save: Keeps plain data, so that the same command goes on from it after a stop.
    """

    sampler: Sampler
    sizes: tuple[int, ...]
    prior: Callable[[int], Tensor]
    prediction: Callable[[int], Prediction]
    advance: Callable[[int, int], None]
    state: JSONObject | None = None
    save: Callable[[Mapping[str, object]], None] = _forget

    @property
    def samples(self) -> int:
        """Number of samples in all."""
        return sum(self.sizes)


class Fittable(Plugin):
    """A plugin that is fitted to a checkpoint by ``bench fit``: a grid, a predictor or a solver.

    A plugin of one of these roles inherits from this class first, ``class Mine(Fittable, Grid)``, defines
    `fit`, and reads what the fit came to by `fit_values`. Its parameters are those of the fit: a run takes
    the ones of its artifact.
    """

    any_sampler: ClassVar[bool] = False
    """Whether what is fitted does not depend on predictor or solver, so that other samplers may use it."""

    artifact: Artifact | None = param(default=None, help="file that bench fit made of this plugin")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.artifact is None:
            return
        facts = self.artifact.facts
        if facts.plugin != self.name:
            raise BenchError(
                f"the artifact of {self.name} is one of {printable(facts.plugin)}: give one of {self.name}"
            )
        if "artifact" in facts.parameters:
            raise BenchError(f"the artifact of {self.name} names another artifact: fit it again")
        fitted, defaults = type(self).build(facts.parameters), {p.name: p.default for p in self.parameters()}
        for name in facts.parameters:
            own, value = getattr(self, name), getattr(fitted, name)
            if own not in (value, defaults[name]):
                raise BenchError(
                    f"the artifact of {self.name} was fitted with {name} = {value}, not {own}: leave it out, "
                    "or fit again"
                )
            object.__setattr__(self, name, value)

    @abstractmethod
    def fit(self, work: FitWork) -> Mapping[str, object]:
        """Fit to a checkpoint.

        Args:
            work: The sampler, its samples and the network.

        Returns:
            What was found, as plain JSON data: the artifact's values.

        Raises:
            BenchError: The fit is not possible; the message, one line, says why.
        """

    def fit_values(self) -> JSONObject:
        """The artifact's values, as `fit` returned them.

        Raises:
            BenchError: There is no artifact.
        """
        if self.artifact is None:
            raise BenchError(
                f"{self.name} needs its artifact: bench fit {self.name} --help says how to make one"
            )
        return self.artifact.facts.values

    def changed_texts(self, always: object = ()) -> dict[str, str]:
        """As `Plugin.changed_texts`, with the first digits of the artifact's hash."""
        texts = super().changed_texts(always)  # type: ignore[arg-type]
        if self.artifact is not None:
            texts["artifact"] = self.artifact.sha256[:8]
        return texts
