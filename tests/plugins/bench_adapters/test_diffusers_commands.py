"""``diffusers:<SchedulerClass>`` in commands and suites, and what is refused with a reason."""

from __future__ import annotations

import csv
import json
import pickle
import sys
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import BenchError, Prediction, Solver
from bench.checkpoints.load import load_model
from bench.diffusion.sampler import Sampler
from tests.support import adapted
from tests.support.adapted import bench, check_refused
from tests.support.analytic import sde
from tests.support.plugins import installed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("diffusers", reason="diffusers, a test dependency, is not installed")


def build(scheduler: str, **parameters: Any) -> Solver:
    return adapted.build(f"diffusers:{scheduler}", **parameters)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("DDIM", {}, "diffusers has no scheduler 'DDIM' (did you mean 'DDIMScheduler'"),
        ("EulerDiscretScheduler", {}, "did you mean 'EulerDiscreteScheduler'"),
        ("", {}, "diffusers has no scheduler ''"),
        ("<SchedulerClass>", {}, "stands for many solvers: put a name in place of <SchedulerClass>"),
        ("UniPCMultistepScheduler", {"config": "solver_oder=3"}, "no setting 'solver_oder' (did you mean"),
        ("UniPCMultistepScheduler", {"config": "solver_order"}, "config takes key=value,key=value, not"),
        ("UniPCMultistepScheduler", {"config": "solver_order=two"}, "type of its default, 2, not 'two'"),
        ("UniPCMultistepScheduler", {"config": "solver_order=true"}, "type of its default, 2, not"),
        ("UniPCMultistepScheduler", {"config": "solver_type=3"}, "solver_type must have the type of"),
        ("UniPCMultistepScheduler", {"config": "beta_start=0.1"}, "beta_start can't be set: the SDE"),
        ("DDIMScheduler", {"config": "timestep_spacing=odd"}, "odd is not supported"),
        ("DDIMScheduler", {"steps": 0}, "steps must be >= 1"),
        ("PNDMScheduler", {"steps": 3}, "PNDMScheduler takes 4 steps at least, not 3"),
        ("EDMEulerScheduler", {"config": "sigma_min=0.1"}, "sigma_min can't be set: the SDE"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(name: str, parameters: dict[str, Any], message: str) -> None:
    check_refused(f"diffusers:{name}", parameters, message)


def test_the_error_of_a_missing_library_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(
        BenchError,
        match=r"^diffusers needs diffusers: .*: in a clone of .*, pip install -e '\.\[diffusers\]'$",
    ):
        installed().get("solvers", "diffusers:NeverAskedForBefore")
    # and all else goes on
    assert "diffusers:<SchedulerClass>" in installed().names("solvers")
    assert installed().build("solvers", "rk45", {}).name == "rk45"


SUITE = """
[suites.others]
layout = "grid"
checkpoint = "gaussian-cifar10"

[[suites.others.cells]]
sde = "vp"
solver = ["diffusers:EulerDiscreteScheduler", "diffusers:DPMSolverMultistepScheduler"]
parameters.solver.steps = [4, 8]
row = "{solver}"
column = "NFE {steps}"
"""


def test_a_suite_of_them_from_run_to_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.toml").write_text(SUITE)
    assert bench("run", "--suite", "others", "--samples", "8", "--batch-size", "8") == 0
    assert "4 finished, 0 failed" in capsys.readouterr().out
    assert bench("table", "others") == 0
    printed = capsys.readouterr().out
    assert "diffusers:DPMSolverMultistepScheduler" in printed
    (path,) = (tmp_path / "results" / "others").glob("*/cells.csv")
    with path.open() as lines:
        rows = list(csv.DictReader(lines))
    assert {(row["row"], row["column"], float(row["nfe"])) for row in rows} == {
        (f"diffusers:{name}", f"NFE {steps}", float(steps))
        for name in ("EulerDiscreteScheduler", "DPMSolverMultistepScheduler")
        for steps in (4, 8)
    }
    names = [path.name for path in tmp_path.rglob("*")]
    assert not [name for name in names if set(name) & set(':<>"|?*\\')]
    record = json.loads(next((tmp_path / "results" / "records").glob("*.json")).read_text())
    assert record["identity"]["solver"]["libraries"] == {
        name: metadata.version(name) for name in ("diffusers", "numpy", "torch")
    }


def test_the_level_of_a_timestep_is_said_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    spacing = "solver.config=timestep_spacing=linspace"
    flags = ("--checkpoint", "gaussian-cifar10", "--sde", "vp", "--samples", "2", "--batch-size", "2")
    assert bench("run", "--solver", "diffusers:DDIMScheduler", "-P", spacing, *flags) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "stands for a noise level" in line]
    assert line.startswith("diffusers:DDIMScheduler: the timestep of call 20 of 20 stands for a noise level")
    assert line.endswith("times off from its state's; the network is told the state's")


def test_show_and_list_know_members(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("show", "diffusers:DDIMScheduler") == 0
    output = capsys.readouterr().out
    assert output.startswith("solver diffusers:DDIMScheduler, from sampler-bench")
    assert "timestep_spacing=leading" in output
    assert "trained_betas" not in output
    assert bench("show", "diffusers:DDIMSchedular") == 2
    assert "did you mean 'DDIMScheduler'" in capsys.readouterr().err
    assert bench("list", "solvers", "--json") == 0
    names = [entry["name"] for entry in json.loads(capsys.readouterr().out)["entries"]]
    assert "diffusers:<SchedulerClass>" in names


def test_check_judges_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert bench("check", "diffusers:DPMSolverMultistepScheduler", "--sde", "vp", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"] is True
    assert (report["role"], report["name"]) == ("solver", "diffusers:DPMSolverMultistepScheduler")
    assert [Path(file).name for file in report["files"]] == [
        f"diffusers_DPMSolverMultistepScheduler.{kind}" for kind in ("csv", "png", "svg")
    ]


def test_it_pickles_alone_and_in_a_sampler() -> None:
    """A member's class is made at run time: no module holds it."""
    solver = build("DDIMScheduler", steps=7, config="timestep_spacing=trailing")
    assert pickle.loads(pickle.dumps(solver)) == solver
    sampler = Sampler(sde("vp"), solver=solver, denoise="none")
    assert pickle.loads(pickle.dumps(sampler)) == sampler


def test_thresholding_is_refused_where_states_are_no_pixels() -> None:
    solver = build("DPMSolverMultistepScheduler", config="thresholding=True")
    card = installed().get("checkpoints", "gaussian-cifar10").thing
    law = sde("vp")
    p = Prediction(load_model(card, law, torch.device("cpu"), installed()), law)
    with pytest.raises(BenchError, match="thresholding acts on pixels, which the states of this check"):
        solver.solve(torch.zeros(2, 3, 32, 32), law, p, torch.randn_like)


def test_what_the_library_refuses_is_one_line() -> None:
    with pytest.raises(BenchError, match=r"^diffusers:PNDMScheduler: the library stops with ") as error:
        build("PNDMScheduler", config="skip_prk_steps=true,timestep_spacing=odd")
    assert "\n" not in str(error.value)


def test_a_result_that_is_not_finite_is_an_error_before_the_run() -> None:
    """diffusers 0.42.1 rounds DPM-Solver++'s timesteps: of 1000 one stands there twice."""
    solver = build("DPMSolverMultistepScheduler", steps=1000)
    with pytest.raises(BenchError, match="the library's result is not finite in 1000 steps: take another"):
        solver.resolve(sde("vp"))
