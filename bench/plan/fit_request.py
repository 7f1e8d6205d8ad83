"""From the settings of a fit to the run that a plugin is fitted for."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.diffusion.fitting import Fittable
from bench.diffusion.grid import Grid
from bench.diffusion.roles import Predictor, Solver
from bench.diffusion.sampler import default_denoise
from bench.errors import BenchError, did_you_mean
from bench.events import Emit, silent
from bench.files import user_path
from bench.plan.contexts import MetricContexts
from bench.plan.declarations import planned_nfe
from bench.plan.objects import Selection, register_objects
from bench.plan.request import Request
from bench.plan.settings import NO_METRIC, NO_PROFILE, results_folder
from bench.plugins.registry import Registry
from bench.results.run_spec import RunSpec

if TYPE_CHECKING:
    from bench.checkpoints.cards import Card

FIT_SEED = 1000
"""Seed of the samples of a fit where the user gives none: runs begin at 0."""
PLACEHOLDER = {"grid": "time_uniform", "predictor": "ddim", "solver": "rk45"}
"""What stands for a plugin of each role that can be fitted while its run is planned."""
_BASES: dict[str, type] = {"grid": Grid, "predictor": Predictor, "solver": Solver}


@dataclasses.dataclass(frozen=True)
class PlannedFit:
    """A plugin, its role, the run that it is fitted for, and where the run's plugins are looked up."""

    plugin: Fittable
    role: str
    spec: RunSpec
    registry: Registry


@dataclasses.dataclass(frozen=True)
class FitRequest:
    """The settings of a fit, as `bench.fit` describes them.

    Args:
        plugin: Name of the plugin, or an instance.
        checkpoint: Name of the checkpoint, or a network in memory.
        predictor: The predictor that a grid is fitted for; None for the default.
        grid: The grid that a predictor is fitted on; None for the default.
        steps: Number of steps.
        nfe: In place of the number of steps: network calls per sample.
        parameters: Parameters by role and name.
        settings: Further settings of the run: SDE, samples, batch size, seed, classes, device and precision.
    """

    plugin: str | Fittable
    checkpoint: str | Card | None = None
    predictor: Selection | None = None
    grid: Selection | None = None
    steps: int | None = None
    nfe: int | None = None
    parameters: Mapping[str, dict[str, object]] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def plan(self, registry: Registry, emit: Emit = silent) -> PlannedFit:
        """The run that the plugin is fitted for, checked.

        Args:
            registry: Plugins by name.
            emit: Receives progress of hashing.

        Raises:
            BenchError: No plugin that can be fitted has the name, or the settings contradict each other.
        """
        parameters = {role: dict(own) for role, own in self.parameters.items()}
        role, plugin = _fittable(self.plugin, parameters, registry)
        self._check(role, plugin.name)
        chosen: dict[str, object] = {"checkpoint": self.checkpoint}
        if role == "solver":
            chosen["solver"] = PLACEHOLDER["solver"]
        else:
            chosen["predictor"] = self.predictor or PLACEHOLDER["predictor"]
            chosen["grid"] = PLACEHOLDER["grid"] if role == "grid" else self.grid or "polynomial"
        settings = dict(self.settings)
        if "sde" in settings:
            chosen["sde"] = settings.pop("sde")
        registry, names, objects = register_objects(registry, chosen)
        values = settings | names | {"metric": [NO_METRIC], "parameters": parameters}
        if role != "solver":
            values["steps"] = self.steps or self.nfe
        contexts = MetricContexts(registry, results_folder(), emit)
        run, *others = Request(_with_lists(values), NO_PROFILE).plan(contexts, objects).runs
        if others:
            raise BenchError("a fit is for one run: give one SDE and one predictor")
        if not isinstance(run, RunSpec):
            raise BenchError(run.reason)
        own: dict[str, Any] = {} if role == "grid" else {role: plugin}
        if isinstance(plugin, Solver):
            own["denoise"] = default_denoise(plugin)
        sampler = dataclasses.replace(run.sampler, **own)
        if self.nfe is not None:
            sampler = dataclasses.replace(
                sampler, steps=_steps_of_nfe(dataclasses.replace(run, sampler=sampler), self.nfe)
            )
        return PlannedFit(plugin, role, dataclasses.replace(run, sampler=sampler), registry)

    def _check(self, role: str, name: str) -> None:
        """`BenchError` for settings that have no meaning for a plugin of the role."""
        if self.checkpoint is None:
            raise BenchError(
                "a fit is to one checkpoint: give --checkpoint, such as --checkpoint cifar10-tiny"
            )
        if role != "grid" and self.predictor is not None:
            raise BenchError(f"{name} is a {role} itself: leave out --predictor")
        if role != "predictor" and self.grid is not None:
            raise BenchError(f"{name} is a {role}, which takes no grid: leave out --grid")
        if role == "solver" and (self.steps is not None or self.nfe is not None):
            raise BenchError(f"{name} is a solver, which makes its own steps: leave out --steps and --nfe")
        if role != "solver" and (self.steps is None) == (self.nfe is None):
            raise BenchError("a fit is for one number of network calls: give --nfe, or --steps")
        for flag, number in (("--steps", self.steps), ("--nfe", self.nfe)):
            if number is not None and not 1 <= number <= 1000:
                raise BenchError(f"{flag} of a fit must lie between 1 and 1000, not {number}")


def _with_lists(values: Mapping[str, object]) -> dict[str, object]:
    lists = ("checkpoint", "sde", "predictor", "solver")
    return {
        key: [value] if key in lists and isinstance(value, str) else value for key, value in values.items()
    }


def _fittable(
    plugin: str | Fittable, parameters: dict[str, dict[str, object]], registry: Registry
) -> tuple[str, Fittable]:
    """Role and instance of the plugin that is fitted; its own parameters are taken out of ``parameters``."""
    if isinstance(plugin, Fittable):
        role = next((role for role, base in _BASES.items() if isinstance(plugin, base)), None)
        if role is None:
            raise BenchError(f"{plugin.name} is no grid, predictor or solver: there is nothing to fit")
        own = plugin.values() | parameters.pop(role, {})
        return role, _without_artifact(plugin.build(own))
    entries = {
        (role, entry.name): entry
        for role in _BASES
        for entry in registry.of_kind(f"{role}s")
        if issubclass(entry.thing, Fittable)
    }
    roles = [role for role, name in entries if name == plugin]
    if not roles:
        known = sorted({name for _, name in entries})
        kinds = [f"{role}s" for role in _BASES if (f"{role}s", plugin) in registry.entries]
        if kinds:
            raise BenchError(f"the {kinds[0][:-1]} {plugin} has no fit: these have one: {', '.join(known)}")
        raise BenchError(f"nothing that can be fitted is called {plugin!r}{did_you_mean(plugin, known)}")
    role = roles[0]
    built: Fittable = registry.build(f"{role}s", plugin, parameters.pop(role, {}))
    return role, _without_artifact(built)


def _without_artifact(plugin: Fittable) -> Fittable:
    if plugin.artifact is not None:
        raise BenchError(f"a fit makes the artifact of {plugin.name}: leave out the parameter artifact")
    return plugin


def _steps_of_nfe(spec: RunSpec, nfe: int) -> int:
    """The number of steps at which a sampler makes so many network calls per sample."""
    calls: list[int] = []
    for steps in range(1, nfe + 1):
        own = planned_nfe(spec.task, dataclasses.replace(spec.sampler, steps=steps))
        if own is None:
            raise BenchError("this sampler does not say how many network calls it makes: give --steps")
        if own == nfe:
            return steps
        calls.append(own)
    near = sorted(sorted(set(calls), key=lambda own: abs(own - nfe))[:2])
    choice = " or ".join(map(str, near))
    raise BenchError(f"this sampler makes {nfe} network calls at no number of steps: give --nfe {choice}")


def fit_target(to: str | Path) -> Path:
    """The file of an artifact, which can be written; `BenchError` before anything is fitted if it can't.

    Args:
        to: The path; it ends in .json.
    """
    if str(to) == "":
        raise BenchError("an artifact needs a file: give -o FILE.json")
    path = user_path(to)
    if path.suffix != ".json":
        raise BenchError(f"{path} must end in .json: an artifact is a JSON file")
    if path.is_dir():
        raise BenchError(f"{path} is a folder: give a file")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise BenchError(f"there is no folder {folder}: make it, or give another file to -o")
    if not os.access(folder, os.W_OK):
        raise BenchError(f"{path} can't be written: {folder} takes no files")
    return path
