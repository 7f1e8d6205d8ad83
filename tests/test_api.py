"""The Python API: runs of names, classes, instances and networks in memory; what is cached."""

from __future__ import annotations

import itertools
import linecache
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import bench
from bench import (
    BenchError,
    Metric,
    MetricContext,
    MetricResult,
    MetricState,
    Noise,
    Prediction,
    Predictor,
    Results,
    Step,
    Tensor,
    Update,
    param,
)
from bench.events import Event, Notice, RunDone, silent
from tests.support.executors import Pool
from tests.support.plugins import installed
from tests.support.runs import computed_batches, forbid_batches, records_in

OPTIONS: dict[str, Any] = {
    "checkpoint": "gaussian-cifar10",
    "sde": "vp",
    "steps": 4,
    "grid": "logsnr",
    "samples": 8,
    "batch_size": 4,
    "device": "cpu",
}
"""A run of two batches that takes no time."""


class Slope(Predictor):
    """dx/dt of the probability flow, by Euler's method, times ``gain``."""

    name = "slope"
    linear = True

    gain: float = param(default=1.0, help="a factor", above=0)

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        half_rate = 0.5 * (step.sigma_next - step.sigma)
        moved = x - self.gain * half_rate * step.sigma * p.score(x, step)
        return Update(moved, moved)


class Still(Slope):
    """Asks the network and stays where it is."""

    name = "still"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        return Update(x, x + 0 * p.score(x, step))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to run in."""
    monkeypatch.chdir(tmp_path)


def run(events: list[Event] | None = None, **changes: Any) -> Results:
    """`bench.run` of `OPTIONS` with changes; None leaves an option out."""
    options = {key: value for key, value in (OPTIONS | changes).items() if value is not None}
    emit = silent if events is None else events.append
    return bench.run(**options, registry=installed(), emit=emit)


def fingerprints(results: Results) -> list[str]:
    return [record.fingerprint for record in results]


def notices(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


_cells = itertools.count()


def run_cell(source: str, *, listed: bool = True) -> dict[str, Any]:
    """Run source as a notebook's cell; ``listed=False`` as one whose source no one can read."""
    file = f"<cell {next(_cells)} of test_api>"
    if listed:
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, file, "exec"), namespace)
    return namespace


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


class Mean(Metric):
    """Mean of all pixels."""

    name = "mean"
    min_samples = 2

    def start(self, context: MetricContext) -> MetricState:
        return MeanState()


class MeanState(MetricState):
    """Sum and number of the pixels so far."""

    def __init__(self) -> None:
        self.total, self.pixels, self.n = 0.0, 0, 0

    def update(self, images: Tensor) -> None:
        self.total += float(images.double().sum())
        self.pixels += images.numel()
        self.n += len(images)

    def compute(self) -> MetricResult:
        return MetricResult(self.total / self.pixels, n=self.n)


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


def test_results_are_a_frame_images_and_a_page() -> None:
    results = run(predictor=["ddim", Slope], metric="fd_dct")
    frame = results.frame()
    assert frame["fingerprint"].tolist() == fingerprints(results)
    assert frame["value"].tolist() == [r.metrics["fd_dct"].value for r in results]
    images = results.images(results[1])
    assert (images.shape, images.dtype) == ((8, 3, 32, 32), torch.float32)
    assert not torch.equal(images, results.images(0))
    page = results._repr_html_()
    assert page.count("<tr") == 3
    for record in results:
        assert f"{record.metrics['fd_dct'].value:.4g}" in page


SUITE = """
[suites.mine]
about = "two predictors"
layout = "grid"
checkpoint = "gaussian-cifar10"
[[suites.mine.cells]]
sde = ["ve", "vp"]
predictor = ["ddim", "euler_maruyama"]
steps = 4
grid = "logsnr"
row = "{predictor}"
column = "P{steps}"
"""
SMALL_SUITE: dict[str, Any] = {"suite": "mine", "samples": 8, "batch_size": 4, "device": "cpu"}


def run_suite(**changes: Any) -> Results:
    Path("bench.toml").write_text(SUITE)
    return bench.run(**SMALL_SUITE | changes, registry=installed(), emit=silent)


def test_a_suite_is_run_and_tabulated(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(run_suite(only=["vp ddim *"])) == 1
    (table,) = bench.table("mine", metric="fd_dct")
    assert not table.complete
    batches = computed_batches(monkeypatch)
    results = run_suite()
    assert len(batches) == 6  # the run of above is cached
    forbid_batches(monkeypatch)
    (table,) = bench.table("mine", metric="fd_dct")
    assert table.complete
    values = {(cell.sde, cell.row): cell.value for cell in table.cells}
    for record in results:
        assert record.identity.predictor is not None
        place = (record.identity.sde.name, record.identity.predictor.name)
        assert values[place] == record.metrics["fd_dct"].value
    assert not Path("tables").exists()
    bench.table("mine", to="tables", plots=False)
    assert {path.suffix for path in Path("tables/mine").rglob("*.*")} == {".csv", ".md", ".tex"}


def test_a_suite_sets_its_own_samplers() -> None:
    with pytest.raises(BenchError, match="the suite mine sets its own samplers"):
        run_suite(predictor="ddim")
    with pytest.raises(BenchError, match="belong to a suite"):
        run(only=["vp *"])
    with pytest.raises(BenchError, match="nope"):
        bench.table("nope")


def test_two_runs_are_compared() -> None:
    run(predictor=["ddim", Slope], samples=16)
    a, b = run(predictor="ddim", samples=16, out="a"), run(predictor=Slope, samples=16, out="b")
    comparison = bench.compare(a[0].fingerprint, b[0].fingerprint, metrics=["fd_dct"])
    (row,) = [row for row in comparison.rows if row.metric == "fd_dct"]
    assert row.estimate.difference == pytest.approx(
        b[0].metrics["fd_dct"].value - a[0].metrics["fd_dct"].value
    )
    (own,) = [row for row in bench.compare(a, "a").rows if row.metric == "fd_dct"]
    assert own.estimate.difference == 0


def test_a_tensor_is_measured() -> None:
    images = torch.rand(110, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    measurement = bench.measure(images, metric="fd_cifar10", device="cpu", registry=installed())
    assert (measurement.shape, measurement.source["n"]) == ((3, 32, 32), 110)
    value = measurement.metrics["fd_cifar10"].record.value
    assert value > 10  # noise is no picture
    in_bytes = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    same = bench.measure(in_bytes, metric="fd_cifar10", device="cpu", registry=installed())
    assert same.metrics["fd_cifar10"].record.value == pytest.approx(value, rel=1e-9)
    with pytest.raises(BenchError):
        bench.measure(images[:, :2], metric="fd_cifar10", device="cpu", registry=installed())


def test_a_metric_class_measures_a_tensor() -> None:
    images = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    result = bench.measure(images, metric=Mean, device="cpu", registry=installed()).metrics["mean"].record
    assert result.value == pytest.approx(float(images.double().mean()), abs=2e-3)
    assert result.n == 6


def test_remeasuring_samples_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    results = run(predictor="ddim", metric="fd_dct")
    forbid_batches(monkeypatch)
    (entry,) = bench.remeasure(Mean, registry=installed())
    assert (entry.record.fingerprint, entry.outcome) == (results[0].fingerprint, "measured")
    (record,) = records_in()
    assert record.metrics["mean"].value == pytest.approx(float(results.images().double().mean()))
    assert record.metrics["fd_dct"] == results[0].metrics["fd_dct"]
    with pytest.raises(BenchError, match="there are no results in"):
        bench.remeasure(Mean, out="elsewhere", registry=installed())


@pytest.mark.parametrize("thing", ["ddim", lambda: installed().get("predictors", "ddim").thing])
def test_a_sound_class_passes_its_check(thing: str | Callable[[], type[Predictor]]) -> None:
    report = bench.check(thing if isinstance(thing, str) else thing(), sdes=["vp"], registry=installed())
    assert report.passed
    assert (report.role, report.name) == ("predictor", "ddim")


def test_a_wrong_class_fails_its_check() -> None:
    report = bench.check(Still, sdes=["vp"], registry=installed())
    assert not report.passed
    assert any("convergence" in finding.name for finding in report.findings if finding.status == "fail")


class Red(Metric):
    """The mean of the red channel, times a factor."""

    name = "red"

    factor: float = param(default=1.0, help="a factor")

    def start(self, context: MetricContext) -> MetricState:
        return _Red(self.factor)


class _Red(MetricState):
    def __init__(self, factor: float) -> None:
        self.factor, self.values = factor, []  # type: ignore[var-annotated]

    def update(self, images: Tensor) -> None:
        self.values.append(images[:, 0].mean(dim=(1, 2)))

    def compute(self) -> MetricResult:
        values = torch.cat(self.values)
        return MetricResult(self.factor * float(values.mean()), len(values))


def test_measure_takes_an_instance_with_its_parameters() -> None:
    images = torch.full((4, 3, 8, 8), 0.5)
    (result,) = bench.measure(images, metric=Red(factor=4.0), registry=installed()).metrics.values()
    assert result.record.value == pytest.approx(2.0)


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
