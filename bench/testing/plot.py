"""The plot of a sampler's check: error against network calls beside built-in samplers', with its CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.files import csv_cell, replace_file
from bench.params import slug
from bench.reporting import plots
from bench.testing.report import Report


def write_plot(report: Report, folder: Path) -> list[Path]:
    """Write ``folder``/NAME.csv, .png and .svg.

    Returns:
        Their paths; none where the report has no points.
    """
    if not report.points:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / slug(report.name)
    table = pd.DataFrame([vars(point) for point in report.points])
    csv = stem.with_name(f"{stem.name}.csv")
    safe = table.map(csv_cell)
    replace_file(csv, safe.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode())
    # the plot of a suite has more columns: spreads, values by theory and published ones
    unknown = float("nan")
    cells = table.rename(columns={"sampler": "row", "error": "mean"})
    cells = cells.assign(std=unknown, exact=unknown, limit=unknown, error=unknown, note="")
    cells = cells.assign(published=unknown, published_elsewhere=unknown)
    heading = f"{report.name} on Gaussian data from the exact marginal at T: error where sampling ends"
    figure = plots.curve(cells, "nfe", "network calls per sample (NFE)", "relative error", heading)
    return [csv, *plots.save(figure, stem, replace_file)]
