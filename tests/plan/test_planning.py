"""Planned runs: their titles, and that settings multiply out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import bench
from bench import (
    SDE,
    BenchError,
    MemoryCheckpoint,
    Noise,
    Prediction,
    Solver,
    Tensor,
    param,
)
from bench.plan.contexts import MetricContexts
from bench.plan.drafting import described
from bench.plan.planning import Plan, Planner, plan_runs, plan_suite
from bench.plan.settings import Settings, settings, suites
from bench.plan.suites import CellGroup, Suite, resolve_suite
from bench.results.manifest import SuitePlan
from bench.results.run_spec import RunSpec
from bench.types import Precision, PrecisionChoice
from tests.support.plans import QUICK, contexts, plan, quick_spec
from tests.support.plugins import installed


def titles(**changes: Any) -> list[str]:
    """Titles of the runs that these settings expand to."""
    settings: dict[str, Any] = {"checkpoint": ["gaussian-cifar10"], "samples": 8, "steps": 30}
    return [run.title for run in plan_runs(Settings(**(settings | changes)), "quick", contexts()).runs]


def test_titles_tell_apart_what_differs() -> None:
    assert titles() == ["gaussian-cifar10 · vp · reverse_diffusion, 30 steps"]
    variants = [
        titles(corrector=["langevin"]),
        titles(corrector=["langevin"], parameters={"corrector": {"snr": "0.2"}}),
        titles(grid="polynomial"),
        titles(grid="polynomial", parameters={"grid": {"rho": 3.0}}),
        titles(denoise="none"),
        titles(precision="bf16"),
        titles(parameters={"sde": {"beta_max": 10}}),
        titles(predictor=["euler_maruyama"]),
        titles(predictor=["euler_maruyama"], parameters={"predictor": {"dt": "published"}}),
        titles(solver=["rk45"]),
        titles(solver=["rk45"], parameters={"solver": {"tol": 1e-3}}),
    ]
    assert len({title for (title,) in variants}) == len(variants)


@pytest.mark.parametrize("emulated", [True, False])
def test_emulated_bfloat16_is_announced(monkeypatch: pytest.MonkeyPatch, emulated: bool) -> None:
    monkeypatch.setattr("bench.plan.planning.emulates_bf16", lambda _: emulated)
    events: list[object] = []
    settings = Settings(checkpoint=["gaussian-cifar10"], samples=8, steps=30, precision="bf16")
    plan_runs(settings, "quick", MetricContexts(installed(), Path("results"), emit=events.append))
    assert ("emulates bfloat16" in str(events)) == emulated


@pytest.mark.parametrize(("multiplies", "network"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_decided_per_checkpoint_and_names_the_run(
    monkeypatch: pytest.MonkeyPatch, multiplies: bool, network: Precision
) -> None:
    """The run is the one that the decided precision names, whatever the number of samples."""
    monkeypatch.setattr("bench.devices.multiplies_bf16", lambda _: multiplies)
    names = ["gaussian-cifar10", "cifar10-tiny"]

    def specs(precision: PrecisionChoice, samples: int = 8) -> list[RunSpec]:
        chosen: dict[str, Any] = {
            "checkpoint": names,
            "samples": samples,
            "batch_size": 8,
            "steps": 30,
            "sde": ["vp"],
        }
        return list(plan_runs(Settings(**chosen, precision=precision), "quick", contexts()).specs)

    exact, learned = specs("auto")
    assert (exact.precision, learned.precision) == ("fp32", network)
    assert exact.fingerprint == specs("fp32")[0].fingerprint
    assert learned.fingerprint == specs(network)[1].fingerprint
    assert learned.key == specs("auto", samples=16)[1].key


class Adapted(Solver):
    """A solver with further settings of a library as one text."""

    name = "adapted"
    tol: float = param(default=0.1, help="tolerance")
    config: str = param(default="", help="further settings")

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        return x


def test_a_solvers_title_has_its_defaults_but_no_empty_text() -> None:
    assert described(Adapted()) == "adapted (tol=0.1)"
    assert described(Adapted(config="order=3")) == "adapted (tol=0.1, config=order=3)"


def test_a_repeated_name_counts_once() -> None:
    assert len(titles(sde=["ve", "ve"], checkpoint=["gaussian-cifar10"] * 2, repeats=2)) == 2


def test_planned_runs_are_plain_data_of_their_settings() -> None:
    spec = quick_spec(corrector=["langevin"])
    assert (spec.batch_count, spec.samples, spec.device, spec.planned_nfe) == (2, 16, "cpu", 60)
    assert spec.cacheable
    assert not spec.in_memory
    assert [type(run) for run in Planner(contexts()).runs(Settings.model_validate(QUICK))] == [RunSpec]
    assert len(plan(Settings.model_validate(QUICK | {"repeats": 3}))) == 3


SUITE = Suite(
    layout="grid",
    network_metrics=["flow_error"],
    cells=[CellGroup(predictor=["ancestral", "ddim"], steps=10, grid="polynomial")],
)


def suite_runs(**changes: Any) -> tuple[list[RunSpec], SuitePlan]:
    """The runs and the plan of `SUITE`."""
    settings = Settings.model_validate({"samples": 4, "device": "cpu"} | changes)
    planned = plan_suite(settings, "quick", "mine", SUITE, contexts())
    (suite_plan,) = planned.suite_plans
    return planned.specs, suite_plan


def test_a_suites_metrics_of_networks_are_of_the_samplers_that_have_them() -> None:
    (ancestral, ddim), suite_plan = suite_runs(checkpoint=["cifar10-tiny"])
    assert [metric.label for metric in ancestral.metrics] == ["fd_cifar10"]
    assert [metric.label for metric in ddim.metrics] == ["fd_cifar10", "flow_error"]
    assert suite_plan.metrics == ("fd_cifar10", "flow_error")
    assert [run.unfit for run in suite_plan.cells] == [("flow_error",), ()]


def test_only_a_metric_without_a_value_is_left_out_of_a_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*_: object) -> None:
        raise BenchError("a mistake of the metric")

    monkeypatch.setattr(installed().get("metrics", "flow_error").thing, "check_sampler", mistaken)
    with pytest.raises(BenchError, match="a mistake of the metric"):
        suite_runs(checkpoint=["cifar10-tiny"])


def test_the_metric_none_measures_nothing() -> None:
    assert quick_spec(metric=["none"]).metrics == ()
    with pytest.raises(BenchError, match="none"):
        quick_spec(metric=["none", "fd_dct"])


def test_metrics_of_networks_are_not_of_exact_checkpoints_or_of_the_users_choice() -> None:
    for changes in (
        {"checkpoint": ["gaussian-cifar10"]},
        {"checkpoint": ["cifar10-tiny"], "metric": ["fd_dct"]},
    ):
        runs, suite_plan = suite_runs(**changes)
        assert {metric.label for run in runs for metric in run.metrics} == {"fd_dct"}
        assert suite_plan.metrics == ("fd_dct",)


def test_the_companions_of_a_plan_are_named_once() -> None:
    planned = plan_suite(
        Settings.model_validate(
            {"checkpoint": ["gaussian-cifar10"], "samples": 4, "metric": ["flow_error"], "device": "cpu"}
        ),
        "quick",
        "mine",
        SUITE.model_copy(
            update={"cells": [CellGroup(predictor=["ddim", "unipc"], steps=[30, 40], column="{steps}")]}
        ),
        contexts(),
    )
    assert len(planned.specs) == 4
    assert [spec.sampler.solver.values() for spec in planned.companions if spec.sampler.solver] == [
        {"tol": 1e-6},
        {"tol": 1e-5},
    ]


def test_the_number_of_runs_is_bounded() -> None:
    many = Settings.model_validate(QUICK | {"repeats": 10_000, "predictor": [f"p{i}" for i in range(11)]})
    with pytest.raises(BenchError, match="the settings make 110,000 runs, more than 100,000"):
        plan_runs(many, "quick", contexts())
    suite = Suite(
        cells=[CellGroup(sde="vp", predictor="ancestral", steps=list(range(30, 41)), row="{steps}")]
    )
    with pytest.raises(BenchError, match="the settings make 110,000 runs, more than 100,000"):
        plan_suite(Settings.model_validate(QUICK | {"repeats": 10_000}), "quick", "s", suite, contexts())


class Zero(torch.nn.Module):
    """A score of zero, with classes or without."""

    def forward(self, x: Tensor, label: Tensor, *classes: Tensor) -> Tensor:
        return 0 * x


def network(**changes: Any) -> MemoryCheckpoint:
    options: dict[str, Any] = {"predicts": "score", "labels": "999t", "shape": (3, 32, 32)}
    return bench.network(Zero(), **options | changes)


def test_a_cards_parameters_of_metrics_hold_unless_the_user_gives_others() -> None:
    """Before anything is sampled, so that it is enough that neither file exists."""
    card = network(metric="fd", parameters={"metric": {"reference": "own.npz"}})
    for own, name in (({}, "own.npz"), ({"reference": "mine.npz"}, "mine.npz")):
        with pytest.raises(BenchError, match=f"reference {name}: there is no such file"):
            bench.run(model=card, steps=2, samples=2, parameters={"metric": own})


def test_two_networks_of_other_classes_are_refused() -> None:
    guided: dict[str, Any] = {"task": "guided", "steps": 2, "samples": 2, "metric": "fd_cifar10"}
    guided["parameters"] = {"task": {"guide": "edm-imagenet-64-cond-adm"}}
    for classes, own in ((4, "4"), (0, "none")):
        with pytest.raises(BenchError, match=f"cond-adm has 1000 classes, network has {own}"):
            bench.run(model=network(classes=classes), **guided)


NFE = """
[suites.calls]
checkpoint = "gaussian-cifar10"
[[suites.calls.cells]]
sde = "vp"
predictor = ["ddim", "heun"]
grid = "logsnr"
steps = [4, 8]
row = "{predictor}"
column = "{nfe} calls"
[[suites.calls.cells]]
sde = "vp"
solver = "rk45"
row = "{sampler}"
column = "{nfe:>3} calls"
"""


def suite_of(text: str, name: str, folder: Path, scale: float = 1.0) -> Plan:
    """The plan of a suite of a bench.toml."""
    (folder / "bench.toml").write_text(text)
    chosen, _ = settings({"checkpoint": ["gaussian-cifar10"], "device": "cpu"}, "exact", folder)
    suite = resolve_suite(name, suites(folder))
    return plan_suite(chosen, "exact", name, suite, contexts(), scale=scale)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_places_name_the_network_calls(tmp_path: Path, scale: float) -> None:
    """Of the suite's own step counts, whatever the scale; cells of equal calls share a column."""
    cells = suite_of(NFE, "calls", tmp_path, scale).suite_plans[0].cells
    assert [(cell.row, cell.column) for cell in cells] == [
        ("ddim", "4 calls"),
        ("ddim", "8 calls"),
        ("heun", "7 calls"),
        ("heun", "15 calls"),
        ("rk45", "adaptive calls"),
    ]


def test_two_cells_of_equal_calls_in_one_row_are_refused(tmp_path: Path) -> None:
    text = NFE.replace('predictor = ["ddim", "heun"]', 'predictor = ["ddim", "dpmpp_2m"]')
    text = text.replace('row = "{predictor}"', 'row = "all"', 1)
    with pytest.raises(BenchError, match="suite calls: two cells have the place vp all 4 calls"):
        suite_of(text, "calls", tmp_path)
    with pytest.raises(BenchError, match="can't be filled in"):
        suite_of(NFE.replace("{nfe}", "{nfe:.2q}"), "calls", tmp_path)
