"""Artifacts of something else are refused when a run is planned, with the reason."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bench import BenchError, Sampler
from bench.plan.artifacts import check_artifacts, fit_cost, fittable_parts
from bench.results.identity import CheckpointIdentity
from tests.support.analytic import grid_of, sde
from tests.support.fits import Learner, Marks, artifact
from tests.support.plugins import installed

CHECKPOINT = CheckpointIdentity(
    name="gaussian-cifar10", format="exact", shape=(2,), data_range=(0.0, 1.0), sha256="", convention="exact"
)


def sampler(predictor: str = "ddim", steps: int = 3, law: str = "vp", **changes: Any) -> Sampler:
    grid = Marks(artifact=artifact(**changes))
    return Sampler(sde(law), installed().build("predictors", predictor, {}), steps=steps, grid=grid)


def test_its_own_run_is_planned() -> None:
    check_artifacts(sampler(), CHECKPOINT, seed=0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"checkpoint": "other"}, "was fitted to other, not to gaussian-cifar10"),
        ({"checkpoint_sha256": "0"}, "was fitted to other files of gaussian-cifar10"),
        ({"convention": "rescaled"}, "called by another convention"),
        ({"sampler": "dpmpp_2m", "sampler_parameters": {}}, "was fitted for dpmpp_2m, not for ddim"),
        ({"role": "predictor"}, "is one of a predictor, not of a grid"),
        ({"checkpoint": "a\nb"}, r"was fitted to a\\nb, not to"),
        ({"seed": 0}, "was fitted on samples of seed 0, on which it can't be judged: give another --seed"),
    ],
)
def test_an_artifact_of_something_else_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(BenchError, match=reason):
        check_artifacts(sampler(**changes), CHECKPOINT, seed=0)


def test_a_predictor_that_was_fitted_on_another_grid_is_refused() -> None:
    logsnr = grid_of("logsnr")
    parameters = {"role": "predictor", "plugin": "learner", "parameters": {}, "sampler": "learner"}
    own = artifact(**parameters, grid=logsnr.name, grid_parameters=logsnr.values())
    sampler = Sampler(sde("vp"), Learner(artifact=own), steps=3, grid=logsnr)
    check_artifacts(sampler, CHECKPOINT, seed=0)
    with pytest.raises(BenchError, match="was fitted on the grid logsnr, not on time_uniform"):
        check_artifacts(dataclasses.replace(sampler, grid=grid_of("time_uniform")), CHECKPOINT, seed=0)


def test_an_artifact_that_names_another_is_refused() -> None:
    with pytest.raises(BenchError, match="names another artifact: fit it again"):
        Marks(artifact=artifact(parameters={"artifact": "a.json"}))


def test_an_artifact_of_another_number_of_steps_is_refused() -> None:
    with pytest.raises(BenchError, match="was fitted for 3 steps, not 4: give --steps 3"):
        check_artifacts(sampler(steps=4), CHECKPOINT, seed=0)


def test_an_artifact_of_another_sde_is_refused() -> None:
    with pytest.raises(BenchError, match=r"was fitted on vp \(.*\), not on ve"):
        check_artifacts(sampler(law="ve"), CHECKPOINT, seed=0)


def test_a_run_without_an_artifact_is_refused() -> None:
    bare = Sampler(sde("vp"), installed().build("predictors", "ddim", {}), steps=3, grid=Marks())
    with pytest.raises(BenchError, match="marks needs its artifact"):
        check_artifacts(bare, CHECKPOINT, seed=0)


def test_another_sampler_may_use_what_does_not_depend_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Marks, "any_sampler", True)
    check_artifacts(sampler("dpmpp_2m"), CHECKPOINT, seed=0)


@pytest.mark.parametrize("role", ["grid", "predictor"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("corrector", "was fitted without a corrector: leave out --corrector langevin"),
        ("afs", "was fitted without --afs: leave it out"),
    ],
)
def test_a_run_with_what_no_fit_has_is_refused(
    role: str, name: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A grid or predictor that was fitted for the predictor alone does not suit a run of another course."""
    changes: dict[str, dict[str, Any]] = {
        "corrector": {"corrector": installed().build("correctors", "langevin", {"snr": 0.1})},
        "afs": {"afs": True},
    }
    whole = sampler()
    if role == "predictor":
        own = {"role": "predictor", "plugin": "learner", "parameters": {}, "sampler": "learner"}
        whole = Sampler(sde("vp"), Learner(artifact=artifact(**own)), steps=3, grid=grid_of("logsnr"))
    check_artifacts(whole, CHECKPOINT, seed=0)
    other = dataclasses.replace(whole, **changes[name])
    with pytest.raises(BenchError, match=reason):
        check_artifacts(other, CHECKPOINT, seed=0)
    monkeypatch.setattr(Marks, "any_sampler", True)
    monkeypatch.setattr(Learner, "any_sampler", True)
    check_artifacts(other, CHECKPOINT, seed=0)


def test_a_corrector_that_does_nothing_is_none() -> None:
    idle = installed().build("correctors", "none", {})
    check_artifacts(dataclasses.replace(sampler(), corrector=idle), CHECKPOINT, seed=0)


def test_the_cost_is_the_artifacts() -> None:
    cost = fit_cost(sampler())
    assert cost is not None
    assert (cost.nfe, cost.seconds) == (4.0, 1.5)
    plain = Sampler(sde("vp"), installed().build("predictors", "ddim", {}), steps=3, grid=grid_of("logsnr"))
    assert fit_cost(plain) is None
    assert not fittable_parts(plain)
