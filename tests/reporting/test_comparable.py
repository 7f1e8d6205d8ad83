"""Readings of other parameters, reference data or counts never stand in one column, nor are they compared."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench.reporting.frame import odd_ones

from bench.cli import main
from bench.reporting.compare.pairing import unlike
from bench.results.store import Store
from tests.support.made_up import METRIC, fill, manifest, record

Bench = Callable[..., str]
OLD, NEW = "0" * 64, "1" * 64


def made(reference: str = OLD, **parameters: Any) -> dict[str, Any]:
    """A reading's parameters and data."""
    return {"parameters": {"mode": "clean"} | parameters, "provenance": {"cifar10-train": reference}}


def records(*readings: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Finished records that hold these readings of the metric."""
    return [{"metrics": {} if r is None else {METRIC: {"value": 1.0} | r}} for r in readings]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """Runs a command in an empty folder and gives all that it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")

    def call(*arguments: str, status: int = 0) -> str:
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        out, err = capsys.readouterr()
        assert stop.value.code == status, out + err
        return out + err

    return call


def test_the_majority_decides_and_of_two_as_many_the_first() -> None:
    old, new = {"with": made(OLD)}, {"with": made(NEW)}
    assert odd_ones(records(old, new, new), METRIC, 100) == {
        0: "other data (cifar10-train 00000000…, not 11111111…)"
    }
    assert set(odd_ones(records(None, old, new, old), METRIC, 100)) == {2}
    assert set(odd_ones(records(new, old), METRIC, 100)) == {1}
    assert odd_ones(records(new, None, new), METRIC, 100) == {}


def test_counts_and_what_is_not_known() -> None:
    right, few = {"with": made(), "n": 100}, {"with": made(NEW), "n": 64}
    # those of another count have no say in what the others are of
    assert odd_ones(records(few, few, right), METRIC, 100) == {0: "n 64, not 100", 1: "n 64, not 100"}
    assert odd_ones(records(right, {"n": 100}), METRIC, 100) == {}


def test_what_differs_is_named() -> None:
    assert unlike(made(), made()) == ""
    assert unlike(made(), None) == ""
    assert unlike(made(mode="legacy"), made()) == "other parameters (mode legacy, not clean)"
    assert unlike(made(k=3), made()) == "other parameters (k 3, not unknown)"
    both = unlike(made(NEW, mode="legacy"), made())
    assert both == (
        "other parameters (mode legacy, not clean) and other data (cifar10-train 11111111…, not 00000000…)"
    )
    assert unlike(made(bootstrap=100), made(bootstrap=0)) == ""  # replicates change no value


def odd_table(**odd: Any) -> dict[str, Any]:
    """Records of table1 in ``results``, the third and fourth cell of the first seed with other readings."""
    store, plan = Store(Path("results")), manifest("table1")
    if not (store.root / "suites").exists():
        fill(store, plan)
    for index, cell in enumerate(plan["cells"]):
        found = record(cell, index)
        found["metrics"][METRIC] |= {"with": made()} | (odd if index in (2, 3) else {})
        store.record_path(cell["fingerprint"]).write_text(json.dumps(found))
    return plan


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"with": made(NEW)}, "of other data (cifar10-train 11111111…, not 00000000…), left out here"),
        ({"with": made(mode="legacy")}, "of other parameters (mode legacy, not clean), left out here"),
        ({"n": 64}, "of n 64, not 100, left out here"),
    ],
)
def test_odd_readings_are_left_out_of_the_table(bench: Bench, odd: dict[str, Any], said: str) -> None:
    plan = odd_table(value=8.765, **odd)
    out = bench("table", "table1", "--no-plots", status=1)
    assert f"2 cells hold fd_dct {said}: bench measure --suite table1 --metric fd_dct takes it anew." in out
    assert "failed:" not in out
    with Path("results/table1/made-up/cells.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["fingerprint"] for row in rows if row["status"] == "missing"] == [
        cell["fingerprint"] for cell in plan["cells"][2:4]
    ]
    for row in rows:
        assert (row["value"] == "") == (row["reason"] != "") == (row["status"] == "missing")
    for path in Path("results/table1/made-up").iterdir():
        assert "8.765" not in path.read_text()  # their value is nowhere
    markdown = Path("results/table1/made-up/fd_dct.md").read_text()
    assert f"2 cells hold fd_dct {said.partition(',')[0]}" in markdown


def test_readings_alike_make_the_same_table_as_ever(bench: Bench) -> None:
    fill(Store(Path("results")), manifest("table1"))
    before = bench("table", "table1", "--no-plots")
    odd_table()
    assert bench("table", "table1", "--no-plots") == before


def two_runs(**other: Any) -> tuple[str, str]:
    """Two records of the same cell that have two metrics; the first differs as said."""
    for name, changes in (("a", {}), ("b", other)):
        cell = {"fingerprint": "f" * 16, "title": "one cell · seed 0", "seed": 0}
        found = record(cell, 3)
        reading = found["metrics"][METRIC] | {"with": made()}
        found["metrics"] = {"fid": reading | changes, "kid": reading}
        Path(f"{name}.json").write_text(json.dumps(found))
    return "a.json", "b.json"


def test_compare_refuses_a_metric_that_is_not_alike(bench: Bench) -> None:
    sides = two_runs(**{"with": made(NEW)})
    differs = "in B {}of other data (cifar10-train 11111111…, not 00000000…)"
    out = bench("compare", *sides)
    assert f"fid is not compared: {differs.format('it is ')}; bench measure takes it anew" in out
    rows = json.loads(bench("compare", *sides, "--json"))["rows"]
    assert [row["metric"] for row in rows] == ["kid"]
    for asked in (["--metric", "fid"], ["--fail-on", "fid:5%"], ["--metric", "kid", "--metric", "fid"]):
        line = bench("compare", *sides, *asked, status=2)
        assert line.startswith(f"bench: fid {differs.format('is ')}, and can't be compared with A's: ")
        assert len(line.splitlines()) == 1
    bench("compare", *sides, "--metric", "kid", "--fail-on", "kid:5%")


def test_compare_of_nothing_alike_is_a_mistake(bench: Bench) -> None:
    a, b = two_runs()
    for path in (a, b):
        found = json.loads(Path(path).read_text())
        del found["metrics"]["kid"]
        if path == b:
            found["metrics"]["fid"]["with"] = made(mode="legacy")
        Path(path).write_text(json.dumps(found))
    line = bench("compare", a, b, status=2)
    assert line.startswith("bench: fid in B is of other parameters (mode legacy, not clean), and can't be")


def test_compare_takes_what_is_alike(bench: Bench) -> None:
    out = bench("compare", *two_runs(**{"with": made(bootstrap=40)}))
    assert "not compared" not in out
    assert {row["metric"] for row in json.loads(bench("compare", *two_runs(), "--json"))["rows"]} == {
        "fid",
        "kid",
    }
