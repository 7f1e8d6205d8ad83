"""``bench publish``: its line, its JSON, its status, its mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.results.store import Store
from tests.support.made_up import fill, suite_plan
from tests.support.runs import exit_status


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_status_says_whether_all_cells_are_complete(capsys: pytest.CaptureFixture[str]) -> None:
    plan = suite_plan("table1", seeds=1)
    fill(Store(Path("results")), plan, missing=[(0, 0)])
    assert exit_status("publish", "-o", "public", "table1") == 1
    assert capsys.readouterr().out == "public/index.html: 1 report, 25 records\n"
    fill(Store(Path("results")), plan)
    assert exit_status("publish", "-o", "public", "table1", "--json") == 0
    plain = json.loads(capsys.readouterr().out)
    assert (plain["complete"], plain["reports"][0]["name"], plain["reports"][0]["records"]) == (
        True,
        "table1",
        26,
    )
    assert Path("public/table1/report.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("table1", "-o", "public"), "no run of suite 'table1'"),
        (("-o", ""), "an empty path names nothing"),
        ((), "Missing option '-o'"),
    ],
)
def test_mistakes_are_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert exit_status("publish", *arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    assert message in err
    assert not Path("public").exists()
