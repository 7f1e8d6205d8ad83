"""``bench table``: its exit status, its screens, where it writes, its mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from bench.cli import main
from bench.results.store import Store
from tests.support.made_up import METRIC, failed_record, fill, put, record, suite_plan
from tests.support.tables import Table, table

__all__ = ["table"]

READERS = [("table",), ("measure", "--metric", "fd_dct", "--suite")]
"""Commands that read the runs of a suite, which comes next."""


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


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> tuple[str, str]:
    """What ``bench table`` prints on stdout and stderr."""
    with pytest.raises(SystemExit) as stop:
        main(["table", "--no-plots", *arguments])
    out, err = capsys.readouterr()
    assert stop.value.code == status, out + err
    return out, err


def test_all_runs_of_a_folder_have_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("results", "other"):
        put(Store(Path(folder)), record(0))
    assert "runs · fd_dct on gaussian-cifar10" in printed(capsys)[0]
    assert "runs · fd_dct" in printed(capsys, "other")[0]
    files = {path.name for path in Path("other/runs/gaussian-cifar10-100").iterdir()}
    assert files == {path.name for path in Path("results/runs/gaussian-cifar10-100").iterdir()}
    printed(capsys, "--out", "other", "--to", "tables")
    assert Path("tables/runs/gaussian-cifar10-100/cells.csv").is_file()
    _, err = printed(capsys, "--out", "empty", status=2)
    assert err.startswith("bench: there is no finished run in empty: bench run makes one")
    put(Store(Path("results")), failed_record(1))
    assert "1 of 2 cells failed." in printed(capsys, status=1)[0]


def test_a_name_of_a_suite_and_a_folder_is_refused_with_what_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fill(Store(Path("results")), suite_plan("nfe"))
    put(Store(Path("nfe")), record(0))
    assert printed(capsys, "nfe", status=2)[1] == (
        "bench: 'nfe' is a suite and a results folder: write nfe --out results for the suite, ./nfe for the "
        "folder\n"
    )
    assert printed(capsys, "nfe", "--out", "results")[0].startswith("nfe · ")
    assert printed(capsys, "./nfe")[0].startswith("runs · ")


def test_json_is_all_of_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(Path("results"))
    fill(store, suite_plan("nfe"), missing=[(0, 0), (0, 1)])
    store.record_path("abcd").write_text("{")
    for source in (("nfe",), ()):
        out, err = printed(capsys, *source, "--json", status=1 if source else 0)
        (table,) = json.loads(out, parse_constant=pytest.fail)["tables"]
        assert (table["metric"], table["samples"], table["lower_is_better"]) == (METRIC, 100, True)
        assert ("damaged" in err) is (source == ())
        assert (table["suite"], table["complete"]) == (source[0] if source else "runs", source == ())
        first = table["cells"][0]
        assert (first["status"], first["value"] is None) == (
            ("missing", True) if source else ("finished", False)
        )
        assert Path(table["folder"], table["files"][0]).is_file()


def test_a_narrow_screen_gets_a_line_per_cell(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(Store(Path("results")), suite_plan("table1"))
    lines = table("table1", "--no-plots").splitlines()
    assert any(
        line.split() == ["sde", "row", "P1000", "P2000", "P2000", "rounding", "PC1000", "C2000"]
        for line in lines
    )
    monkeypatch.setattr("bench.cli.table.console", lambda **_: Console(width=100, highlight=False))
    lines = table("table1", "--no-plots").splitlines()
    assert any(line.split()[:3] == ["ve", "ancestral", "P1000"] for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table1"], "bench run --suite table1 comes first"),
        (["nef"], "unknown suite 'nef' (did you mean 'nfe'?"),
        (["nfe", "--name", "made"], "no table 'made' (did you mean 'made-up'?"),
        (
            ["nfe", "--metric", "fd_dtc"],
            "no 'fd_dtc' (did you mean 'fd_dct'? known: fd_dct): bench",
        ),
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


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("command", [*READERS, ("run", "--suite")])
@pytest.mark.parametrize("planned", [False, True])
def test_no_message_sends_one_to_run_a_suite_that_does_not_exist(
    capsys: pytest.CaptureFixture[str], command: tuple[str, ...], planned: bool
) -> None:
    """In an empty folder and beside other suites; suites of bench.toml, shipped or own, are suggested."""
    Path("bench.toml").write_text('[suites.mine]\nextends = "nfe"\n')
    if planned:
        fill(Store(Path("results")), suite_plan("snr"))
    for name, nearest in (("tabel1", "table1"), ("mnie", "mine"), ("nosuch", "")):
        with pytest.raises(SystemExit) as stop:
            main([*command, name])
        (line,) = capsys.readouterr().err.splitlines()
        assert stop.value.code == 2
        assert "bench run" not in line
        assert f"unknown suite {name!r}" in line
        assert (f"did you mean {nearest!r}?" in line) if nearest else "did you mean" not in line
    assert Path("results").exists() == planned


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("command", READERS)
def test_a_suite_that_was_not_run_is_to_be_run(
    capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*command, "table1"])
    assert stop.value.code == 2
    assert "bench run --suite table1 comes first" in capsys.readouterr().err
    assert not Path("results").exists()


def test_compare_suggests_no_run_of_what_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["compare", "nosuch", "nosuch"])
    (line,) = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2
    assert "names no run" in line
    assert "bench run" not in line
