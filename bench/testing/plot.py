"""The plot of a conformance check: error against network calls, beside the built-ins', with its CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.files import replace_file
from bench.params import slug
from bench.reporting import plots
from bench.testing.report import Point


def write(points: Sequence[Point], name: str, folder: Path) -> list[Path]:
    """``folder``/NAME.csv, .png and .svg; their paths. Nothing where there are no points."""
    if not points:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / slug(name)
    table = pd.DataFrame([vars(point) for point in points])
    csv = stem.with_name(f"{stem.name}.csv")
    replace_file(csv, table.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode())
    nothing = float("nan")
    cells = table.rename(columns={"sampler": "row", "error": "mean"})
    cells = cells.assign(std=nothing, exact=nothing, error=nothing, published=nothing)
    heading = f"{name} on Gaussian data from the exact marginal at T: error where sampling ends"
    figure = plots.curve(cells, "nfe", "network calls per sample (NFE)", "relative error", heading)
    return [csv, *plots.save(figure, stem, replace_file)]
