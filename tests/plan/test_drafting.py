"""Runs under construction: plugins that raise are failed rows, with the origin of the error."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

import bench
from bench import (
    SDE,
    BatchContext,
    Card,
    Metric,
    MetricContext,
    MetricState,
    Noise,
    Prediction,
    Predictor,
    Register,
    Solver,
    Step,
    Task,
    Tensor,
    Update,
    hookimpl,
)
from bench.plan.drafting import PluginErrors, origin_of
from bench.plan.settings import Settings
from bench.plugins.registry import Registry
from bench.results.run_spec import UnplannedRun
from tests.support.plans import QUICK, plan_all
from tests.support.plugins import installed
from tests.support.runs import exit_status, records_in, registry_with


class Moody(Predictor):
    """Stays where it is; raises in the method that `mood` names."""

    name = "moody"
    mood: ClassVar[str] = ""

    def nfe(self, grid: Sequence[Step]) -> int | None:
        if self.mood == "a fraction":
            return 2.5  # type: ignore[return-value]
        self._raise("nfe")
        return len(grid)

    def resolve(self, sde: SDE) -> Predictor:
        self._raise("resolve")
        return type(self)()  # an object of its own, as the plugins of the box make

    def described(self, always: Any = ()) -> str:
        self._raise("described")
        return super().described(always)

    def values(self) -> dict[str, Any]:
        self._raise("values")
        return super().values()

    def __post_init__(self) -> None:
        self._raise("__post_init__")

    def _raise(self, method: str) -> None:
        if self.mood == method:
            raise ValueError(f"{method}\nis\nbroken")

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        p.score(x, step)
        return Update(x, x)


class MoodySolver(Solver):
    """Raises at every question of the plan."""

    name = "moody_solver"

    @property
    def couples_batch(self) -> bool:
        raise ZeroDivisionError("couples_batch")

    def nfe(self) -> int | None:
        raise ZeroDivisionError("nfe")

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        return x


class MoodySDE(installed().get("sdes", "vp").thing):  # type: ignore[misc]
    """VP whose schedule raises."""

    name = "moody_sde"

    def alpha(self, t: Any) -> Any:
        raise ArithmeticError("no alpha")


class MoodyMetric(Metric):
    """Raises when it is checked."""

    name = "moody_metric"

    def check(self, task: Task, shape: tuple[int, ...], samples: int) -> None:
        raise LookupError("no such shape")

    def start(self, context: MetricContext) -> MetricState:
        raise NotImplementedError


class MoodyTask(Task):
    """Raises when it says what decides its numbers."""

    name = "moody_task"

    def provenance(self, card: Card) -> dict[str, str]:
        raise OSError("no such file")

    def run(self, batch: BatchContext) -> dict[str, Tensor]:
        raise NotImplementedError


class MoodyPlugins:
    @hookimpl
    def register_predictors(self, register: Register) -> None:
        register(Moody)

    @hookimpl
    def register_solvers(self, register: Register) -> None:
        register(MoodySolver)

    @hookimpl
    def register_sdes(self, register: Register) -> None:
        register(MoodySDE)

    @hookimpl
    def register_metrics(self, register: Register) -> None:
        register(MoodyMetric)

    @hookimpl
    def register_tasks(self, register: Register) -> None:
        register(MoodyTask)


@pytest.fixture
def moody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    return registry_with(MoodyPlugins(), "moody-plugins", "1")


RUN = (
    *("run", "--checkpoint", "gaussian-cifar10", "--device", "cpu"),
    *("--samples", "8", "--batch-size", "4"),
)
BOTH = (*RUN, "--steps", "30", "--predictor", "moody", "--predictor", "reverse_diffusion")


@pytest.mark.parametrize(
    ("mood", "reason"),
    [
        ("nfe", "ValueError: nfe is broken (predictor moody of moody-plugins 1)"),
        ("resolve", "ValueError: resolve is broken (predictor moody of moody-plugins 1)"),
        ("described", "ValueError: described is broken (predictor moody of moody-plugins 1)"),
        ("values", "ValueError: values is broken (predictor moody of moody-plugins 1)"),
        ("__post_init__", "ValueError: __post_init__ is broken (predictor moody of moody-plugins 1)"),
        ("a fraction", "TypeError: the number of network calls is declared as 2.5, not as an integer"),
    ],
)
def test_a_predictor_that_raises_is_a_failed_row_and_the_others_go_on(
    moody: Registry,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mood: str,
    reason: str,
) -> None:
    monkeypatch.setattr(Moody, "mood", mood)
    assert exit_status(*BOTH, registry=moody) == 1
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert "1 finished, 1 failed" in out
    assert reason in out
    failed, finished = sorted(records_in(), key=lambda record: record.status)
    assert (failed.status, finished.status) == ("failed", "finished")
    assert failed.reason == reason
    assert Path(failed.log).read_text().startswith("Traceback (most recent call last):")
    assert failed.title == "gaussian-cifar10 · vp · moody, 30 steps"
    monkeypatch.setattr(Moody, "mood", "")
    assert exit_status(*BOTH, registry=moody) == 0  # the failed run is planned anew


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (
            ("--solver", "moody_solver", "--solver", "rk45", "--tol", "1e-1"),
            "ZeroDivisionError: nfe (solver moody_solver of moody-plugins 1)",
        ),
        (
            ("--steps", "30", "--sde", "moody_sde", "--sde", "vp"),
            "ArithmeticError: no alpha (sde moody_sde of moody-plugins 1)",
        ),
    ],
)
def test_a_solver_or_sde_that_raises_is_a_failed_row_and_the_others_go_on(
    moody: Registry, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], reason: str
) -> None:
    assert exit_status(*RUN, *flags, registry=moody) == 1
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert "1 finished, 1 failed" in out
    assert [record.reason for record in records_in() if record.status == "failed"] == [reason]


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (
            ("--metric", "moody_metric"),
            "LookupError: no such shape (metric moody_metric of moody-plugins 1)",
        ),
        (("--task", "moody_task"), "OSError: no such file (task moody_task of moody-plugins 1)"),
    ],
)
def test_a_metric_or_task_that_raises_fails_its_runs(
    moody: Registry, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], reason: str
) -> None:
    assert exit_status(*RUN, "--steps", "30", *flags, registry=moody) == 1
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert "0 finished, 1 failed" in out
    assert [record.reason for record in records_in()] == [reason]


def test_within_a_suite_its_place_in_the_table_shows_failed(
    moody: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Moody, "mood", "resolve")
    Path("bench.toml").write_text(
        '[suites.s]\nlayout = "grid"\ncheckpoint = "gaussian-cifar10"\n[[suites.s.cells]]\nsde = "vp"\n'
        'predictor = ["moody", "ancestral"]\nsteps = [30, 40]\nrow = "{predictor}"\ncolumn = "{steps}"\n'
    )
    suite = ("run", "--suite", "s", "--device", "cpu", "--samples", "8", "--batch-size", "4")
    assert exit_status(*suite, registry=moody) == 1
    assert "2 finished, 2 failed" in capsys.readouterr().out
    assert exit_status("table", "s", "--no-plots", registry=moody) == 1
    assert "failed" in capsys.readouterr().out
    (table,) = bench.table("s", plots=False)
    assert {(cell.row, cell.column): cell.status for cell in table.cells} == {
        ("moody", "30"): "failed",
        ("moody", "40"): "failed",
        ("ancestral", "30"): "finished",
        ("ancestral", "40"): "finished",
    }


def test_a_finished_record_outlives_an_error_of_planning(
    moody: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert exit_status(*BOTH, registry=moody) == 0
    before = [record.fingerprint for record in records_in()]
    monkeypatch.setattr(Moody, "mood", "nfe")
    assert exit_status(*BOTH, registry=moody) == 1
    records = {record.fingerprint: record.status for record in records_in()}
    assert [records[fingerprint] for fingerprint in before] == ["finished", "finished"]
    assert len(records) == 3


def test_an_unplanned_run_has_an_identity_of_its_own_settings(
    moody: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Moody, "mood", "nfe")

    def unplanned(**changes: Any) -> UnplannedRun:
        (run,) = plan_all(Settings.model_validate(QUICK | {"predictor": ["moody"]} | changes), moody)
        assert isinstance(run, UnplannedRun)
        return run

    assert unplanned().fingerprint == unplanned().fingerprint
    variants: list[dict[str, Any]] = [
        {},
        {"steps": 31},
        {"seed": 1},
        {"samples": 24},
        {"parameters": {"sde": {"eps": "1e-4"}}},
    ]
    assert len({unplanned(**changes).fingerprint for changes in variants}) == len(variants)
    assert json.loads(unplanned().identity.model_dump_json())["predictor"]["name"] == "moody"


def test_the_origin_of_an_error_is_the_innermost_plugin() -> None:
    inner, outer = Moody(), MoodySolver()
    with pytest.raises(ZeroDivisionError) as caught:
        outer.nfe()
    assert origin_of(caught.value, {"predictor": inner, "solver": outer}) == "solver"
    assert origin_of(caught.value, {"predictor": inner}) is None
    assert origin_of(caught.value, {"solver": MoodySolver}) == "solver"


def test_only_the_first_error_of_a_plugin_is_collected() -> None:
    errors = PluginErrors()
    for error in (ValueError("first"), KeyError("second")):
        with errors.collect():
            raise error
    assert str(errors.first) == "first"
    with pytest.raises(bench.BenchError), errors.collect():
        raise bench.BenchError("a mistake in the command")


class EndlessTask(installed().get("tasks", "generate").thing):  # type: ignore[misc]
    """Declares what JSON can't hold."""

    name = "endless_task"

    def provenance(self, card: Card) -> dict[str, Any]:
        return {"size": float("nan")}


class Nameless(Metric):
    """Has no label."""

    name = "nameless"

    @property
    def label(self) -> str:
        raise LookupError("no label")

    def start(self, context: MetricContext) -> MetricState:
        raise NotImplementedError


class SameLabel(Nameless):
    """Is called as another metric."""

    name = "same_label"
    label = "fd_dct"


class OddPlugins:
    @hookimpl
    def register_tasks(self, register: Register) -> None:
        register(EndlessTask)

    @hookimpl
    def register_metrics(self, register: Register) -> None:
        register(Nameless)
        register(SameLabel)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"task": "endless_task"}, "ValueError: Out of range float"), ({"metric": ["nameless"]}, "no label")],
)
def test_what_a_record_can_not_hold_is_a_failed_row(changes: dict[str, Any], reason: str) -> None:
    registry = registry_with(OddPlugins(), "odd-plugins", "1")
    (run,) = plan_all(Settings.model_validate(QUICK | changes), registry)
    assert isinstance(run, UnplannedRun)
    assert reason in run.reason


def test_two_metrics_of_one_label_are_refused() -> None:
    registry = registry_with(OddPlugins(), "odd-plugins", "1")
    with pytest.raises(bench.BenchError, match="two metrics are called fd_dct"):
        plan_all(Settings.model_validate(QUICK | {"metric": ["fd_dct", "same_label"]}), registry)
