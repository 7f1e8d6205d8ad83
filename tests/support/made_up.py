"""Made-up records of a suite: plain numbers that follow from a cell's place alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from bench.plan.settings import suites
from bench.plan.suites import Suite, expand, resolved
from bench.results.manifest import read_published
from bench.results.store import Store
from tests.support.paths import TESTS_PATH

METRIC = "fd_dct"


def manifest(suite: str, seeds: int = 2, scale: float = 1.0) -> dict[str, Any]:
    """What a run of the shipped suite would leave as its plan."""
    chosen: Suite = resolved(suite, suites(TESTS_PATH))
    cells = [
        {
            "sde": place.sde,
            "row": place.row,
            "column": place.column,
            "x": place.x,
            "seed": seed,
            "title": f"{place.sde} {place.row} {place.column} · seed {seed}",
            "fingerprint": f"{seed:02x}{i:014x}",
        }
        for seed in range(seeds)
        for i, (place, _) in enumerate(expand(suite, chosen))
    ]
    return {
        "suite": suite,
        "name": "made-up",
        "about": chosen.about,
        "layout": chosen.layout,
        "x": chosen.x,
        "checkpoint": "gaussian-cifar10",
        "samples": 100,
        "batch_size": 50,
        "steps_scale": scale,
        "precision": "fp32",
        "metrics": [METRIC],
        "published": read_published(Path(chosen.published)) if chosen.published else [],
        "cells": cells,
    }


def value(index: int, seed: int) -> float:
    """A cell's value: spread over two decades, a per cent apart between seeds."""
    return round(0.1 * math.exp(0.37 * (index * 7 % 13)) * (1 + 0.01 * seed), 6)


def record(cell: dict[str, Any], index: int, **changes: Any) -> dict[str, Any]:
    """A finished record of the cell at ``index`` of its suite."""
    seed = cell["seed"]
    return {
        "fingerprint": cell["fingerprint"],
        "key": cell["fingerprint"],
        "title": cell["title"],
        "status": "finished",
        "created": "2026-01-01T00:00:00+00:00",
        "samples": 100,
        "identity": {"checkpoint": {"name": "gaussian-cifar10"}, "device": "cpu AVX2", "seed": seed},
        "provenance": {"bench": "0.1.0", "torch": "2", "commit": "c0ffee", "dirty": False},
        "metrics": {
            METRIC: {
                "value": value(index, seed),
                "n": 100,
                "error": 0.01,
                "note": "",
                "direction": "lower",
                "exact": value(index, 0),
            }
        },
        "cost": {
            "nfe": 10 + index,
            "seconds": 2.0 + seed,
            "samples_per_second": 100 / (2.0 + seed),
            "network_share": 0.5,
        },
    } | changes


def fill(store: Store, plan: dict[str, Any], **kept: Any) -> None:
    """Put the plan and its records into a store; ``missing`` and ``failed`` name cells by (index, seed)."""
    store.write_suite(plan)
    for place, cell in enumerate(plan["cells"]):
        index = place % (len(plan["cells"]) // (1 + plan["cells"][-1]["seed"]))
        where = (index, cell["seed"])
        if where in kept.get("missing", ()):
            continue
        made = record(cell, index)
        if where in kept.get("failed", ()):
            made = {k: v for k, v in made.items() if k not in ("metrics", "cost")}
            made |= {"status": "failed", "reason": "ValueError: it broke | here", "log": "nowhere"}
        path = store.record_path(cell["fingerprint"])
        path.write_text(json.dumps(made))
