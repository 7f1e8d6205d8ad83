"""``bench fit``: a plugin is fitted to a checkpoint, and what it found is written to a file."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from bench.devices import arithmetic
from bench.diffusion.counting import Evaluations, counted_evaluations
from bench.diffusion.fitting import Artifact, FitFacts, Fittable, FitWork, remember
from bench.diffusion.noise import noise_stream
from bench.diffusion.prediction import Prediction
from bench.engine.batch import class_labels
from bench.engine.session import Session
from bench.errors import BenchError
from bench.events import Advance, Emit, silent
from bench.files import parse_json, read_file, replace_file
from bench.plan.declarations import planned_nfe
from bench.plan.fit_request import PlannedFit
from bench.plan.source_hash import core_hash
from bench.results.run_spec import RunSpec
from bench.types import JSONObject

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_STATE = 64_000_000
"""Greatest size of the file of a fit that was stopped, in bytes."""


@dataclasses.dataclass(frozen=True)
class Fit:
    """What a fit left.

    Args:
        file: The artifact's file.
        artifact: The artifact.
        new: Whether it was fitted now; False where the file held the same fit already.
        role: Role of the plugin.
    """

    file: Path
    artifact: Artifact
    new: bool
    role: str

    @property
    def facts(self) -> FitFacts:
        """What the file holds."""
        return self.artifact.facts

    def plain(self) -> JSONObject:
        """The fit as JSON data, as ``bench fit --json`` prints it."""
        own: JSONObject = {"file": str(self.file), "sha256": self.artifact.sha256, "new": self.new}
        return own | self.facts.model_dump(mode="json", exclude={"schema_version"})


def run_fit(planned: PlannedFit, file: Path, emit: Emit = silent, *, overwrite: bool = False) -> Fit:
    """Fit a plugin and write its artifact; a fit that was stopped goes on from what it kept.

    Args:
        planned: The plugin, and the run that it is fitted for.
        file: Where the artifact goes.
        emit: Receives progress.
        overwrite: Whether a file of another fit is replaced.

    Returns:
        The artifact, with what it cost.

    Raises:
        BenchError: The file is one of another fit, the fit is not possible, or what the plugin returns is no
            plain JSON data.
        StoreError: The file can't be written.
    """
    import torch

    plugin, role, spec = planned.plugin, planned.role, planned.spec
    partial = _Partial(file, _request(plugin, role, spec))
    present = _present(file, plugin, role, spec, overwrite=overwrite)
    if present is not None:
        remember(present)
        return Fit(file, present, new=False, role=role)
    device = torch.device(spec.device)
    model = Session(planned.registry).model(spec)

    def prediction(index: int) -> Prediction:
        classes = class_labels(spec, index, device)
        own = model.of_classes(classes) if spec.card.classes and classes is not None else model
        return Prediction(own, spec.sampler.sde)

    def prior(index: int) -> Tensor:
        shape = (spec.batch_samples(index), *model.shape)
        return noise_stream(spec.seed, index, "prior", device)(torch.empty(shape, device=device))

    sizes = tuple(spec.batch_samples(index) for index in range(spec.batch_count))
    with (
        arithmetic(device, tf32=spec.precision == "tf32"),
        torch.no_grad(),
        counted_evaluations() as evaluations,
    ):
        sde = spec.sampler.sde
        prediction(0).denoised(prior(0) * sde.prior_std, sde.at(sde.end))
        evaluations.count = 0  # warming up is no part of the cost
        begin = time.perf_counter()
        cost = functools.partial(partial.cost, evaluations, lambda: time.perf_counter() - begin)
        work = FitWork(
            sampler=spec.sampler,
            sizes=sizes,
            prior=prior,
            prediction=prediction,
            advance=lambda done, total: emit(Advance(f"fitting {plugin.name}", done, total, "batches")),
            state=partial.state,
            save=lambda state: partial.save(state, *cost()),
        )
        values = plugin.fit(work)
        nfe, seconds = cost()
    sampler = spec.sampler
    part = sampler.solver or sampler.predictor
    grid = sampler.grid if role == "predictor" else None
    assert part is not None
    try:
        facts = FitFacts(
            role=role,
            plugin=plugin.name,
            parameters=_own_parameters(plugin),
            checkpoint=spec.card.name,
            checkpoint_sha256=spec.identity.checkpoint.sha256,
            convention=spec.identity.checkpoint.convention,
            sde=sampler.sde.name,
            sde_parameters=sampler.sde.values(),
            sampler=part.name,
            sampler_parameters=part.values(),
            grid=None if grid is None else grid.name,
            grid_parameters={} if grid is None else grid.values(),
            labels=spec.labels,
            precision=spec.precision,
            steps=sampler.steps,
            nfe=planned_nfe(spec.task, sampler),
            seed=spec.seed,
            samples=spec.samples,
            batch_size=spec.batch_size,
            fit_nfe=nfe,
            fit_seconds=seconds,
            values=_plain(plugin, values),
        )
        artifact = Artifact(facts.content())
    except ValueError as error:
        raise BenchError(f"{plugin.name}.fit returned what an artifact can't hold: {error}") from error
    replace_file(file, artifact.content)
    partial.remove()
    remember(artifact)
    return Fit(file, artifact, new=True, role=role)


def _own_parameters(plugin: Fittable) -> dict[str, JsonValue]:
    return {name: value for name, value in plugin.values().items() if name != "artifact"}


def _plain(plugin: Fittable, values: object) -> dict[str, JsonValue]:
    """The values as strict JSON data."""
    if not isinstance(values, Mapping):
        raise BenchError(f"{plugin.name}.fit returned {type(values).__name__}, not values by name")
    try:
        plain: dict[str, JsonValue] = json.loads(json.dumps(dict(values), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise BenchError(f"{plugin.name}.fit returned what JSON can't hold: {error}") from error
    return plain


def _request(plugin: Fittable, role: str, spec: RunSpec) -> str:
    """Hash of all that decides what a fit finds."""
    part = spec.sampler.solver or spec.sampler.predictor
    assert part is not None
    plain = [role, plugin.name, _own_parameters(plugin), part.name, part.values(), spec.key, core_hash()]
    text = json.dumps([*plain, spec.samples, spec.sampler.steps], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _present(file: Path, plugin: Fittable, role: str, spec: RunSpec, *, overwrite: bool) -> Artifact | None:
    """The artifact that is in the file already, if it is the same fit; `BenchError` for another file."""
    if overwrite or not file.exists():
        return None
    remedy = f"give another file to -o, or --overwrite: {file} exists"
    try:
        artifact = Artifact.read(str(file))
    except BenchError as error:
        raise BenchError(f"{remedy}, and is no artifact of a fit") from error
    facts, sampler = artifact.facts, spec.sampler
    part = sampler.solver or sampler.predictor
    grid = sampler.grid if role == "predictor" else None
    assert part is not None
    same: list[tuple[str, object, object]] = [
        ("role", facts.role, role),
        ("plugin", facts.plugin, plugin.name),
        ("parameters", facts.parameters, _own_parameters(plugin)),
        ("checkpoint", facts.checkpoint, spec.card.name),
        ("checkpoint's files", facts.checkpoint_sha256, spec.identity.checkpoint.sha256),
        ("SDE", [facts.sde, facts.sde_parameters], [sampler.sde.name, sampler.sde.values()]),
        ("sampler", [facts.sampler, facts.sampler_parameters], [part.name, part.values()]),
        (
            "grid",
            [facts.grid, facts.grid_parameters],
            [None, {}] if grid is None else [grid.name, grid.values()],
        ),
        ("convention", facts.convention, spec.identity.checkpoint.convention),
        ("labels", facts.labels, spec.labels),
        ("precision", facts.precision, spec.precision),
        ("steps", facts.steps, sampler.steps),
        ("seed", facts.seed, spec.seed),
        ("number of samples", facts.samples, spec.samples),
        ("batch size", facts.batch_size, spec.batch_size),
    ]
    for what, own, other in same:
        if own != other:
            raise BenchError(f"{remedy}, with another {what}")
    return artifact


def _sha256(content: Mapping[str, object]) -> str:
    """Hash of plain data, the same before they are written and after they are read."""
    plain = json.loads(json.dumps(content))  # keys that are numbers become text, which sorts otherwise
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


class _Partial:
    """The file beside an artifact that a fit keeps while it is under way.

    Args:
        file: The artifact's file.
        request: Hash of what decides the fit: a file of another fit is not used.
    """

    def __init__(self, file: Path, request: str) -> None:
        self.path = file.with_name(f".{file.name}.fit")
        self.request = request
        self.state: dict[str, JsonValue] | None = None
        self.nfe = self.seconds = 0.0
        try:
            content: Any = parse_json(read_file(self.path, LARGEST_STATE))
            own = content["request"] == request
        except (OSError, ValueError, KeyError, TypeError):
            return
        if not own:
            return
        try:
            if content.pop("sha256") != _sha256(content):
                raise ValueError
            self.state = dict(content["state"])
            self.nfe, self.seconds = float(content["nfe"]), float(content["seconds"])
        except (ValueError, KeyError, TypeError) as error:
            raise BenchError(
                f"{self.path}, which the stopped fit left, is damaged: remove it, and the fit begins anew"
            ) from error

    def cost(self, evaluations: Evaluations, seconds: Callable[[], float]) -> tuple[float, float]:
        """Evaluations and seconds so far, those before a stop included."""
        return self.nfe + evaluations.count, self.seconds + seconds()

    def save(self, state: Mapping[str, object], nfe: float, seconds: float) -> None:
        """Replace the file."""
        content = {"request": self.request, "state": dict(state), "nfe": nfe, "seconds": seconds}
        replace_file(self.path, json.dumps(content | {"sha256": _sha256(content)}).encode())

    def remove(self) -> None:
        """Remove the file once the artifact is written."""
        self.path.unlink(missing_ok=True)
