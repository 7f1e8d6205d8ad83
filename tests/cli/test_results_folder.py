"""The results folder of bench.toml holds for every command and call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bench
from tests.support.plugins import installed
from tests.support.runs import exit_status

RUN = (
    *("run", "--checkpoint", "gaussian-cifar10", "--steps", "30", "--samples", "8"),
    *("--batch-size", "4", "--grid", "uniform", "--device", "cpu"),
)
TOML = """
[defaults]
out = "elsewhere"
[suites.s]
layout = "list"
checkpoint = "gaussian-cifar10"
[[suites.s.cells]]
sde = "vp"
predictor = "ancestral"
steps = [30, 40]
column = "{steps}"
"""


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command prints that succeeds."""
    capsys.readouterr()
    assert exit_status(*arguments) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_the_results_folder_of_bench_toml_holds_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bench.toml").write_text(TOML)
    output(capsys, *RUN)
    output(capsys, "run", "--suite", "s", "--samples", "8", "--batch-size", "4", "--device", "cpu")
    output(capsys, "table", "s", "--no-plots")
    assert list(Path("elsewhere").glob("s/*/cells.csv"))
    assert "3 measured" in output(capsys, "measure", "--metric", "fd_cifar10", "--device", "cpu")
    first, second = sorted(path.stem for path in Path("elsewhere/records").iterdir())[:2]
    output(capsys, "compare", first, second)
    output(capsys, "compare", "s", "s")
    output(capsys, "fid", first, "--metric", "fd", "--reference", second, "--device", "cpu")
    output(capsys, "stats", "build", second, "--extractor", "pixels", "-o", "stats.npz", "--device", "cpu")
    quick: dict[str, Any] = {"checkpoint": "gaussian-cifar10", "steps": 30, "samples": 8, "batch_size": 4}
    (record,) = bench.run(**quick, grid="uniform", device="cpu", registry=installed())
    assert record.fingerprint in {path.stem for path in Path("elsewhere/records").iterdir()}
    (table,) = bench.table("s", metric="fd_dct")
    assert len(table.cells) == 2
    assert bench.compare(first, second).rows
    remeasured = bench.remeasure("fd_cifar10", device="cpu", registry=installed())
    assert [one.outcome for one in remeasured] == ["complete"] * 3
    assert not Path("results").exists()
    # a flag wins
    assert exit_status("table", "s", "--out", "nowhere") == 2
    output(capsys, *RUN, "--out", "by_flag")
    assert Path("by_flag/records").is_dir()
