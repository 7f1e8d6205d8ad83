"""A planned suite as typed plain data: the place of each run in the table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator

from bench.files import safe_name
from bench.params import slug
from bench.results.identity import Natural, Positive, SafeName, Samples, Stored, Strict
from bench.results.run_spec import IdentifiedRun, RunSpec, UnplannedRun

if TYPE_CHECKING:
    from bench.plan.suites import Place, Suite
    from bench.types import JSONObject


RESERVED = ("samples", "records", "logs", "images", "suites", "runs.csv")
"""Names of a store's own folders and files; a suite's tables are written beside them."""


def suite_name(name: str) -> str:
    """The name itself; `ValueError` of one line where a suite can't have it."""
    # some file systems make no difference between capitals and small letters
    if name.lower() in RESERVED:
        raise ValueError(f"a suite can't be called {name}: take none of {', '.join(RESERVED)}")
    return safe_name(name)


class PlannedRun(Strict):
    """One run of a suite and its place in the table.

    ``x`` is the abscissa on a curve. ``sampler`` is a digest of everything that decides the numbers except
    the seed: runs of equal ``sampler`` at one place are repeats of one cell. ``unfit`` are labels of metrics
    that have no value for the run's sampler.
    """

    sde: str
    row: str
    column: str
    x: float | None = None
    seed: Natural
    title: str
    fingerprint: SafeName
    sampler: str
    unfit: tuple[SafeName, ...] = ()

    @property
    def place(self) -> tuple[str, str, str]:
        """SDE, row and column: the place of the run's cell in the table."""
        return self.sde, self.row, self.column


class SuitePlan(Stored):
    """A suite as planned on one checkpoint: one table.

    ``name`` distinguishes the tables of a suite. It holds the checkpoint, the number of samples, and the
    settings that differ from their defaults. ``samples`` is the number per run; ``metrics`` are labels;
    ``published_of`` as in `bench.plan.suites.Suite`.
    """

    schema_version: Literal[1] = 1
    suite: Annotated[str, AfterValidator(suite_name)]
    name: SafeName
    about: str = ""
    layout: Literal["grid", "curve", "list"] = "list"
    x: SafeName | None = None
    checkpoint: SafeName
    samples: Samples
    batch_size: Positive
    steps_scale: float = 1.0
    precision: str
    metrics: tuple[SafeName, ...]
    published_of: tuple[str, ...] = ()
    cells: tuple[PlannedRun, ...]

    @classmethod
    def in_current_form(cls, plain: JSONObject) -> JSONObject:
        """Without the published figures by place of earlier plans: records say which figures are theirs."""
        return {key: value for key, value in plain.items() if key != "published"}

    def merged_with(self, previous: SuitePlan) -> tuple[SuitePlan, int]:
        """This plan with the other seeds and metrics of an earlier plan of the same name.

        Returns:
            The merged plan, with runs ordered by seed, and the number of dropped runs: this plan has other
            settings or newer code at their places.
        """
        fingerprints = {run.fingerprint for run in self.cells}
        samplers = {run.place: run.sampler for run in self.cells}
        others = [run for run in previous.cells if run.fingerprint not in fingerprints]
        repeats = [run for run in others if run.sampler == samplers.get(run.place)]
        unfit = {run.fingerprint: run.unfit for run in previous.cells}
        cells = [
            run.model_copy(
                update={"unfit": tuple(dict.fromkeys([*run.unfit, *unfit.get(run.fingerprint, ())]))}
            )
            for run in self.cells
        ]
        # a metric that only dropped runs have would be a column of missing values
        complete = len(repeats) + len(fingerprints) >= len(previous.cells)
        metrics = [*self.metrics, *(previous.metrics if complete else ())]
        update = {
            "cells": tuple(sorted([*cells, *repeats], key=lambda run: run.seed)),
            "metrics": tuple(dict.fromkeys(metrics)),
        }
        return self.model_copy(update=update), len(others) - len(repeats)


def suite_plans(
    name: str, suite: Suite, planned: Sequence[tuple[Place, RunSpec | UnplannedRun]], scale: float
) -> list[SuitePlan]:
    """One plan per checkpoint of a planned suite, whose step counts were multiplied by ``scale``.

    A run that could not be planned has a place too: its record states the reason. A checkpoint that has only
    such runs has no plan.
    """
    by_checkpoint: dict[str, list[tuple[Place, RunSpec | UnplannedRun]]] = {}
    for place, run in planned:
        by_checkpoint.setdefault(run.identity.checkpoint.name, []).append((place, run))
    plans = []
    for checkpoint, runs in by_checkpoint.items():
        specs = [run for _, run in runs if isinstance(run, RunSpec)]
        if not specs:
            continue
        first = specs[0]
        metrics = tuple(dict.fromkeys(metric.label for spec in specs for metric in spec.metrics))
        parts = [checkpoint, str(first.samples)]
        parts += [slug(Path(first.data.name).stem)[:60]] if first.data is not None else []
        parts += [f"steps-x{scale:g}"] if scale != 1 else []
        parts += [first.precision] if first.precision != "fp32" else []
        parts += ["compiled"] if first.compile else []
        plans.append(
            SuitePlan(
                suite=name,
                name="-".join(parts),
                about=suite.about,
                layout=suite.layout or "list",
                x=suite.x,
                checkpoint=checkpoint,
                samples=first.samples,
                batch_size=first.batch_size,
                steps_scale=scale,
                precision=first.precision,
                metrics=metrics,
                published_of=tuple(suite.published_of),
                cells=tuple(_planned_run(place, spec) for place, spec in runs),
            )
        )
    return plans


def _planned_run(place: Place, spec: IdentifiedRun) -> PlannedRun:
    return PlannedRun(
        sde=place.sde,
        row=place.row,
        column=place.column,
        x=place.x,
        seed=spec.seed,
        title=spec.title,
        fingerprint=spec.fingerprint,
        sampler=spec.sampler_digest,
        unfit=spec.unfit if isinstance(spec, RunSpec) else (),
    )
