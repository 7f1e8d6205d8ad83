"""A planned suite as plain data: which cell stands where, so that tables need records alone."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.params import slug

if TYPE_CHECKING:
    from bench.plan.suites import Place, Suite
    from bench.results.run_spec import RunSpec


PUBLISHED = ("sde", "row", "column", "quantity", "value", "std", "source")


def manifests(
    name: str, suite: Suite, planned: Sequence[tuple[Place, RunSpec]], scale: float
) -> list[dict[str, Any]]:
    """One manifest per checkpoint of a planned suite.

    Its ``name`` tells the tables of a suite apart: checkpoint, samples, and what was not left as it is.
    """
    published = read_published(Path(suite.published)) if suite.published else []
    found: dict[str, dict[str, Any]] = {}
    for place, cell in planned:
        parts = [cell.card.name, str(cell.samples)]
        parts += [slug(Path(cell.data.name).stem)] if cell.data is not None else []
        parts += [f"steps-x{scale:g}"] if scale != 1 else []
        parts += [cell.precision] if cell.precision != "fp32" else []
        parts += ["compiled"] if cell.compile else []
        manifest = found.setdefault(
            cell.card.name,
            {
                "suite": name,
                "name": "-".join(parts),
                "about": suite.about,
                "layout": suite.layout or "list",
                "x": suite.x,
                "checkpoint": cell.card.name,
                "samples": cell.samples,
                "batch_size": cell.batch_size,
                "steps_scale": scale,
                "precision": cell.precision,
                "metrics": [metric.label for metric in cell.metrics],
                "published": published,
                "cells": [],
            },
        )
        manifest["cells"].append(
            {
                "sde": place.sde,
                "row": place.row,
                "column": place.column,
                "x": place.x,
                "seed": cell.seed,
                "title": cell.title,
                "fingerprint": cell.fingerprint,
                "sampler": cell.sampler_digest,
            }
        )
    return list(found.values())


def read_published(path: Path) -> list[dict[str, Any]]:
    """Published figures of a CSV with the columns of `PUBLISHED`; ``std`` may be empty."""
    try:
        with path.open(newline="") as handle:
            rows = list(csv.DictReader(handle))
        for row in rows:
            if set(row) != set(PUBLISHED):
                raise BenchError(f"{path}: its columns must be {', '.join(PUBLISHED)}")
        return [
            row | {"value": float(row["value"]), "std": float(row["std"]) if row["std"] else None}
            for row in rows
        ]
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise BenchError(f"{path}: {error}") from error
