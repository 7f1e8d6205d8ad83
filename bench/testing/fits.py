"""Whether a plugin can be fitted: its artifact reads back, is the same each time, and serves a run."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from bench.diffusion.counting import counted_evaluations
from bench.diffusion.fitting import Artifact, Fittable
from bench.diffusion.prediction import Prediction
from bench.diffusion.roles import Solver
from bench.engine.fitting import run_fit
from bench.engine.session import Session
from bench.plan.artifacts import check_artifacts
from bench.plan.declarations import planned_nfe
from bench.plan.fit_request import FIT_SEED, FitRequest, PlannedFit
from bench.plugins.registry import Registry
from bench.testing.duties import parameters
from bench.testing.probe import CountedNoise, prior
from bench.testing.report import Finding, guard, verdict

CHECKPOINT = "eight-gaussians"
"""The exact checkpoint that is fitted to."""
STEPS = 5
"""Number of steps that it is fitted for; a solver makes its own."""
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
        plugin: The plugin: a grid, a predictor or a solver.
        registry: Plugins by name.
    """
    yield from guard("parameters", lambda: parameters(plugin))
    yield from guard("fit", lambda: fits(plugin, registry))


def fits(plugin: Fittable, registry: Registry) -> Iterator[Finding]:
    """Two fits of the same samples come to the same values, which a run can use."""
    steps = None if isinstance(plugin, Solver) else STEPS
    planned = FitRequest(plugin, checkpoint=CHECKPOINT, steps=steps, settings=SETTINGS).plan(registry)
    with tempfile.TemporaryDirectory() as folder:
        first, second = (run_fit(planned, Path(folder) / f"{name}.json") for name in "ab")
    facts = first.facts
    span = "" if steps is None else f" for {steps} steps"
    required = f"an artifact{span} on {CHECKPOINT}, from network calls"
    calls = facts.fit_nfe / facts.samples
    yield verdict("fit", facts.fit_nfe > 0, f"{calls:g} network calls per sample", required)
    same = facts.values == second.facts.values
    yield verdict("same each time", same, "the same values" if same else "other values", "the same values")
    yield from guard("use", lambda: use(planned, first.artifact))


def use(planned: PlannedFit, artifact: Artifact) -> Iterator[Finding]:
    """A run of the sampler takes the artifact: it has the declared calls, and one result of one seed."""
    spec = planned.spec
    own: dict[str, Any] = {planned.role: dataclasses.replace(planned.plugin, artifact=artifact)}
    sampler = dataclasses.replace(spec.sampler, **own)
    check_artifacts(sampler, spec.identity.checkpoint, spec.seed + 1)
    model = Session(planned.registry).model(spec)
    start, declared = prior(8, torch.float32, shape=model.shape), planned_nfe(spec.task, sampler)
    results, calls = [], 0.0
    for _ in range(2):
        with torch.no_grad(), counted_evaluations() as evaluations:
            p = Prediction(model, sampler.sde)
            results.append(sampler.run(start.clone(), p, CountedNoise(), CountedNoise(1)))
        calls = evaluations.count / len(start)
    fault = ""
    if not bool(results[0].isfinite().all()):
        fault = "samples that are not finite"
    elif not torch.equal(*results):
        fault = "other samples the second time"
    elif declared is not None and calls != declared:
        fault = f"{calls:g} network calls per sample, {declared} declared"
    measured = fault or f"a run takes it, with {calls:g} network calls per sample"
    yield verdict(
        "use", not fault, measured, "a run of the same sampler: its calls, the same samples each time"
    )
