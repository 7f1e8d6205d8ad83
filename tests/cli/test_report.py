"""``bench report`` and ``bench run --report``: status, JSON, mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli import main
from bench.results.store import Store
from tests.support.made_up import fill, suite_plan
from tests.support.made_up_pages import page_data_of

Call = Callable[..., tuple[str, str]]
SAMPLER = ("--checkpoint", "gaussian-cifar10", "--sde", "vp", "--predictor", "ddim", "--steps", "3")


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs ``bench`` in an empty folder and gives its stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, status: int = 0) -> tuple[str, str]:
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        out, err = capsys.readouterr()
        assert stop.value.code == status, out + err
        return out, err

    return run


def test_the_status_says_whether_all_cells_are_complete(call: Call) -> None:
    fill(Store(Path("results")), suite_plan("table1"), missing=[(0, 0)])
    out, _ = call("report", "table1", status=1)
    assert out.startswith("report.html: 1 table, 26 cells, 51 runs; ")
    fill(Store(Path("results")), suite_plan("table1"))
    call("report", "table1", "-o", "again.html")
    assert Path("report.html").exists()
    assert Path("again.html").exists()


def test_json_has_the_numbers(call: Call) -> None:
    fill(Store(Path("elsewhere")), suite_plan("table1"))
    out, _ = call("report", "elsewhere", "--json", "-o", "page.html")
    plain = json.loads(out)
    assert plain["path"] == "page.html"
    assert plain["size"] == Path("page.html").stat().st_size
    assert plain["complete"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("table1",), "no run of suite 'table1'"),
        (("tabel1",), "unknown suite 'tabel1'"),
        ((), "there is no finished run"),
        (("table1", "-o", ""), "an empty path names nothing"),
        (("--published-of", "nothing-of-that-name"), "no published figure of"),
    ],
)
def test_mistakes_are_one_line(call: Call, arguments: tuple[str, ...], message: str) -> None:
    out, err = call("report", *arguments, status=2)
    assert not out
    assert len(err.splitlines()) == 1
    assert message in err
    assert not Path("report.html").exists()


def test_a_run_writes_it_at_the_end(call: Call) -> None:
    size = ("--samples", "16", "--batch-size", "16", "--repeats", "2", "--report", "runs.html")
    out, _ = call("run", *SAMPLER, *size, "--dry-run")
    assert not Path("runs.html").exists()
    out, _ = call("run", *SAMPLER, *size)
    assert "  report   runs.html: " in out
    data = page_data_of(Path("runs.html").read_text())
    assert data["runs"]["n"] == 2
    (picture,) = data["pictures"].values()
    assert picture["n"] == 16


def test_a_page_that_can_not_be_written_leaves_the_json(call: Call) -> None:
    Path("folder.html").mkdir()
    size = ("--samples", "16", "--batch-size", "16")
    out, err = call("run", *SAMPLER, *size, "--json", "--report", "folder.html", status=2)
    assert len(json.loads(out)["runs"]) == 1
    assert "folder.html can't be written" in err.splitlines()[-1]


@pytest.mark.parametrize("variable", ["RANK", "SLURM_PROCID"])
def test_of_several_processes_the_first_writes_it(
    variable: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("1", "0"):
        monkeypatch.setenv(variable, place)
        call("run", *SAMPLER, "--samples", "16", "--batch-size", "16", "--report", "runs.html")
        assert Path("runs.html").exists() == (place == "0")
