"""The plot of a check, with its CSV."""

from __future__ import annotations

import csv
from pathlib import Path

from bench.testing.plot import write_plot
from bench.testing.report import Point, Report


def test_the_csv_holds_the_points_and_the_plot_lies_beside_it(tmp_path: Path) -> None:
    points = [
        Point(name, "vp", steps, steps, 1 / steps) for name in ("my/sampler", "ddim") for steps in (5, 10)
    ]
    paths = write_plot(Report("predictor", "my/sampler", points=points), tmp_path / "new")
    assert [path.name for path in paths] == ["my_sampler.csv", "my_sampler.png", "my_sampler.svg"]
    assert all(path.stat().st_size > 0 for path in paths)
    rows = list(csv.DictReader(paths[0].read_text().splitlines()))
    assert rows[0] == {"sampler": "my/sampler", "sde": "vp", "steps": "5", "nfe": "5", "error": "0.2"}
    assert [row["sampler"] for row in rows] == ["my/sampler"] * 2 + ["ddim"] * 2


def test_without_points_nothing_is_written(tmp_path: Path) -> None:
    assert write_plot(Report("sde", "vp"), tmp_path / "new") == []
    assert not (tmp_path / "new").exists()


def test_a_name_that_a_spreadsheet_would_compute_is_text(tmp_path: Path) -> None:
    points = [Point(name, "vp", 5, 5, -0.5) for name in ("=1+1", "@x")]
    table = write_plot(Report("solver", "x", points=points), tmp_path)[0].read_text()
    rows = list(csv.DictReader(table.splitlines()))
    assert [(row["sampler"], row["error"]) for row in rows] == [
        ("'=1+1", "-0.5"),
        ("'@x", "-0.5"),
    ]
