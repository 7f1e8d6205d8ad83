"""The Python API: runs of names, classes, instances and networks in memory; what is cached."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import bench
from bench import (
    BenchError,
    Predictor,
    Tensor,
    Update,
)
from bench.events import Event, RunDone, silent
from tests.support.api_runs import (
    OPTIONS,
    Mean,
    Slope,
    Still,
    fingerprints,
    notices,
    run,
    run_cell,
    run_suite,
)
from tests.support.executors import Pool
from tests.support.plugins import installed
from tests.support.runs import computed_batches, forbid_batches, records_in


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to run in."""
    monkeypatch.chdir(tmp_path)


CELL = """
from bench import Predictor, Update

GAIN = 2.0

class Gained(Predictor):
    name = "gained"
    linear = True

    def step(self, x, step, p, noise, state):
        moved = x + GAIN * 1e-3 * step.sigma * p.score(x, step)
        return Update(moved, moved)

class Other(Gained):
    name = "other"
"""


def test_names_multiply_out() -> None:
    results = run(predictor=["ddim", "euler_maruyama"], sde=["vp", "ve"], metric="fd_dct")
    assert {(r.identity.sde.name, r.identity.predictor.name) for r in results if r.identity.predictor} == {
        (sde, predictor) for sde in ("vp", "ve") for predictor in ("ddim", "euler_maruyama")
    }
    assert [r.status for r in results] == ["finished"] * 4
    assert records_in() == sorted(results, key=lambda record: (record.title, record.seed))


def test_the_second_time_all_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(predictor=["ddim", Slope], repeats=2)
    assert len(set(fingerprints(first))) == 4
    forbid_batches(monkeypatch)
    events: list[Event] = []
    again = run(events, predictor=["ddim", Slope], repeats=2)
    assert list(again) == list(first)
    assert [event.cached for event in events if isinstance(event, RunDone)] == [True] * 4


def test_a_class_is_an_instance_of_its_defaults() -> None:
    of_class, of_instance = run(predictor=Slope)[0], run(predictor=Slope(gain=1.0))[0]
    assert of_class == of_instance
    assert of_class.identity.predictor is not None
    assert (of_class.identity.predictor.name, of_class.identity.predictor.parameters) == (
        "slope",
        {"gain": 1.0},
    )


def test_an_instance_keeps_its_parameters() -> None:
    plain, doubled = run(predictor=Slope())[0], run(predictor=Slope(gain=2.0))[0]
    assert doubled.identity.predictor is not None
    assert doubled.identity.predictor.parameters == {"gain": 2.0}
    assert plain.fingerprint != doubled.fingerprint
    assert plain.metrics["fd_dct"].value != doubled.metrics["fd_dct"].value


def test_parameters_by_role_reach_a_class() -> None:
    record = run(predictor=Slope, parameters={"predictor": {"gain": 2.0}})[0]
    assert record.fingerprint == run(predictor=Slope(gain=2.0))[0].fingerprint


def test_several_objects_stand_in_one_call() -> None:
    results = run(predictor=[Slope(gain=2.0), Still, "ddim"], corrector=["none", "langevin"])
    names = [r.identity.predictor.name for r in results if r.identity.predictor]
    assert names == ["slope", "slope", "still", "still", "ddim", "ddim"]
    assert [r.status for r in results] == ["finished"] * 6
    assert len(set(fingerprints(results))) == 6
    with pytest.raises(BenchError, match="two objects are called slope"):
        run(predictor=[Slope(gain=1.0), Slope(gain=2.0)])


def test_a_call_leaves_the_registry_alone() -> None:
    run(predictor=Slope)
    with pytest.raises(BenchError, match="slope"):
        installed().get("predictors", "slope")


def test_an_object_without_a_name_is_refused() -> None:
    class Nameless(Slope):
        name = ""

    with pytest.raises(BenchError, match="needs a class attribute name"):
        run(predictor=Nameless)
    assert not Path("results").exists()


def test_two_classes_of_one_file_have_two_fingerprints() -> None:
    slope, still = run(predictor=[Slope, Still])
    assert slope.identity.predictor is not None
    assert still.identity.predictor is not None
    assert slope.identity.predictor.code != still.identity.predictor.code
    cell = run_cell(CELL)
    gained, other = run(predictor=[cell["Gained"], cell["Other"]])
    assert gained.fingerprint != other.fingerprint


def test_an_edit_of_a_global_that_a_class_reads_changes_its_fingerprint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = run(predictor=run_cell(CELL)["Gained"])[0]
    batches = computed_batches(monkeypatch)
    assert run(predictor=run_cell(CELL + "\nUNUSED = 1\n")["Gained"])[0] == first
    assert batches == []
    edited = run(predictor=run_cell(CELL.replace("GAIN = 2.0", "GAIN = 3.0"))["Gained"])[0]
    assert len(batches) == 2
    assert edited.fingerprint != first.fingerprint
    assert edited.metrics["fd_dct"].value != first.metrics["fd_dct"].value


def test_without_source_nothing_is_cached_and_a_notice_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    cls = run_cell(CELL, listed=False)["Gained"]
    batches = computed_batches(monkeypatch)
    for count in (2, 4):
        events: list[Event] = []
        (record,) = run(events, predictor=cls)
        assert record.status == "finished"
        assert len(batches) == count
        (notice,) = notices(events)
        assert notice.startswith(record.label)
        assert notice.endswith("the source of a plugin is not available, so the run is made anew")
    events = []
    run(events, predictor=Slope)
    assert notices(events) == []


class Scaled(nn.Module):
    """A network that answers with a share of its input."""

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(share))

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return self.share * x + (label / 999)[:, None, None, None]


def network(module: nn.Module) -> Any:
    return bench.network(
        module, predicts="noise", labels="999t", shape=(3, 8, 8), metric="fd_cifar10", name="scaled"
    )


def test_a_network_in_memory_stands_for_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"checkpoint": None, "sde": None, "predictor": "ddim", "metric": Mean}
    (record,) = results = run(model=network(Scaled()), **options)
    assert (record.status, record.reason) == ("finished", "")
    assert (record.identity.checkpoint.name, record.identity.sde.name) == ("scaled", "vp")
    assert results.images().shape == (8, 3, 8, 8)
    assert record.metrics["mean"].value == pytest.approx(float(results.images().double().mean()))
    batches = computed_batches(monkeypatch)
    assert run(model=network(Scaled()), **options)[0] == record
    assert batches == []
    assert run(model=network(Scaled(0.6)), **options)[0].fingerprint != record.fingerprint
    assert len(batches) == 2


@pytest.mark.parametrize("metric", [None, "sliced_wasserstein", "mmd"])
def test_items_without_data_to_compare_with_are_refused_before_sampling(
    monkeypatch: pytest.MonkeyPatch, metric: str | None
) -> None:
    """The reference of such metrics is CIFAR-10 where a checkpoint names no data of its own."""
    forbid_batches(monkeypatch)
    points = bench.network(nn.Identity(), predicts="noise", labels="999t", shape=(2,))
    with pytest.raises(BenchError, match="cifar10-train is of 3x32x32 items, the samples are 2: name data"):
        run(checkpoint=None, model=points, metric=metric)


def test_a_network_whose_state_has_no_hash_is_run_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Scaled()
    vars(module)["helper"] = object()
    batches = computed_batches(monkeypatch)
    for count in (2, 4):
        events: list[Event] = []
        run(events, model=network(module), checkpoint=None, sde=None, predictor="ddim", metric=Mean)
        assert len(batches) == count
        assert any("made anew" in text for text in notices(events))


def test_another_process_takes_no_object() -> None:
    with pytest.raises(BenchError, match="use the executor local"):
        run(predictor=Slope, executor=Pool)


def test_a_failing_object_is_a_row() -> None:
    class Broken(Slope):
        name = "broken"

        def step(self, *_: Any) -> Update:
            raise ValueError("it broke")

    broken, sound = results = run(predictor=[Broken, "ddim"])
    assert (broken.status, sound.status) == ("failed", "finished")
    assert "ValueError: it broke" in broken.reason
    assert results.failed == [broken]
    assert "it broke" in results._repr_html_()


def test_a_suite_sets_its_own_samplers() -> None:
    with pytest.raises(BenchError, match="the suite mine sets its own samplers"):
        run_suite(predictor="ddim")
    with pytest.raises(BenchError, match="belong to a suite"):
        run(only=["vp *"])
    with pytest.raises(BenchError, match="nope"):
        bench.table("nope")


@pytest.mark.parametrize("thing", ["ddim", lambda: installed().get("predictors", "ddim").thing])
def test_a_sound_class_passes_its_check(thing: str | Callable[[], type[Predictor]]) -> None:
    report = bench.check(thing if isinstance(thing, str) else thing(), sdes=["vp"], registry=installed())
    assert report.passed
    assert (report.role, report.name) == ("predictor", "ddim")


def test_a_wrong_class_fails_its_check() -> None:
    report = bench.check(Still, sdes=["vp"], registry=installed())
    assert not report.passed
    assert any("convergence" in finding.name for finding in report.findings if finding.status == "fail")


def test_a_metric_of_a_cell_is_cached_by_its_source_and_refused_elsewhere() -> None:
    cell = """
import torch
from bench import Metric, MetricResult, MetricState

class State(MetricState):
    def update(self, images):
        self.n = len(images)

    def compute(self):
        return MetricResult(VALUE, self.n)

class Constant(Metric):
    name = "constant"

    def start(self, context):
        return State()
"""
    values = []
    for value in (1.0, 1.0, 2.0):
        events: list[Event] = []
        metric = run_cell(cell.replace("VALUE", str(value)))["Constant"]
        values.append(run(events, metric=metric)[0].metrics["constant"].value)
        assert notices(events) == []
    assert values == [1.0, 1.0, 2.0]
    for value in (3.0, 4.0):  # without a source: computed anew, which is reported
        events = []
        metric = run_cell(cell.replace("VALUE", str(value)), listed=False)["Constant"]
        assert run(events, metric=metric)[0].metrics["constant"].value == value
        (notice,) = notices(events)
        assert notice.endswith("the source of constant is not available, so it is computed anew")
    registry = installed().copy()
    with pytest.raises(BenchError, match="works in other processes"):
        bench.run(**OPTIONS, metric=metric, executor=Pool, registry=registry, emit=silent)


def test_mistakes_in_a_call_are_one_line() -> None:
    net = bench.network(nn.Identity(), predicts="noise", labels="999t", shape=(3, 32, 32))
    with pytest.raises(BenchError, match="model takes the place of checkpoint"):
        run(model=net)
    with pytest.raises(BenchError, match="unknown rerun 'anew'"):
        run(rerun="anew")
    with pytest.raises(BenchError, match="out must name a folder"):
        run(out="")
    with pytest.raises(BenchError, match="parameters takes"):
        run(parameters={"corrector": 0.16})
    suite: dict[str, Any] = {"suite": "likelihood-exact", "checkpoint": "gaussian-cifar10"}
    with pytest.raises(BenchError, match="no cell of the suite matches 'xx y'"):
        bench.run(**suite, only="xx y", registry=installed(), emit=silent)


def test_a_terminal_shows_notices_without_an_emit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (record,) = run(metric="fd_dct")
    Path("results/records", f"{record.fingerprint}.json").write_text("{")
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    results = bench.run(**OPTIONS, metric="fd_dct", registry=installed())
    assert fingerprints(results) == [record.fingerprint]
    assert "is damaged" in capsys.readouterr().err
