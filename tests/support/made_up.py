"""Made-up plans and records of a suite: plain numbers that follow from a cell's place alone."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bench.plan.settings import suites
from bench.plan.suites import Suite, expand, resolve_suite
from bench.reporting.published_figures import PublishedFigure
from bench.reporting.table import Cell, Table
from bench.results.identity import CheckpointIdentity, Identity, PluginIdentity
from bench.results.manifest import PlannedRun, SuitePlan
from bench.results.record import Cost, MetricRecord, Provenance, Record
from bench.results.store import Store
from tests.support.paths import TESTS_PATH
from tests.support.plugins import installed

METRIC = "fd_dct"


def suite_plan(suite: str, seeds: int = 2, scale: float = 1.0) -> SuitePlan:
    """What a run of the shipped suite would leave as its plan."""
    shipped: Suite = resolve_suite(suite, suites(TESTS_PATH))
    places = [place for place, _ in expand(suite, shipped)]
    return SuitePlan(
        suite=suite,
        name="made-up",
        about=shipped.about,
        layout=shipped.layout or "list",
        x=shipped.x,
        checkpoint="gaussian-cifar10",
        samples=100,
        batch_size=50,
        steps_scale=scale,
        precision="fp32",
        metrics=(METRIC,),
        published_of=tuple(shipped.published_of),
        cells=tuple(
            PlannedRun(
                sde=place.sde,
                row=place.row,
                column=place.column,
                x=place.x,
                seed=seed,
                title=f"{place.sde} {place.row} {place.column}",
                fingerprint=f"{seed:02x}{i:014x}",
                sampler=f"{i:016x}",
            )
            for seed in range(seeds)
            for i, place in enumerate(places)
        ),
    )


def value(index: int, seed: int) -> float:
    """A cell's value: spread over two decades, a per cent apart between seeds."""
    return round(0.1 * math.exp(0.37 * (index * 7 % 13)) * (1 + 0.01 * seed), 6)


def plugin(name: str, **parameters: Any) -> PluginIdentity:
    """A plugin's identity."""
    return PluginIdentity(
        name=name, parameters=parameters, distribution="sampler-bench", version="0.1.0", code=""
    )


def identity(seed: int = 0, index: int = 0, **changes: Any) -> Identity:
    """An identity whose cell depends on ``index``."""
    checkpoint = CheckpointIdentity(
        name="gaussian-cifar10",
        format="exact",
        shape=(3, 32, 32),
        data_range=(0.0, 1.0),
        sha256="",
        convention="exact",
    )
    fields: dict[str, Any] = {
        "checkpoint": checkpoint,
        "task": plugin("generate"),
        "sde": plugin("vp"),
        "predictor": plugin("made_up", index=index),
        "steps": 10,
        "denoise": "mean",
        "batch_size": 50,
        "seed": seed,
        "precision": "fp32",
        "compile": False,
        "device": "cpu AVX2",
        "torch": "2",
        "code": "",
    }
    return Identity(**(fields | changes))


def metric_record(index: int = 0, seed: int = 0, **changes: Any) -> MetricRecord:
    """The value of the cell at ``index`` of its suite."""
    fields: dict[str, Any] = {
        "metric": METRIC,
        "value": value(index, seed),
        "n": 100,
        "error": 0.01,
        "value_kind": "distance",
        "exact": value(index, 0),
    }
    return MetricRecord(**(fields | changes))


def record(index: int = 0, seed: int = 0, **changes: Any) -> Record:
    """A finished record of the cell at ``index`` of its suite."""
    seconds = 2.0 + seed
    fields: dict[str, Any] = {
        "fingerprint": f"{seed:02x}{index:014x}",
        "key": f"{seed:02x}{index:014x}",
        "title": f"cell {index}",
        "status": "finished",
        "created": "2026-01-01T00:00:00+00:00",
        "samples": 100,
        "outputs": ("images",),
        "identity": identity(seed, index),
        "provenance": Provenance(
            bench="0.1.0",
            torch="2",
            numpy="2",
            python="3",
            platform="",
            processor="",
            cpu="Made-Up 9000",
            cores=4,
            host="0123abcd",
            commit="c0ffee",
            dirty=False,
        ),
        "metrics": {METRIC: metric_record(index, seed)},
        "cost": Cost(
            nfe=10 + index,
            seconds=seconds,
            samples_per_second=100 / seconds,
            network_share=0.5,
            warm_seconds=0.0,
            peak_host_bytes=300_000_000 + index,
            peak_gpu_bytes=2_000_000_000 + seed,
        ),
    }
    return Record(**(fields | changes))


def failed_record(index: int = 0, seed: int = 0, **changes: Any) -> Record:
    """A failed record of the cell at ``index`` of its suite."""
    failure = {"status": "failed", "reason": "ValueError: it broke | here", "log": "nowhere"}
    return record(index, seed, **({"metrics": {}, "cost": None} | failure | changes))


def put(store: Store, made_up: Record) -> None:
    """Put a record into a store, without the lock of `Store.write_record`."""
    store.record_path(made_up.fingerprint).write_bytes(made_up.to_json())


def indices(plan: SuitePlan) -> list[int]:
    """The index of each planned run's cell in its suite."""
    cells = len({run.place for run in plan.cells})
    return [place % cells for place in range(len(plan.cells))]


def sampled(plan: SuitePlan) -> list[dict[str, Any]]:
    """Of each cell of a shipped suite, the fields of an identity that its run has, and its ``nfe``."""
    runs = []
    for _, chosen in expand(plan.suite, resolve_suite(plan.suite, suites(TESTS_PATH))):
        values, steps = chosen.get("parameters", {}), chosen.get("steps", 0)
        sde = installed().build("sdes", chosen["sde"], {})
        run: dict[str, Any] = {"sde": plugin(chosen["sde"], **sde.values()), "predictor": None, "nfe": 0}
        run |= {"steps": steps or None, "label_scales": chosen.get("label_scales")}
        names: dict[str, Any] = {"grid": "uniform", **chosen} if steps else {**chosen}
        for role in ("predictor", "corrector", "solver", "grid"):
            if role not in names:
                continue
            part = installed().build(f"{role}s", names[role], values.get(role, {}))
            if role in ("predictor", "corrector"):
                part = part.resolve(sde)
                if role == "corrector":
                    run["nfe"] += part.calls * steps
                elif not part.idle:
                    run["nfe"] += part.nfe([None] * steps)
            run[role] = plugin(names[role], **part.values())
        runs.append(run | {"order": "corrector_first"})
    return runs


def fill(
    store: Store,
    plan: SuitePlan,
    missing: Collection[tuple[int, int]] = (),
    failed: Collection[tuple[int, int]] = (),
    runs: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Put the plan and its records into a store; ``missing`` and ``failed`` name runs by (index, seed).

    ``runs`` are fields of the identity of each cell's run, as `sampled` gives them, with its ``nfe``.
    """
    store.write_suite(plan)
    for index, run in zip(indices(plan), plan.cells, strict=True):
        if (index, run.seed) in missing:
            continue
        make = failed_record if (index, run.seed) in failed else record
        changes: dict[str, Any] = {}
        if runs:
            fields = dict(runs[index])
            changes["planned_nfe"] = fields.pop("nfe")
            changes["identity"] = identity(run.seed, index, **fields)
        made_up = make(index, run.seed, title=run.title, fingerprint=run.fingerprint, **changes)
        if runs and made_up.cost is not None:
            cost = made_up.cost.model_copy(update={"nfe": changes["planned_nfe"]})
            made_up = made_up.model_copy(update={"cost": cost})
        put(store, made_up)


def figure(**changes: Any) -> PublishedFigure:
    """A published figure of heun on EDM's network, whose whole key is stated."""
    fields: dict[str, Any] = {
        "checkpoint": "edm-cifar10-uncond-vp",
        "network": "EDM",
        "dataset": "cifar10-train",
        "metric": "fid",
        "preset": "edm",
        "value": 2.5,
        "std": None,
        "sde": "",
        "sampler": "heun",
        "parameters": {"grid.rho": 7.0},
        "grid": "polynomial",
        "nfe": 19,
        "guidance": "none",
        "method": "Heun",
        "kind": "training-free",
        "source": "a paper",
        "table": "Table 1",
        "year": 2022,
        "read_from": "paper text",
    }
    return PublishedFigure(**(fields | changes))


def cell(**changes: Any) -> Cell:
    """A finished cell of two seeds."""
    fields: dict[str, Any] = {
        "sde": "ve",
        "row": "r",
        "column": "c",
        "x": None,
        "status": "finished",
        "value": 1.0,
        "std": 0.1,
        "minimum": None,
        "seeds": 2,
        "planned": 2,
        "error": None,
        "exact": None,
        "limit": None,
        "floor": None,
        "declared_order": None,
        "published": (),
        "published_elsewhere": (),
        "nfe": 10.0,
        "nfe_max": None,
        "pace": 50.0,
        "pace_std": None,
        "network_share": 0.5,
        "fit_nfe": None,
        "fit_seconds": None,
        "peak_host_bytes": 300_000_000,
        "peak_gpu_bytes": None,
        "batch_size": 50,
        "device": "cpu AVX2",
    }
    return Cell(**(fields | changes))


def table(*cells: Cell, **changes: Any) -> Table:
    """A table of these cells."""
    fields: dict[str, Any] = {
        "suite": "mine",
        "name": "made-up",
        "metric": METRIC,
        "checkpoint": "gaussian-cifar10",
        "samples": 100,
        "steps_scale": 1.0,
        "precision": "fp32",
        "layout": "grid",
        "x": None,
        "lower_is_better": True,
        "axis": "log",
        "cells": cells,
        "notes": (),
        "excerpt": cells,
    }
    return Table(**(fields | changes))
