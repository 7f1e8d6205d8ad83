"""``bench table`` on made-up records: golden files, the published cells, ranks, marks, what is missing."""

from __future__ import annotations

import csv
import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bench.reporting.frame import best_per_row, kendall_tau, pareto
from bench.reporting.tables import latex, markdown, number
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from scipy import stats

from bench.cli import main
from bench.reporting import plots
from bench.results.store import Store
from tests.support.made_up import METRIC, fill, manifest, value
from tests.support.paths import GOLDEN_PATH

GOLDEN = GOLDEN_PATH
REFERENCE = GOLDEN / "song2021_table1.csv"
Table = Callable[..., str]


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Table:
    """Runs ``bench table`` in an empty folder and gives what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str, status: int = 0) -> str:
        with pytest.raises(SystemExit) as stop:
            main(["table", *arguments])
        out, err = capsys.readouterr()
        assert stop.value.code == status, out + err
        return out + err

    return call


def read(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as handle:
        return list(csv.DictReader(handle))


GAPS: dict[str, Any] = {"failed": [(3, 0), (3, 1)], "missing": [(5, 0), (5, 1), (7, 1)]}


def test_golden(table: Table) -> None:
    """Every byte of the tables made of a fixed set of records, one cell failed and others missing."""
    fill(Store(Path("results")), manifest("table1"), **GAPS)
    table("table1", "--no-plots", status=1)
    made = {p.name: p.read_text() for p in Path("results/table1/made-up").iterdir()}
    golden = {p.name: p.read_text() for p in (GOLDEN / "table1").iterdir()}
    assert made.keys() == golden.keys()
    for name, text in golden.items():
        assert made[name] == text, name


def test_every_published_cell_is_in_the_wide_csv(table: Table) -> None:
    """Cell by cell against the paper's Table 1 and 4 as they were given, by the paper's own names."""
    fill(Store(Path("results")), manifest("table1"))
    table("table1", "--no-plots")
    wide = {(row["sde"], row["row"]): row for row in read("results/table1/made-up/fd_dct.csv")}
    figures = read(str(REFERENCE))
    assert len(figures) == 26
    for figure in figures:
        column = figure["sampler"] + (" rounding" if figure["interpolation"] == "rounding" else "")
        row = wide[figure["sde"], figure["predictor"]]
        assert float(row[f"{column} published"]) == float(figure["fid_mean"])
        assert float(row[f"{column} published_std"]) == float(figure["fid_std"])
        assert math.isfinite(float(row[column]))
    filled = sum(row[key] != "" for row in wide.values() for key in row if key.endswith(" published"))
    assert filled == len(figures)


def test_the_suite_samples_as_the_paper_did() -> None:
    """Steps, corrector steps, r and labels of every cell against the same file."""
    from bench.plan.settings import suites
    from bench.plan.suites import expand, resolved

    planned = {
        (place.sde, place.row, place.column): chosen
        for place, chosen in expand("table1", resolved("table1", suites(GOLDEN)))
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
    fill(Store(Path("results")), manifest("nfe"))
    made = []
    for folder in ("one", "two"):
        table("nfe", "--to", folder)
        made.append({p.name: p.read_bytes() for p in Path(folder, "nfe", "made-up").iterdir()})
    assert made[0] == made[1]
    assert {Path(name).suffix for name in made[0]} == {".csv", ".md", ".tex", ".png", ".svg"}


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
    plan = manifest(suite)
    fill(Store(Path("results")), plan)
    table(suite)
    folder = Path("results", suite, "made-up")
    assert sorted(p.stem for p in folder.glob("*.png")) == stems
    places = {(c["sde"], c["row"], c["column"]) for c in plan["cells"]}
    for stem in stems:
        with Image.open(folder / f"{stem}.png") as image:
            image.load()
            assert min(image.size) > 400
        root = ET.parse(folder / f"{stem}.svg").getroot()
        said = " ".join(node.text or "" for node in root.iter("{http://www.w3.org/2000/svg}text"))
        assert METRIC in said
        assert "$" not in said
        rows = read(str(folder / f"{stem}.csv"))
        assert {(r["sde"], r["row"], r["column"]) for r in rows} == places
        assert all(float(r["mean"]) > 0 and float(r["std"]) > 0 for r in rows)


def test_mean_spread_and_exact_value_are_those_of_the_records(table: Table) -> None:
    fill(Store(Path("results")), manifest("table1", seeds=3))
    out = table("table1", "--no-plots")
    row = read("results/table1/made-up/fd_dct.csv")[0]
    assert (row["sde"], row["row"]) == ("ve", "ancestral")
    values = [value(0, seed) for seed in range(3)]
    assert float(row["P1000"]) == pytest.approx(np.mean(values), rel=1e-12)
    assert float(row["P1000 std"]) == pytest.approx(np.std(values, ddof=1), rel=1e-12)
    assert float(row["P1000 exact"]) == value(0, 0)
    assert row["P1000 seeds"] == "3"
    assert "4.98 ± 0.06" in out
    assert "Mean ± standard deviation over 3 seeds" in out
    cost = next(r for r in read("results/table1/made-up/cost.csv") if r["row"] == "ancestral")
    paces = [100 / (2 + seed) for seed in range(3)]
    assert float(cost["seconds_per_50000"]) == pytest.approx(50_000 / np.mean(paces))
    assert (float(cost["nfe"]), float(cost["network_share"])) == (10, 0.5)


def test_missing_and_failed_cells_are_said(table: Table) -> None:
    fill(Store(Path("results")), manifest("table1"), **GAPS)
    out = table("table1", "--no-plots", status=1)
    assert "1 of 26 cells missing" in out
    assert "1 of 26 cells failed" in out
    assert "(1 of 2)" in out
    assert "ValueError: it broke" in out
    rows = read("results/table1/made-up/cells.csv")
    states = [row["status"] for row in rows]
    assert (states.count("missing"), states.count("failed")) == (3, 2)
    assert all((row["value"] == "") == (row["status"] != "finished") for row in rows)


def test_a_small_table_says_so(table: Table) -> None:
    fill(Store(Path("results")), manifest("table1", scale=0.1))
    assert "times 0.1: a small table" in table("table1", "--no-plots")
    assert {row["steps_scale"] for row in read("results/table1/made-up/cells.csv")} == {"0.1"}
    assert "times 0.1" in Path("results/table1/made-up/fd_dct.md").read_text()


def test_one_seed_marks_nothing(table: Table) -> None:
    fill(Store(Path("results")), manifest("table1", seeds=1))
    out = table("table1", "--no-plots")
    assert "One seed" in out
    assert "*" not in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["table1"], "bench run --suite table1 comes first"),
        (["nfe", "--name", "made"], "no table 'made' (did you mean 'made-up'?"),
        (["nfe", "--metric", "fid"], "bench measure --suite nfe --metric fid"),
    ],
)
def test_mistakes_are_one_line(table: Table, arguments: list[str], said: str) -> None:
    fill(Store(Path("results")), manifest("nfe"))
    out = table(*arguments, status=2)
    assert said in out
    assert len(out.splitlines()) == 1


def test_what_users_name_is_drawn_as_it_is(table: Table) -> None:
    """No formulas in plots, whatever the row is called; and the table fits a narrow screen."""
    plan = manifest("memoir")
    for cell in plan["cells"]:
        cell["row"] += r" $\x$ {|<"
    fill(Store(Path("results")), plan)
    out = table("memoir")
    assert r"euler_maruyama $\x$ {|<" in out
    assert r"$\x$ {|&lt;" in Path("results/memoir/made-up/fd_dct-nfe.svg").read_text()


@pytest.mark.parametrize("suite", ["table1", "memoir"])
def test_an_axis_within_a_decade_has_plain_labels(table: Table, suite: str) -> None:
    store, plan = Store(Path("results")), manifest(suite)
    fill(store, plan)
    for i, cell in enumerate(plan["cells"]):
        path = store.record_path(cell["fingerprint"])
        found = json.loads(path.read_text())
        found["metrics"][METRIC] |= {"value": 13 + i % 9, "exact": None}
        found["cost"]["nfe"] = 120 + i
        path.write_text(json.dumps(found))
    table(suite)
    for path in Path("results", suite, "made-up").glob("*.svg"):
        said = [node.text or "" for node in ET.parse(path).getroot().iter("{http://www.w3.org/2000/svg}text")]
        assert "20" in said
        assert not any("$" in text for text in said)


def test_a_solvers_exact_value_is_called_a_limit(table: Table) -> None:
    """By what the record says, whatever the solver and its row are called."""
    store, plan = Store(Path("results")), manifest("memoir")
    fill(store, plan)
    assert "limit" not in table("memoir", "--no-plots")
    path = store.record_path(plan["cells"][0]["fingerprint"])
    found = json.loads(path.read_text())
    found["identity"]["solver"] = {"name": "mine"}
    path.write_text(json.dumps(found))
    assert "of a solver, its limit at tolerance 0" in table("memoir", "--no-plots")


def test_a_narrow_screen_gets_a_line_per_cell(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(Store(Path("results")), manifest("table1"))
    lines = table("table1", "--no-plots").splitlines()
    assert any(
        line.split() == ["sde", "row", "P1000", "P2000", "P2000", "rounding", "PC1000", "C2000"]
        for line in lines
    )
    monkeypatch.setattr("bench.cli.table.console", lambda: Console(width=100, highlight=False))
    lines = table("table1", "--no-plots").splitlines()
    assert any(line.split()[:3] == ["ve", "ancestral", "P1000"] for line in lines)


def test_where_nothing_can_be_written_is_a_mistake(table: Table) -> None:
    fill(Store(Path("results")), manifest("table1"))
    Path("afile").write_text("")
    for arguments in (["--to", "afile"], ["--to", "/proc/nowhere"]):
        out = table("table1", "--no-plots", *arguments, status=2)
        assert "can't be written" in out
        assert len(out.splitlines()) == 1
    assert "is a file" in table("table1", "--out", "afile", status=2)


def test_a_damaged_plan_is_said_and_the_others_are_shown(table: Table) -> None:
    store = Store(Path("results"))
    fill(store, manifest("table1"))
    store.suite_path("table1", "broken").write_text('{"suite": "tab')
    out = table("table1", "--no-plots")
    assert "broken.json is damaged" in out


finite = st.floats(-100, 100).map(lambda x: round(x, 1))


@settings(max_examples=80)
@given(st.lists(st.tuples(finite, finite), min_size=2, max_size=20))
def test_kendall_tau_is_scipys(pairs: list[tuple[float, float]]) -> None:
    a, b = (np.array(column) for column in zip(*pairs, strict=True))
    expected = stats.kendalltau(a, b).statistic
    assert kendall_tau(a, b) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def frame(values: list[float], costs: list[float], std: float = 0.0, **columns: Any) -> pd.DataFrame:
    made = {"sde": "ve", "row": "r", "status": "finished", "mean": values, "nfe": costs, "std": std}
    return pd.DataFrame(made | columns)


@settings(max_examples=80)
@given(st.lists(st.tuples(finite, st.integers(1, 9)), min_size=1, max_size=12), st.booleans())
def test_the_front_is_what_none_beats(points: list[tuple[float, int]], lower: bool) -> None:
    values, costs = [p[0] for p in points], [float(p[1]) for p in points]
    front = pareto(frame(values, costs), "nfe", lower=lower)
    sign = 1 if lower else -1
    for i, (v, c) in enumerate(points):
        beaten = any((sign * w <= sign * v and d < c) or (sign * w < sign * v and d <= c) for w, d in points)
        assert not (front[i] and beaten)
        # of equals at equal cost one stands for all
        assert beaten or any(front[j] for j, q in enumerate(points) if q == (v, c))


def test_the_best_is_marked_where_it_beats_the_next_by_more_than_the_spread() -> None:
    assert best_per_row(frame([1.0, 2.0, 9.0], [1, 1, 1], std=0.7), lower=True).tolist() == [
        True,
        False,
        False,
    ]
    assert not best_per_row(frame([1.0, 2.0, 9.0], [1, 1, 1], std=0.71), lower=True).any()
    assert best_per_row(frame([1.0, 2.0, 9.0], [1, 1, 1], std=0.7), lower=False).tolist() == [
        False,
        False,
        True,
    ]
    assert not best_per_row(frame([1.0, 2.0], [1, 1], std=math.nan), lower=True).any()
    assert not best_per_row(frame([1.0, 2.0], [1, 1], status=["finished", "failed"]), lower=True).any()


@pytest.mark.parametrize(
    ("given_", "text"),
    [
        ((0.2594, 0.0213), "0.259 ± 0.021"),
        ((13.198, 0.35), "13.20 ± 0.35"),
        ((8258.3, 38.1), "8258 ± 38"),
        ((-0.0021, 0.004), "-0.0021 ± 0.0040"),
        ((1359000.0, 5010.0), "(1.3590 ± 0.0050)e6"),
        ((3.0, 0.0), "3.0000 ± 0.0000"),
        ((2000.0,), "2000"),
        ((math.nan,), "–"),
    ],
)
def test_numbers_show_what_is_known(given_: tuple[float, ...], text: str) -> None:
    assert number(*given_) == text


def test_names_cannot_break_the_tables() -> None:
    """What users name (rows, suites, reasons) is escaped in Markdown and LaTeX."""
    header, rows = ["a|b", "50 %_$"], [["<script>", "*x_1*"], ["a\\b", "~^&#{}"]]
    said = markdown("t", header, rows, [])
    assert "<script>" not in said
    assert "a\\|b" in said
    assert "**x_1**" in said
    tex = latex("t", header, rows, ["±"])
    assert r"50 \%\_\$" in tex
    assert r"\textbf{x\_1}" in tex
    assert r"a\textbackslash{}b" in tex
    assert r"\textasciitilde{}\textasciicircum{}\&\#\{\}" in tex


def test_a_curve_shows_its_nought() -> None:
    """An abscissa of 0 has a place and a label of its own; without one the axis is log, as ever."""
    for x, scale in (([0.0, 0.5, 1.0], "symlog"), ([0.5, 1.0, 2.0], "log")):
        cells = pd.DataFrame({"x": x, "mean": [1.0, 2.0, 3.0], "sde": "vp", "row": "ddim"})
        cells = cells.assign(std=np.nan, exact=np.nan, error=np.nan, published=np.nan)
        (axes,) = plots.curve(cells, "x", "scale", "fd", "").axes
        low, high = axes.get_xlim()
        assert (axes.get_xscale(), low <= x[0], x[-1] <= high) == (scale, True, True)
        if scale == "symlog":
            assert axes.get_xticks().tolist() == x
