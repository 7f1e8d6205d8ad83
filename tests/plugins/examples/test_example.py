"""The worked example, as a third party's: installed into a fresh virtual environment, and judged there."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support.paths import ROOT

EXAMPLE = ROOT / "plugins" / "examples" / "dpm-solver-2"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a fresh environment ``venv`` in which the example is installed, and its bench.toml.

    What this environment has (torch, sampler-bench) is lent to the fresh one by a path file, so that no
    gigabytes are installed anew; the example itself is built and installed by pip.
    """
    folder = tmp_path_factory.mktemp("author")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, capture_output=True)
    scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    base = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    packages = Path(sysconfig.get_path("purelib", vars=base))
    lent = sysconfig.get_path("purelib")
    (packages / "lent.pth").write_text(f"import site; site.addsitedir({lent!r})\n")
    source = shutil.copytree(EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    # hatchling is lent too: no network is needed
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    pip = [str(scripts / "python"), "-m", "pip", "install", *options, str(source)]
    done = subprocess.run(pip, capture_output=True, text=True, env=_environment())
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.copy(EXAMPLE / "bench.toml", folder)
    return folder


def _environment() -> dict[str, str]:
    """This process's, without what would lead Python past the fresh environment."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}


def bench(place: Path, *arguments: str, status: int = 0) -> str:
    """What ``bench ARGUMENTS`` prints in the fresh environment."""
    python = place / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    command = [str(python), "-c", "from bench.cli import main; main()", *arguments]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, env=_environment(), timeout=300)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def test_it_is_installed_there_and_not_here(place: Path) -> None:
    listed = json.loads(bench(place, "list", "predictors", "--json"))
    assert listed["problems"] == []
    (entry,) = [e for e in listed["entries"] if e["name"] == "my_dpm_solver_2"]
    assert entry["distribution"] == "bench-dpm-solver-2"
    assert [p["name"] for p in entry["parameters"]] == ["r"]
    here = subprocess.run([sys.executable, "-c", "import dpm_solver_2"], capture_output=True, cwd=place)
    assert here.returncode != 0


def test_check_finds_its_order(place: Path) -> None:
    content = json.loads(bench(place, "check", "my_dpm_solver_2", "--sde", "vp", "--json"))
    assert content["passed"] is True


def test_run_and_table_set_it_beside_the_built_ins(place: Path) -> None:
    sizes = ("--samples", "64", "--batch-size", "64")
    assert "9 finished, 0 failed" in bench(place, "run", "--suite", "mine", *sizes)
    bench(place, "table", "mine", "--no-plots")
    (table,) = (place / "results" / "mine").glob("*/cells.csv")
    with table.open() as lines:
        rows = {(row["row"], row["column"]): row for row in csv.DictReader(lines)}
    exact = {key: float(row["exact"]) for key, row in rows.items()}
    assert {float(row["nfe"]) for (_, column), row in rows.items() if column == "9 calls"} == {9.0}
    # second order, free of sampling noise: from 9 to 49 calls a step is (49 + 1) / (9 + 1) times shorter,
    # an error its square, and the distance, of squares, its fourth power; the asymptote is not yet reached
    fall = exact["my_dpm_solver_2", "9 calls"] / exact["my_dpm_solver_2", "49 calls"]
    assert fall > 5**3
    assert exact["my_dpm_solver_2", "49 calls"] < exact["ddim", "49 calls"]
    name = rows["my_dpm_solver_2", "9 calls"]["fingerprint"]
    record = json.loads((place / "results" / "records" / f"{name}.json").read_text())
    part = record["identity"]["predictor"]
    assert (part["distribution"], part["version"]) == ("bench-dpm-solver-2", "0.1.0")
    assert part["parameters"] == {"r": 0.5}
