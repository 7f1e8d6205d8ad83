"""``bench fit``: what it prints, its file and its exit status; and a run that uses the file."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fits import STOPS, Marks
from tests.support.plugins import hooks
from tests.support.runs import exit_status, registry_with

FIT = ("fit", "marks", "--checkpoint", "gaussian-cifar10", "--sde", "vp", "--samples", "2")
RUN = ("run", "--profile", "none", "--checkpoint", "gaussian-cifar10", "--sde", "vp", "--predictor", "ddim")
USE = ("-P", "grid.artifact=a.json")
Bench = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    registry = registry_with(hooks("grids", Marks))

    def run(*words: str) -> tuple[int, str, str]:
        status = exit_status(*words, registry=registry)
        return status, *capsys.readouterr()

    return run


def test_it_says_what_was_fitted_what_it_cost_and_how_to_use_it(bench: Bench) -> None:
    status, out, _ = bench(*FIT, "--nfe", "3", "-o", "a.json", "-P", "grid.share=0.25")
    assert status == 0
    first, times, _, cost, use = out.splitlines()
    assert first == "a.json: marks for ddim, 3 steps, on gaussian-cifar10"
    assert times == "  times: 1, 0.25, 0.0625"
    assert cost.startswith("  fitted by 4 network evaluations in ")
    command = use.removeprefix("  to use it: bench ").split()
    assert bench(*command, "--samples", "4", "--profile", "none")[0] == 0
    assert bench(*FIT, "--steps", "3", "-o", "a.json", "-P", "grid.share=0.25")[1].startswith(
        f"{first} (it was"
    )


def test_the_command_that_it_prints_has_the_parameters(bench: Bench) -> None:
    own = ("-P", "predictor.eta=0.5", "-P", "sde.beta_max=15", "-o", "my file.json")
    status, out, _ = bench(*FIT, "--steps", "3", *own)
    assert status == 0
    command = shlex.split(out.splitlines()[-1].removeprefix("  to use it: bench "))
    assert {"predictor.eta=0.5", "grid.artifact=my file.json"} <= set(command)
    assert bench(*command, "--samples", "4", "--profile", "none")[0] == 0


def test_json(bench: Bench) -> None:
    status, out, _ = bench(*FIT, "--steps", "3", "-o", "a.json", "--json")
    plain = json.loads(out)
    assert status == 0
    assert (plain["file"], plain["new"], plain["fit_nfe"], plain["seed"]) == ("a.json", True, 4, 1000)
    assert plain["values"]["times"] == [1.0, 0.5, 0.25]
    assert len(plain["sha256"]) == 64


def test_a_record_a_table_and_the_runs_have_the_cost_and_the_hash(bench: Bench) -> None:
    sha = json.loads(bench(*FIT, "--steps", "3", "-o", "a.json", "--json")[1])["sha256"]
    use = ("--steps", "3", "--grid", "marks", "-P", "grid.artifact=a.json", "--samples", "4")
    status, out, err = bench(*RUN, *use, "--json")
    assert status == 0, err
    (run,) = json.loads(out)["runs"]
    assert run["fit_nfe"] == 4
    assert run["fit_seconds"] > 0
    assert f"marks grid artifact {sha[:8]}" in run["title"]
    with Path("results/runs.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["fit_nfe"]) == 4
    (table,) = json.loads(bench("table", "--json")[1])["tables"]
    assert [cell["fit_nfe"] for cell in table["cells"]] == [4]
    costs = [
        file for file in Path(table["folder"]).iterdir() if "fit NFE" in file.read_text(errors="replace")
    ]
    assert costs
    # the record's own command works without the file
    Path("a.json").unlink()
    (command,) = json.loads(bench("show", run["fingerprint"], "--json")[1])[0]["commands"]
    assert f"grid.artifact=sha256:{sha}" in command
    assert "1 recorded already" in bench(*command[1:], "--dry-run")[1]


@pytest.mark.parametrize(
    ("use", "reason"),
    [
        (("--steps", "4", *USE), "was fitted for 3 steps, not 4: give --steps 3"),
        (
            ("--steps", "3", "-P", "grid.artifact=a.json", "--seed", "1000"),
            "was fitted on samples of seed 1000",
        ),
        (("--steps", "3", *USE, "-P", "sde.eps=1e-4"), "was fitted on vp (eps=0.001"),
        (("--steps", "3"), "marks needs its artifact: bench fit marks --help"),
        (
            ("--steps", "3", "-P", "grid.artifact=b.json"),
            "b.json can't be read as an artifact",
        ),
        (("--steps", "3", "-P", "grid.artifact="), "must be"),
    ],
)
def test_a_run_with_the_wrong_artifact_is_refused_in_a_line(
    bench: Bench, use: tuple[str, ...], reason: str
) -> None:
    assert bench(*FIT, "--steps", "3", "-o", "a.json")[0] == 0
    status, _, err = bench(*RUN, "--grid", "marks", *use)
    assert status == 2
    assert reason in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("fit", "ddim", "--checkpoint", "gaussian-cifar10", "--nfe", "5", "-o", "a.json"), "has no fit"),
        ((*FIT, "-o", "a.json"), "give --nfe, or --steps"),
        ((*FIT, "--nfe", "3", "-o", "a.toml"), "must end in .json"),
        ((*FIT, "--nfe", "3", "-o", ""), "an empty path names nothing"),
        ((*FIT, "--nfe", "3", "-o", "a.json", "-P", "task.x=1"), "no parameter 'x'"),
        ((*FIT, "--nfe", "3", "-o", "a.json", "--sde", "vq"), "unknown sde 'vq'"),
        ((*FIT, "--nfe", "3", "-o", "a.json", "--samples", "0"), "samples"),
    ],
)
def test_a_mistake_is_a_line(bench: Bench, words: tuple[str, ...], reason: str) -> None:
    status, _, err = bench(*words)
    assert status == 2
    assert reason in err
    assert err.count("\n") == 1
    assert not list(Path().glob("*.json"))


def test_ctrl_c_keeps_the_finished_part(bench: Bench) -> None:
    STOPS.append(True)
    status, _, err = bench(*FIT, "--steps", "3", "-o", "a.json")
    assert status == 130
    assert "the same command goes on from the last finished part" in err
    assert not Path("a.json").exists()
    assert bench(*FIT, "--steps", "3", "-o", "a.json")[0] == 0
