"""Runs that metrics read beside the measured ones: made once, first, and lost to nobody."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bench import (
    SDE,
    Batch,
    CompanionRun,
    FlowSolver,
    Metric,
    MetricContext,
    MetricResult,
    MetricState,
    Noise,
    Prediction,
    Record,
    Register,
    RunSpec,
    Sampler,
    Tensor,
    hookimpl,
    param,
)
from bench.engine.loop import Engine
from bench.engine.session import Session
from bench.plan.dry_run import dry_run
from bench.plan.planning import Plan
from bench.plan.settings import Settings
from bench.plugins.registry import Registry
from bench.reporting.suite_tables import make_tables
from bench.results.store import Store
from tests.support.executors import InTurn
from tests.support.plans import QUICK, contexts, plan
from tests.support.plugins import installed
from tests.support.runs import computed_batches, exit_status, registry_with

FLOW = QUICK | {"metric": ["flow_error"], "steps": 10, "grid": "polynomial"}


def runs(registry: Registry | None = None, **changes: Any) -> list[RunSpec]:
    """Runs of two deterministic samplers."""
    return plan(Settings.model_validate(FLOW | {"predictor": ["ddim", "dpmpp_2m"]} | changes), registry)


def execute(
    specs: list[RunSpec], root: Path, executor: Any = None, registry: Registry | None = None, **options: Any
) -> list[Record]:
    """Execute runs on a store."""
    registry = registry or installed()
    engine = Engine(Store(root), executor or InTurn(), Session(registry), contexts(registry), **options)
    return engine.execute(specs)


def test_a_companion_is_made_once_and_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = computed_batches(monkeypatch)
    records = execute(runs(repeats=2), tmp_path)
    assert [record.status for record in records] == ["finished"] * 4
    methods = [batch.spec.sampler.solver is not None for batch in batches]
    # two tolerances, two seeds, two batches each; then two samplers of two seeds
    assert methods == [True] * 8 + [False] * 8
    assert {record.identity.seed for record in records} == {0, 1}
    values = [record.metrics["flow_error"].value for record in records]
    assert len(set(values)) == 4
    assert len(list(tmp_path.glob("records/*.json"))) == 4 + 4


def test_a_second_command_makes_nothing_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = execute(runs(), tmp_path)
    batches = computed_batches(monkeypatch)
    assert execute(runs(), tmp_path) == first
    assert execute(runs(predictor=["unipc"]), tmp_path)[0].status == "finished"
    assert {batch.spec.title for batch in batches} == {
        "gaussian-cifar10 · vp · unipc, 10 steps, polynomial grid"
    }


def test_samples_on_disk_get_the_metric_without_sampling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(runs(metric=["fd_dct"]), tmp_path)
    batches = computed_batches(monkeypatch)
    records = execute(runs(metric=["fd_dct", "flow_error"]), tmp_path)
    assert all({"fd_dct", "flow_error"} == set(record.metrics) for record in records)
    assert all(batch.spec.sampler.solver is not None for batch in batches)


def test_companions_that_the_user_runs_too_are_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user runs the fine and the coarse solution too, with metrics of their own."""
    specs = [
        *runs(predictor=["ddim"]),
        *(
            run
            for tol in (1e-6, 1e-5)
            for run in plan(
                Settings.model_validate(
                    QUICK | {"metric": ["fd_dct"], "solver": ["rk45"], "parameters": {"solver": {"tol": tol}}}
                )
            )
        ),
    ]
    batches = computed_batches(monkeypatch)
    ddim, fine, coarse = execute(specs, tmp_path)
    assert len(batches) == 6
    assert [set(record.metrics) for record in (fine, coarse)] == [{"fd_dct"}] * 2
    assert ddim.metrics["flow_error"].value > 0.01


def test_samples_of_companions_are_not_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next command reads them too."""
    (ddim,) = runs(predictor=["ddim"])
    execute([ddim], tmp_path, prune=True)
    keys = {one.spec.key for one in ddim.companions}
    assert {path.parent.name for path in tmp_path.glob("samples/**/*.safetensors")} == keys
    batches = computed_batches(monkeypatch)
    (record,) = execute(runs(predictor=["unipc"]), tmp_path, prune=True)
    assert record.status == "finished"
    assert len(batches) == 2
    assert {path.parent.name for path in tmp_path.glob("samples/**/*.safetensors")} == keys


def solved(tol: float = 1e-6, **changes: Any) -> list[RunSpec]:
    """The fine solution as the user's own run."""
    settings = {"metric": ["fd_dct"], "solver": ["rk45"], "parameters": {"solver": {"tol": tol}}}
    return plan(Settings.model_validate(QUICK | settings | changes))


def states(specs: list[RunSpec], root: Path, rerun: str = "failed") -> list[str]:
    """What a dry run says of the companions, then of the runs."""
    report = dry_run(
        Plan(tuple(specs), Settings.model_validate(FLOW), "quick"), Store(root), contexts(), rerun
    )
    return [entry.state for entry in report.entries]


def test_companions_that_the_user_prunes_by_name_are_made_again_as_a_dry_run_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ddim,), (unipc,) = runs(predictor=["ddim"]), runs(predictor=["unipc"])
    assert states([ddim], tmp_path) == ["to run"] * 3
    execute([ddim], tmp_path)
    execute(solved(), tmp_path, prune=True)
    # the record is there, and nothing reads its samples again
    assert states([ddim], tmp_path) == ["finished"] * 3
    assert states([ddim, unipc], tmp_path) == ["to run", "finished", "finished", "to run"]
    batches = computed_batches(monkeypatch)
    assert execute([unipc], tmp_path)[0].status == "finished"
    assert {batch.spec.title for batch in batches} == {ddim.companions[0].spec.title, unipc.title}
    # what the user did not ask for is made once, whatever --rerun says
    assert states([unipc], tmp_path, "all") == ["finished"] * 3


class PrunesMeanwhile(InTurn):
    """Another process prunes the companions' samples once the first batch of their readers is done."""

    name = "prunes_meanwhile"
    root: str = param(default="", help="results folder")
    pruned: ClassVar[list[str]] = []

    def map(self, work: Any, batches: Iterator[Batch]) -> Iterator[tuple[Batch, Any]]:
        for batch in batches:
            outcome = work(batch)
            if batch.spec.companions and not self.pruned:
                for one in batch.spec.companions:
                    shutil.rmtree(Path(self.root, "samples", one.spec.key))
                    self.pruned.append(one.name)
            yield batch, outcome


def test_samples_that_another_process_prunes_are_made_again(tmp_path: Path) -> None:
    expected = execute(runs(), tmp_path / "alone")
    PrunesMeanwhile.pruned.clear()
    records = execute(runs(), tmp_path / "shared", PrunesMeanwhile(root=str(tmp_path / "shared")))
    assert PrunesMeanwhile.pruned == ["fine", "coarse"]
    assert [record.metrics for record in records] == [record.metrics for record in expected]


def test_a_rerun_of_all_leaves_the_users_own_metrics_of_a_companion(tmp_path: Path) -> None:
    settings = QUICK | {"metric": ["fd_dct"], "solver": ["rk45"], "parameters": {"solver": {"tol": 1e-6}}}
    (solved,) = execute(plan(Settings.model_validate(settings)), tmp_path)
    execute(runs(predictor=["ddim"]), tmp_path, rerun="all")
    assert Store(tmp_path).read_record(solved.fingerprint) == solved


def test_a_failed_metric_of_a_companion_does_not_matter_to_its_readers(tmp_path: Path) -> None:
    """Its samples are whole, and they are all that is read."""
    (spec,) = runs(predictor=["ddim"])
    fine, coarse = (one.spec for one in spec.companions)
    for one in execute([fine, coarse], tmp_path):
        failed = one.model_copy(update={"status": "failed", "reason": "a metric failed", "cost": None})
        Store(tmp_path).write_record(failed)
    (record,) = execute([spec], tmp_path, rerun="missing")
    assert record.status == "finished", record.reason


def test_a_table_has_the_values_of_all_seeds_and_sdes(tmp_path: Path) -> None:
    """Their fine solutions differ, and the values compare."""
    for sde in ("vp", "ve"):
        execute(runs(predictor=["ddim"], sde=[sde], repeats=2), tmp_path)
    (table,) = make_tables(None, Store(tmp_path))
    assert sorted((cell.sde, cell.seeds, cell.status) for cell in table.cells) == [
        ("ve", 2, "finished"),
        ("vp", 2, "finished"),
    ]


def test_companions_are_no_cells_of_a_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for predictor in ("ddim", "dpmpp_2m"):
        execute(runs(predictor=[predictor], metric=["flow_error", "fd_dct"]), tmp_path / predictor)
    status = exit_status("compare", str(tmp_path / "ddim"), str(tmp_path / "dpmpp_2m"))
    out, err = capsys.readouterr()
    assert (status, err) == (0, "")
    assert "fd_dct" in out
    assert "flow_error" in out


class Reversed(InTurn):
    """Computes all batches, and hands them back last first."""

    name = "reversed"

    def map(self, work: Any, batches: Iterator[Batch]) -> Iterator[tuple[Batch, Any]]:
        yield from reversed([(batch, work(batch)) for batch in batches])


def test_a_run_that_is_sampled_before_its_companions_waits_for_them(tmp_path: Path) -> None:
    expected = execute(runs(), tmp_path / "in-turn")
    records = execute(runs(), tmp_path / "reversed", Reversed())
    assert [r.metrics for r in records] == [r.metrics for r in expected]


class Breaks(FlowSolver):
    """Fails at a tolerance."""

    name = "breaks"
    tol: float = 1e-3

    def integrate(self, field: Any, y: Tensor, start: float, end: float) -> Tensor:
        raise ArithmeticError("no such luck")

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        raise ArithmeticError("no such luck")


class BreaksPlugin:
    """Registers it."""

    @hookimpl
    def register_solvers(self, register: Register) -> None:
        register(Breaks)


def test_a_companion_that_fails_fails_the_runs_that_read_it(tmp_path: Path) -> None:
    registry = registry_with(BreaksPlugin())
    broken = runs(registry, parameters={"metric": {"solver": "breaks"}})
    sound = runs(predictor=["unipc"], metric=["fd_dct"])
    records = execute([*broken, *sound], tmp_path, registry=registry)
    assert [record.status for record in records] == ["failed", "failed", "finished"]
    for record in records[:2]:
        assert record.reason.startswith("flow_error-breaks reads gaussian-cifar10")
        assert "which failed: ArithmeticError: no such luck" in record.reason


class MeanOfTwo(Metric):
    """A third party's metric with one companion, whose output comes after the run's own."""

    name = "mean_of_two"

    def companions(self, sampler: Sampler) -> Mapping[str, CompanionRun]:
        return {"other": CompanionRun("rk45", {"tol": 1e-2})}

    def start(self, context: MetricContext) -> MetricState:
        class State(MetricState):
            values: list[float]

            def __init__(self) -> None:
                self.values = []

            def update(self, images: Tensor, other: Tensor) -> None:  # type: ignore[override]
                assert images.shape == other.shape
                self.values.append(float((images + other).mean()) / 2)

            def compute(self) -> MetricResult:
                return MetricResult(sum(self.values) / len(self.values), 16)

        return State()


class MeanOfTwoPlugin:
    """Registers it."""

    @hookimpl
    def register_metrics(self, register: Register) -> None:
        register(MeanOfTwo)


def test_a_metric_of_a_third_party_has_companions_of_its_own(tmp_path: Path) -> None:
    registry = registry_with(MeanOfTwoPlugin())
    (record,) = execute(
        runs(registry, predictor=["ddim"], metric=["mean_of_two"]), tmp_path, registry=registry
    )
    assert record.status == "finished", record.reason
    assert set(record.metrics["mean_of_two"].companions) == {"other"}


def test_a_changed_companion_makes_the_value_anew(tmp_path: Path) -> None:
    """A value rests on the samples of its companions: those of another key are other samples."""
    (record,) = execute(runs(predictor=["ddim"]), tmp_path)
    (spec,) = runs(predictor=["ddim"])
    keys = {one.name: one.spec.key for one in spec.companions}
    assert record.metrics["flow_error"].companions == keys
    shutil.rmtree(tmp_path / "records")
    assert execute(runs(predictor=["ddim"]), tmp_path)[0].metrics == record.metrics


def test_a_dry_run_counts_the_companions(tmp_path: Path) -> None:
    specs = runs()
    report = dry_run(
        Plan(tuple(specs), Settings.model_validate(FLOW), "quick"), Store(tmp_path), contexts(), "failed"
    )
    assert [entry.adaptive for entry in report.entries] == [True, True, False, False]
