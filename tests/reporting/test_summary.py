"""The table at the end of a run, titles of cells, and how the command ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.plan.planning import make_plan
from bench.plan.settings import Settings
from bench.reporting.summary import notes, spread, summary_rows
from tests.support.plugins import installed


def record(seed: int, value: float, **reading: Any) -> dict[str, Any]:
    fd = {"value": value, "n": 200, "error": 0.5, "note": "", "details": {}} | reading
    cost = {"nfe": 20, "seconds": 2.0, "samples_per_second": 100.0 + seed, "network_share": 0.975}
    return {
        "status": "finished",
        "title": f"net · vp · em, 20 steps · seed {seed}",
        "metrics": {"fd": fd},
        "cost": cost,
    }


def test_spread_is_mean_and_sample_deviation() -> None:
    assert spread([2.0]) == spread([2.0, 2.0]) == "2"
    assert spread([1.0, 2.0, 3.0]) == "2 ± 1 (std over 3 seeds)"


def test_seeds_are_one_row_and_neither_error_is_called_the_other() -> None:
    (row,) = summary_rows([record(0, 1.0), record(1, 3.0)])
    assert row["sampler"] == "net · vp · em, 20 steps"
    assert row["value"] == "2 ± 1.4 (std over 2 seeds), standard error of each over its samples 0.5"
    assert (row["samples"], row["NFE per sample"], row["in network"]) == ("200", "20", "97.5 %")
    (row,) = summary_rows([record(0, 1.0, exact=1.25)])
    assert (row["value"], row["exact"]) == ("1 ± 0.5 (standard error over samples)", "1.25")


def test_failed_cells_have_no_row_and_daggers_are_explained() -> None:
    failed = record(0, 1.0) | {"status": "failed"}
    flagged = record(1, 1.0, note="n below 1000", error=None)
    (row,) = summary_rows([failed, flagged])
    assert row["value"] == "1 †"
    assert [n.startswith("† fd: n below 1000") for n in notes([failed, flagged])] == [True]


@pytest.mark.parametrize(
    ("value", "bias", "said"), [(-0.1, "none", 1), (0.1, "none", 0), (-0.1, "upwards", 0)]
)
def test_a_value_below_nought_is_explained_where_its_bias_is_taken_off(
    value: float, bias: str, said: int
) -> None:
    assert sum("fd below nought" in note for note in notes([record(0, value, bias=bias)])) == said


def titles(**changes: Any) -> list[str]:
    base: dict[str, Any] = {"checkpoint": ["gaussian-cifar10"], "samples": 8, "steps": 30}
    return [cell.title for cell in make_plan(Settings(**(base | changes)), installed())]


def test_titles_tell_apart_what_differs() -> None:
    assert titles() == ["gaussian-cifar10 · vp · reverse_diffusion, 30 steps · seed 0"]
    variants = [
        titles(corrector=["langevin"]),
        titles(corrector=["langevin"], parameters={"corrector": {"snr": "0.2"}}),
        titles(grid="polynomial"),
        titles(grid="polynomial", rho=3.0),
        titles(denoise="none"),
        titles(precision="bf16"),
        titles(parameters={"sde": {"beta_max": 10}}),
        titles(predictor=["euler_maruyama"]),
        titles(predictor=["euler_maruyama"], parameters={"predictor": {"dt": "published"}}),
        titles(solver=["rk45"]),
        titles(solver=["rk45"], parameters={"solver": {"tol": 1e-3}}),
    ]
    assert len({title for (title,) in variants}) == len(variants)


def test_a_name_given_twice_counts_once() -> None:
    assert len(titles(sde=["ve", "ve"], checkpoint=["gaussian-cifar10"] * 2, repeats=2)) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGPIPE there")
def test_a_reader_that_leaves_is_no_failure_of_ours(tmp_path: Path) -> None:
    """SIGPIPE ends the command, as it does any other; there is no traceback and no status of ours."""
    code = "import os, time; from bench.cli import main; time.sleep(0.5); main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "list", "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == -signal.SIGPIPE
    assert "Traceback" not in said
