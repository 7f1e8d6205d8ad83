"""What a fit is planned from, and the settings that it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import BenchError
from bench.plan.fit_request import FIT_SEED, FitRequest, fit_target
from tests.support.fits import Jump, Learner, Marks
from tests.support.plugins import installed

SETTINGS = {"sde": "vp", "seed": FIT_SEED}


def planned(plugin: Any = None, **changes: Any) -> Any:
    own: dict[str, Any] = {"checkpoint": "gaussian-cifar10", "steps": 3, "settings": SETTINGS}
    return FitRequest(plugin=plugin or Marks(), **(own | changes)).plan(installed())


def test_the_run_of_a_grid() -> None:
    one = planned(predictor="dpmpp_2m", parameters={"grid": {"share": 0.25}})
    assert one.role == "grid"
    assert one.plugin == Marks(share=0.25)
    assert (one.spec.sampler.predictor.name, one.spec.sampler.steps, one.spec.seed) == (
        "dpmpp_2m",
        3,
        FIT_SEED,
    )
    assert one.spec.metrics == ()


def test_the_run_of_a_predictor() -> None:
    one = planned(Learner(), grid="logsnr")
    assert one.role == "predictor"
    assert (one.spec.sampler.predictor, one.spec.sampler.grid.name) == (Learner(), "logsnr")


def test_the_run_of_a_solver_ends_as_its_runs_do() -> None:
    one = planned(Jump(), steps=None)
    assert one.role == "solver"
    assert (one.spec.sampler.solver, one.spec.sampler.denoise) == (Jump(), "none")


@pytest.mark.parametrize(("predictor", "nfe", "steps"), [("ddim", 5, 5), ("heun", 5, 3), ("seeds", 7, 3)])
def test_network_calls_give_the_number_of_steps(predictor: str, nfe: int, steps: int) -> None:
    assert planned(predictor=predictor, steps=None, nfe=nfe).spec.sampler.steps == steps


@pytest.mark.parametrize(
    ("plugin", "changes", "reason"),
    [
        (None, {"steps": None}, "give --nfe, or --steps"),
        (None, {"nfe": 3}, "give --nfe, or --steps"),
        (None, {"steps": 0}, "--steps of a fit must lie between 1 and 1000, not 0"),
        (None, {"steps": None, "nfe": 6, "predictor": "heun"}, "6 network calls at no number of steps"),
        (None, {"checkpoint": None}, "give --checkpoint"),
        (None, {"grid": "logsnr"}, "leave out --grid"),
        (None, {"parameters": {"grid": {"nodes": 3}}}, "marks has no parameter 'nodes'"),
        (Learner(), {"predictor": "ddim"}, "leave out --predictor"),
        ("polynomial", {}, "the grid polynomial has no fit: these have one: gits, learned_times"),
        ("gitz", {}, "nothing that can be fitted is called 'gitz'.*gits"),
    ],
)
def test_settings_without_meaning_are_refused(plugin: Any, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(BenchError, match=reason):
        planned(plugin, **changes)


def test_a_target_is_checked_before_anything_is_fitted(tmp_path: Path) -> None:
    assert fit_target(tmp_path / "a.json") == tmp_path / "a.json"
    for name, reason in (("a.toml", "must end in .json"), ("no/a.json", "there is no folder")):
        with pytest.raises(BenchError, match=reason):
            fit_target(tmp_path / name)
    (tmp_path / "b.json").mkdir()
    with pytest.raises(BenchError, match="is a folder"):
        fit_target(tmp_path / "b.json")
