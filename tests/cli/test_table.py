"""``bench table``: its exit status, its screens, where it writes, its mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from bench.cli import main
from bench.results.store import Store
from tests.support.made_up import METRIC, fill, suite_plan
from tests.support.tables import Table, table

__all__ = ["table"]


def test_the_status_says_whether_all_cells_are_complete(table: Table) -> None:
    store = Store(Path("results"))
    fill(store, suite_plan("nfe"), missing=[(0, 0)])
    table("nfe", "--no-plots", status=1)
    fill(store, suite_plan("nfe"), failed=[(0, 0), (0, 1)])
    table("nfe", "--no-plots", status=1)
    fill(store, suite_plan("nfe"))
    table("nfe", "--no-plots")


def test_it_writes_where_it_is_told(table: Table) -> None:
    fill(Store(Path("elsewhere")), suite_plan("nfe"))
    table("nfe", "--no-plots", "--out", "elsewhere")
    files = {path.name for path in Path("elsewhere/nfe/made-up").iterdir()}
    assert {f"{METRIC}.csv", f"{METRIC}.md", f"{METRIC}.tex"} <= files
    table(
        "nfe", "--no-plots", "--out", "elsewhere", "--to", "tables", "--name", "made-up", "--metric", METRIC
    )
    assert {path.name for path in Path("tables/nfe/made-up").iterdir()} == files
    assert not Path("results").exists()


def test_a_narrow_screen_gets_a_line_per_cell(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(Store(Path("results")), suite_plan("table1"))
    lines = table("table1", "--no-plots").splitlines()
    assert any(
        line.split() == ["sde", "row", "P1000", "P2000", "P2000", "rounding", "PC1000", "C2000"]
        for line in lines
    )
    monkeypatch.setattr("bench.cli.table.console", lambda: Console(width=100, highlight=False))
    lines = table("table1", "--no-plots").splitlines()
    assert any(line.split()[:3] == ["ve", "ancestral", "P1000"] for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table1"], "bench run --suite table1 comes first"),
        (["nef"], "no run of suite 'nef' in results (did you mean 'nfe'?"),
        (["nfe", "--name", "made"], "no table 'made' (did you mean 'made-up'?"),
        (["nfe", "--metric", "fid"], "bench measure --suite nfe --metric fid"),
    ],
)
def test_mistakes_are_one_line(table: Table, arguments: list[str], message: str) -> None:
    fill(Store(Path("results")), suite_plan("nfe"))
    out = table(*arguments, status=2)
    assert message in out
    assert len(out.splitlines()) == 1


def test_where_nothing_can_be_written_is_a_mistake(table: Table) -> None:
    fill(Store(Path("results")), suite_plan("table1"))
    Path("afile").write_text("")
    for arguments in (["--to", "afile"], ["--to", "/proc/nowhere"]):
        out = table("table1", "--no-plots", *arguments, status=2)
        assert "can't be written" in out
        assert len(out.splitlines()) == 1
    assert "is a file" in table("table1", "--out", "afile", status=2)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../../../outside"},
        {"suite": "../../outside"},
        {"metrics": ["../../../outside"]},
        {"layout": "curve", "x": "/../../../outside"},
        {"suite": "logs"},
        {"name": "another"},
    ],
)
def test_a_plan_in_the_results_writes_nothing_outside_its_folder(
    table: Table, changes: dict[str, object]
) -> None:
    """Results are data: a plan with such a name is reported and skipped, by every command that reads it."""
    store = Store(Path("deep/results"))
    fill(store, suite_plan("nfe"))
    plain = json.loads(store.suite_path("nfe", "made-up").read_bytes())
    store.suite_path("nfe", "evil").write_text(json.dumps(plain | {"name": "evil"} | changes))
    before = {path for path in Path().rglob("*") if "results/nfe" not in str(path)}
    out = table("nfe", "--out", "deep/results")
    assert "evil.json is damaged" in out
    assert {path for path in Path().rglob("*") if "results/nfe" not in str(path)} == before
    assert [path.name for path in Path("deep/results/nfe").iterdir()] == ["made-up"]


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("name", ["../nfe", "..", "/nfe", "a/../nfe"])
@pytest.mark.parametrize(
    "command",
    [("table",), ("measure", "--metric", "fd_dct", "--suite"), ("compare", "nfe"), ("run", "--suite")],
)
def test_a_suite_that_is_no_name_is_one_line(
    capsys: pytest.CaptureFixture[str], command: tuple[str, ...], name: str
) -> None:
    fill(Store(Path("results")), suite_plan("nfe"))
    before = set(Path().rglob("*"))
    with pytest.raises(SystemExit) as stop:
        main([*command, name])
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert set(Path().rglob("*")) == before
