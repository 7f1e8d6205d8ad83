"""Plans of the installed plugins, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.plan.contexts import MetricContexts
from bench.plan.planning import Planner
from bench.plan.settings import Settings
from bench.plugins.registry import Registry
from bench.results.run_spec import RunSpec, UnplannedRun
from tests.support.plugins import installed

QUICK: dict[str, Any] = {
    "checkpoint": ["gaussian-cifar10"],
    "steps": 30,
    "samples": 16,
    "batch_size": 8,
    "device": "cpu",
}
"""Settings of a run of two batches that takes no time."""


def contexts(registry: Registry | None = None) -> MetricContexts:
    """What metrics may use; fingerprints are of the results folder of the current folder."""
    return MetricContexts(registry or installed(), Path("results"))


def plan_all(settings: Settings, registry: Registry | None = None) -> list[RunSpec | UnplannedRun]:
    """Every run of the settings, those that a plugin's error stops among them."""
    return Planner(contexts(registry)).runs(settings)


def plan(settings: Settings, registry: Registry | None = None) -> list[RunSpec]:
    """The runs of the settings, all of which must be able to start."""
    runs = []
    for run in plan_all(settings, registry):
        assert isinstance(run, RunSpec), run
        runs.append(run)
    return runs


def quick_spec(registry: Registry | None = None, **changes: Any) -> RunSpec:
    """The only run of `QUICK` with some settings changed."""
    (spec,) = plan(Settings.model_validate(QUICK | changes), registry)
    return spec
