"""The plot of a sampler's check: error against network calls beside built-in samplers', with its CSV."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from bench.files import replace_file
from bench.params import slug
from bench.reporting import plots
from bench.reporting.figure_layout import save
from bench.reporting.plot_points import PlotPoint
from bench.reporting.writers import csv_bytes
from bench.testing.report import Point, Report


def write_plot(report: Report, folder: Path) -> list[Path]:
    """Write ``folder``/NAME.csv, .png and .svg.

    Returns:
        Their paths; none where the report has no points.
    """
    if not report.points:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / slug(report.name)
    table = stem.with_name(f"{stem.name}.csv")
    names = [field.name for field in dataclasses.fields(Point)]
    lines = [dataclasses.asdict(point) | {"error": f"{point.error:.6g}"} for point in report.points]
    replace_file(table, csv_bytes(names, ([line[name] for name in names] for line in lines)))
    heading = f"{report.name} on Gaussian data from the exact marginal at T: error where sampling ends"
    points = [
        PlotPoint(sde=point.sde, row=point.sampler, mean=point.error, x=float(point.nfe))
        for point in report.points
    ]
    figure = plots.curve(points, "network calls per sample (NFE)", "relative error", heading)
    return [table, *save(figure, stem, replace_file)]
