"""``bench table`` on made-up records: golden files, the published cells, ranks, marks, what is missing."""

from __future__ import annotations

import csv
import itertools
import math
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.results.manifest import PlannedRun, SuitePlan
from bench.results.store import Store
from tests.support.made_up import (
    METRIC,
    fill,
    identity,
    indices,
    metric_record,
    put,
    record,
    sampled,
    suite_plan,
    value,
)
from tests.support.paths import GOLDEN_PATH
from tests.support.tables import Table, table

GOLDEN = GOLDEN_PATH
__all__ = ["table"]

REFERENCE = GOLDEN / "song2021_table1.csv"


def read(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as handle:
        return list(csv.DictReader(handle))


GAPS: dict[str, Any] = {"failed": [(3, 0), (3, 1)], "missing": [(5, 0), (5, 1), (7, 1)]}


def test_golden(table: Table) -> None:
    """Every byte of the tables made of a fixed set of records, one cell failed and others missing."""
    plan = suite_plan("table1")
    fill(Store(Path("results")), plan, **GAPS, runs=sampled(plan))
    table("table1", "--no-plots", status=1)
    files = {p.name: p.read_text() for p in Path("results/table1/made-up").iterdir()}
    golden = {p.name: p.read_text() for p in (GOLDEN / "table1").iterdir()}
    assert files.keys() == golden.keys()
    for name, text in golden.items():
        assert files[name] == text, name


def test_every_published_figure_stands_below_the_table_and_none_in_its_cells(table: Table) -> None:
    """Cell by cell against the paper's Table 1 and 4 as they were given, by the paper's own names."""
    plan = suite_plan("table1")
    fill(Store(Path("results")), plan, runs=sampled(plan))
    out = table("table1", "--no-plots")
    assert "Published fid-song2021, of another checkpoint and another metric: Song et al. 2021" in out
    lines = {
        (row["sde"], row["row"], row["column"]): row
        for row in read("results/table1/made-up/fd_dct-published.csv")
    }
    figures = read(str(REFERENCE))
    assert len(figures) == len(lines) == 26
    for figure in figures:
        column = figure["sampler"] + (" rounding" if figure["interpolation"] == "rounding" else "")
        line = lines[figure["sde"], figure["predictor"], column]
        assert float(line["published_value"]) == float(figure["fid_mean"])
        assert float(line["published_std"]) == float(figure["fid_std"])
        assert line["published_source"] == "Song et al. 2021"
        assert math.isfinite(float(line["value"]))
    wide = read("results/table1/made-up/fd_dct.csv")
    cells = [row[key] for row in wide for key in row if " published" in key]
    assert cells
    assert set(cells) == {""}
    assert {row["published"] for row in read("results/table1/made-up/cells.csv")} == {""}


def test_the_suite_samples_as_the_paper_did() -> None:
    """Steps, corrector steps, r and labels of every cell against the same file."""
    from bench.plan.settings import suites
    from bench.plan.suites import expand, resolve_suite

    planned = {
        (place.sde, place.row, place.column): chosen
        for place, chosen in expand("table1", resolve_suite("table1", suites(GOLDEN)))
    }
    for figure in read(str(REFERENCE)):
        rounding = figure["interpolation"] == "rounding"
        chosen = planned.pop(
            (figure["sde"], figure["predictor"], figure["sampler"] + (" rounding" if rounding else ""))
        )
        parameters = chosen.get("parameters", {}).get("corrector", {})
        moves = int(figure["corrector_steps_per_scale"])
        assert chosen["steps"] == int(figure["noise_scales"])
        assert chosen["predictor"] == figure["predictor"]
        assert chosen.get("corrector") == ("langevin" if moves else None)
        assert parameters.get("snr") == (float(figure["corrector_snr"]) if moves else None)
        assert parameters.get("steps", 1) == (moves or 1)
        assert chosen.get("label_scales") == (1000 if rounding else None)
    assert planned == {}


def test_the_same_records_give_the_same_bytes(table: Table) -> None:
    fill(Store(Path("results")), suite_plan("nfe"))
    folders = []
    for folder in ("one", "two"):
        table("nfe", "--to", folder)
        folders.append({p.name: p.read_bytes() for p in Path(folder, "nfe", "made-up").iterdir()})
    assert folders[0] == folders[1]
    assert {Path(name).suffix for name in folders[0]} == {".csv", ".md", ".tex", ".png", ".svg"}


@pytest.mark.parametrize(
    ("suite", "stems"),
    [
        ("table1", ["fd_dct-plot"]),
        ("nfe", ["fd_dct-nfe", "fd_dct-seconds"]),
        ("snr", ["fd_dct-snr"]),
        ("memoir", ["fd_dct-nfe", "fd_dct-seconds"]),
    ],
)
def test_every_plot_is_a_picture_with_its_csv(table: Table, suite: str, stems: list[str]) -> None:
    plan = suite_plan(suite)
    fill(Store(Path("results")), plan)
    table(suite)
    folder = Path("results", suite, "made-up")
    assert sorted(p.stem for p in folder.glob("*.png")) == stems
    places = {run.place for run in plan.cells}
    for stem in stems:
        with Image.open(folder / f"{stem}.png") as image:
            image.load()
            assert min(image.size) > 400
        root = ET.parse(folder / f"{stem}.svg").getroot()
        text = " ".join(node.text or "" for node in root.iter("{http://www.w3.org/2000/svg}text"))
        assert METRIC in text
        assert "$" not in text
        rows = read(str(folder / f"{stem}.csv"))
        assert {(r["sde"], r["row"], r["column"]) for r in rows} == places
        assert all(float(r["mean"]) > 0 and float(r["std"]) > 0 for r in rows)


def test_mean_spread_and_exact_value_are_those_of_the_records(table: Table) -> None:
    fill(Store(Path("results")), suite_plan("table1", seeds=3))
    out = table("table1", "--no-plots")
    row = read("results/table1/made-up/fd_dct.csv")[0]
    assert (row["sde"], row["row"]) == ("ve", "ancestral")
    values = [value(0, seed) for seed in range(3)]
    assert float(row["P1000"]) == pytest.approx(np.mean(values), rel=1e-12)
    assert float(row["P1000 std"]) == pytest.approx(np.std(values, ddof=1), rel=1e-12)
    assert float(row["P1000 exact"]) == value(0, 0)
    assert row["P1000 seeds"] == "3"
    assert "Mean ± standard deviation over 3 seeds" in out
    cost = next(r for r in read("results/table1/made-up/cost.csv") if r["row"] == "ancestral")
    paces = [100 / (2 + seed) for seed in range(3)]
    assert float(cost["seconds_per_50000"]) == pytest.approx(50_000 / np.mean(paces))
    assert (float(cost["nfe"]), float(cost["network_share"])) == (10, 0.5)
    assert (cost["batch_size"], cost["device"]) == ("50", identity(0, 0).device)
    assert (cost["peak_host_bytes"], cost["peak_gpu_bytes"]) == ("300000000", "2000000002")
    cells = read("results/table1/made-up/cells.csv")[0]
    assert (cells["cpu"], cells["cores"], cells["host"]) == ("Made-Up 9000", "4", "0123abcd")
    assert "| 300 MB | 2 GB |" in Path("results/table1/made-up/cost.md").read_text()


def test_missing_and_failed_cells_are_reported(table: Table) -> None:
    fill(Store(Path("results")), suite_plan("table1"), **GAPS)
    out = table("table1", "--no-plots", status=1)
    assert "1 of 26 cells missing" in out
    assert "1 of 26 cells failed" in out
    assert "(1 of 2)" in out
    assert "ValueError: it broke" in out
    assert " : ValueError" not in out
    rows = read("results/table1/made-up/cells.csv")
    states = [row["status"] for row in rows]
    assert (states.count("missing"), states.count("failed")) == (3, 2)
    assert all((row["value"] == "") == (row["status"] != "finished") for row in rows)


def test_a_small_table_says_so(table: Table) -> None:
    fill(Store(Path("results")), suite_plan("table1", scale=0.1))
    assert "times 0.1: a small table" in table("table1", "--no-plots")
    assert {row["steps_scale"] for row in read("results/table1/made-up/cells.csv")} == {"0.1"}
    assert "times 0.1" in Path("results/table1/made-up/fd_dct.md").read_text()


def test_one_seed_marks_nothing(table: Table) -> None:
    fill(Store(Path("results")), suite_plan("table1", seeds=1))
    out = table("table1", "--no-plots")
    assert "One seed" in out
    assert "*" not in out


def test_what_users_name_is_drawn_as_it_is(table: Table) -> None:
    """No formulas in plots, whatever the row is called; and the table fits a narrow screen."""
    plan = suite_plan("memoir")
    renamed = [run.model_copy(update={"row": run.row + r" $\x$ {|<"}) for run in plan.cells]
    plan = plan.model_copy(update={"cells": tuple(renamed)})
    fill(Store(Path("results")), plan)
    out = table("memoir")
    assert r"euler_maruyama $\x$ {|<" in out
    assert r"$\x$ {|&lt;" in Path("results/memoir/made-up/fd_dct-nfe.svg").read_text()


@pytest.mark.parametrize("suite", ["table1", "memoir"])
def test_an_axis_within_a_decade_has_plain_labels(table: Table, suite: str) -> None:
    store, plan = Store(Path("results")), suite_plan(suite)
    fill(store, plan)
    for i, (index, run) in enumerate(zip(indices(plan), plan.cells, strict=True)):
        metric = metric_record(value=13.0 + i % 9, exact=None)
        made_up = record(index, run.seed, fingerprint=run.fingerprint, metrics={METRIC: metric})
        assert made_up.cost is not None
        put(store, made_up.model_copy(update={"cost": made_up.cost.model_copy(update={"nfe": 120.0 + i})}))
    table(suite)
    for path in Path("results", suite, "made-up").glob("*.svg"):
        texts = [
            node.text or "" for node in ET.parse(path).getroot().iter("{http://www.w3.org/2000/svg}text")
        ]
        assert "20" in texts
        assert not any("$" in text for text in texts)


@pytest.mark.parametrize("suite", ["table1", "memoir"])
def test_a_limit_at_tolerance_0_is_called_so_everywhere(table: Table, suite: str) -> None:
    """Terminal, CSVs, Markdown, LaTeX and plots; and never called exact."""
    store, plan = Store(Path("results")), suite_plan(suite)
    fill(store, plan)
    assert "limit at tolerance 0" not in table(suite, "--no-plots")
    for index, run in zip(indices(plan), plan.cells, strict=True):
        limit = metric_record(index, run.seed, exact=None, limit=0.123)
        put(store, record(index, run.seed, fingerprint=run.fingerprint, metrics={METRIC: limit}))
    out = table(suite)
    folder = Path("results", suite, "made-up")
    texts = [out] + [path.read_text() for path in folder.glob(f"{METRIC}*") if path.suffix in (".md", ".tex")]
    pictures = [path.read_text() for path in folder.glob("*.svg")]
    assert pictures
    for text in [*texts, *pictures]:
        assert "limit at tolerance 0" in text
        assert "exact" not in text
    for path in folder.glob("*.csv"):
        for row in read(str(path)):
            if path.stem in (METRIC, "cost"):
                continue
            assert (row["exact"], float(row["limit_at_tolerance_0"])) == ("", 0.123), path
    wide = read(str(folder / f"{METRIC}.csv"))[0]
    assert [value for name, value in wide.items() if name.endswith(" limit_at_tolerance_0") and value] != []
    assert not any(value for name, value in wide.items() if name.endswith(" exact"))


def test_a_damaged_plan_is_reported_and_the_others_are_tabulated(table: Table) -> None:
    store = Store(Path("results"))
    fill(store, suite_plan("table1"))
    store.suite_path("table1", "broken").write_text('{"suite": "tab')
    out = table("table1", "--no-plots")
    assert "broken.json is damaged" in out


def grid_plan(rows: int, length: int, layout: str = "grid", columns: int = 3, sdes: int = 1) -> SuitePlan:
    """A plan of many rows and columns whose names have that many characters."""
    cells = [
        PlannedRun(
            sde=f"sde{sde}",
            row=f"{row}".ljust(length, "r"),
            column=f"{column}".ljust(length, "c"),
            seed=0,
            title=f"{sde} {row} {column}",
            fingerprint=f"{index:016x}",
            sampler=f"{index:016x}",
        )
        for index, (sde, row, column) in enumerate(
            itertools.product(range(sdes), range(rows), range(columns))
        )
    ]
    changes = {"suite": "mine", "layout": layout, "x": None, "published_of": (), "cells": tuple(cells)}
    return suite_plan("table1").model_copy(update=changes)


@pytest.mark.parametrize("layout", ["grid", "list"])
@pytest.mark.parametrize(
    ("rows", "length", "columns"), [(20, 40, 3), (100, 40, 2), (3, 300, 30), (90, 300, 1), (1, 1, 1)]
)
def test_any_number_of_rows_and_any_length_of_names_is_drawn(
    table: Table, layout: str, rows: int, length: int, columns: int
) -> None:
    plan = grid_plan(rows, length, layout, columns)
    fill(Store(Path("results")), plan)
    out = table("mine")
    assert "No plot" not in out
    pictures = list(Path("results/mine/made-up").glob("*.png"))
    assert pictures
    for path in pictures:
        with Image.open(path) as image:
            image.load()
            assert 400 < min(image.size) <= max(image.size) < 4000


@pytest.mark.parametrize("layout", ["grid", "list", "curve"])
def test_a_table_without_values_says_why_it_has_no_plot(table: Table, layout: str) -> None:
    plan = grid_plan(2, 5, layout)
    fill(Store(Path("results")), plan, missing=[(index, 0) for index in range(len(plan.cells))])
    out = table("mine", status=1)
    line = "No plot: no cell has a value."
    assert line in out
    folder = Path("results/mine/made-up")
    assert {path.suffix for path in folder.iterdir()} == {".csv", ".md", ".tex"}
    for suffix in ("md", "tex"):
        assert line in (folder / f"{METRIC}.{suffix}").read_text()


def test_more_panels_than_a_picture_holds_are_a_line(table: Table) -> None:
    fill(Store(Path("results")), grid_plan(1, 5, sdes=40))
    assert "No plot: 40 SDEs are more panels than the 12 that a picture holds." in table("mine")
    assert Path(f"results/mine/made-up/{METRIC}.tex").is_file()


def test_a_fault_of_the_drawing_does_not_cost_the_table(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("bottom cannot be >= top")

    monkeypatch.setattr("bench.reporting.plots.grid", broken)
    fill(Store(Path("results")), suite_plan("table1"))
    out = table("table1")
    assert "No plot: ValueError: bottom cannot be >= top." in out
    assert "ancestral" in out
    assert "No plot: ValueError: bottom" in Path(f"results/table1/made-up/{METRIC}.md").read_text()


def test_no_plot_of_an_earlier_table_stays_unsaid(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that can't draw removes the plots of its metric; one that is told not to draw names them."""
    fill(Store(Path("results")), suite_plan("nfe", seeds=1))
    table("nfe")
    folder = Path("results/nfe/made-up")
    (folder / f"{METRIC}_other-nfe.png").write_bytes(b"of another metric")
    pictures = {
        f"{METRIC}-{kind}.{suffix}" for kind in ("nfe", "seconds") for suffix in ("png", "svg", "csv")
    }
    assert {path.name for path in folder.glob(f"{METRIC}-*")} == pictures
    out = table("nfe", "--no-plots")
    assert f"Not drawn anew, and maybe of other values: {METRIC}-nfe.csv, {METRIC}-nfe.png" in out
    assert "Not drawn anew" in (folder / f"{METRIC}.md").read_text()
    assert {path.name for path in folder.glob(f"{METRIC}-*")} == pictures

    def broken(*_: object, **__: object) -> None:
        raise ValueError("broken")

    monkeypatch.setattr("bench.reporting.plots.curve", broken)
    out = table("nfe")
    assert "No plot: ValueError: broken." in out
    assert not list(folder.glob(f"{METRIC}-*"))
    assert (folder / f"{METRIC}_other-nfe.png").exists()


@pytest.mark.parametrize("suite", ["table1", "memoir"])
def test_control_characters_of_names_reach_neither_terminal_nor_file(table: Table, suite: str) -> None:
    hostile = "a\x1b[2Jb\x07\u202ec\u2066d\r\ne"
    plan = suite_plan(suite)
    cells = [run.model_copy(update={"row": f"={run.row}{hostile}"}) for run in plan.cells]
    fill(Store(Path("results")), plan.model_copy(update={"cells": tuple(cells)}))
    texts = [table(suite)]
    texts += [p.read_text() for p in Path("results", suite, "made-up").iterdir() if p.suffix != ".png"]
    for text in texts:
        assert all(line.isprintable() for line in text.split("\n"))
    for path in Path("results", suite, "made-up").glob("*.csv"):
        assert not any(cell.startswith("=") for row in read(str(path)) for cell in row.values())


def test_control_characters_reach_no_csv_of_the_store(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, record(title="=a\x1b[2J\u202e"))
    assert read(str(store.write_csv()))[0]["title"] == "'=a\\u001b[2J\\u202e"
