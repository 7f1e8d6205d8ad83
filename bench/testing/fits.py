"""Whether a plugin can be fitted: its artifact reads back, is the same each time, and serves a run."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.diffusion.fitting import Fittable
from bench.diffusion.grid import Grid, grid_times
from bench.engine.fitting import run_fit
from bench.errors import BenchError
from bench.plan.fit_request import FIT_SEED, FitRequest
from bench.plugins.registry import Registry
from bench.testing.report import Finding, guard, verdict

CHECKPOINT = "eight-gaussians"
"""The exact checkpoint that is fitted to."""
STEPS = 5
"""Number of steps that it is fitted for."""
SETTINGS: dict[str, object] = {
    "sde": "vp",
    "samples": 16,
    "batch_size": 8,
    "seed": FIT_SEED,
    "device": "cpu",
}
"""Further settings of the fit."""


def check_fit(plugin: Fittable, registry: Registry) -> Iterator[Finding]:
    """The checks of a plugin without an artifact.

    Args:
        plugin: The plugin.
        registry: Plugins by name.
    """
    yield from guard("fit", lambda: fits(plugin, registry))


def fits(plugin: Fittable, registry: Registry) -> Iterator[Finding]:
    """Two fits of the same samples come to the same values, which a run can use."""
    request = FitRequest(plugin, checkpoint=CHECKPOINT, steps=STEPS, settings=SETTINGS)
    planned = request.plan(registry)
    with tempfile.TemporaryDirectory() as folder:
        first, second = (run_fit(planned, Path(folder) / f"{name}.json") for name in "ab")
    facts = first.facts
    required = f"an artifact for {STEPS} steps on {CHECKPOINT}, from network calls"
    calls = facts.fit_nfe / facts.samples
    yield verdict("fit", facts.fit_nfe > 0, f"{calls:g} network calls per sample", required)
    same = facts.values == second.facts.values
    yield verdict("same each time", same, "the same values" if same else "other values", "the same values")
    try:
        own = dataclasses.replace(plugin, artifact=first.artifact)
        if isinstance(own, Grid):
            grid_times(own, planned.spec.sampler.sde, STEPS)  # refuses wrong times
        fault = ""
    except BenchError as error:
        fault = f"{error}"
    yield verdict("use", not fault, fault or "a run takes it", "a run of the same sampler takes it")
