"""``bench measure``: metrics taken later are those taken at once, and nothing is sampled."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import (
    BenchError,
    Metric,
    MetricContext,
    MetricResult,
    MetricState,
    Register,
    Tensor,
    hookimpl,
    param,
)
from bench.results.store import Store
from tests.support import made_up
from tests.support.plans import quick_spec
from tests.support.runs import exit_status, forbid_batches, registry_with

RUN = ("run", "--device", "cpu", "--grid", "uniform", "--steps", "30", "--batch-size", "8")
GAUSSIAN = ("--checkpoint", "gaussian-cifar10")
MIXTURE = ("--checkpoint", "gmm-cifar10")
MEASURE = ("measure", "--device", "cpu", "--metric")
Bench = Callable[..., str]

TOML = """
[suites.tiny]
about = "two cells"
layout = "list"
checkpoint = "gaussian-cifar10"
[[suites.tiny.cells]]
sde = ["vp", "ve"]
predictor = "reverse_diffusion"
steps = 30
"""


class Mean(Metric):
    """Mean of all pixels, plus a shift; fails, and says so, while ``broken`` is not empty."""

    name = "mean"
    broken = ""
    missing = ""
    shift: float = param(default=0.0, help="what is added")

    def start(self, context: MetricContext) -> MetricState:
        return _Mean(self.shift, self.broken)

    def provenance(self, context: MetricContext) -> dict[str, str]:
        if self.missing:
            raise BenchError(f"put {self.missing} into the cache")
        return {}


class _Mean(MetricState):
    def __init__(self, shift: float, broken: str) -> None:
        self.shift, self.broken, self.n, self.sum = shift, broken, 0, 0.0

    def update(self, images: Tensor) -> None:
        self.n += len(images)
        self.sum += float(images.double().mean()) * len(images)

    def compute(self) -> MetricResult:
        if self.broken:
            raise ValueError(f"{self.broken}\nis no number")
        return MetricResult(self.sum / self.n + self.shift, self.n)


class Plugin:
    @hookimpl
    def register_metrics(self, register: Register) -> None:
        register(Mean)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """Runs a command in an empty folder, with the metric ``mean``, and gives what it printed."""
    registry = registry_with(Plugin(), "metrics-of-test", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")

    def call(*arguments: str, status: int = 0) -> str:
        code = exit_status(*arguments, registry=registry)
        out, err = capsys.readouterr()
        assert code == status, out + err
        assert "Traceback" not in out + err
        return out + err

    return call


@pytest.fixture
def never_sampled(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on nothing may be sampled."""
    return lambda: forbid_batches(monkeypatch)


def records(out: str = "results") -> dict[str, dict[str, Any]]:
    """The records by label."""
    contents = [json.loads(p.read_text()) for p in Path(out, "records").iterdir()]
    return {f"{record['title']} · seed {record['identity']['seed']}": record for record in contents}


def metrics(out: str = "results") -> list[dict[str, Any]]:
    """The metrics of every record, by label."""
    return [record["metrics"] for _, record in sorted(records(out).items())]


def test_measured_later_is_measured_at_once(bench: Bench, never_sampled: Callable[[], None]) -> None:
    several = ("--samples", "20", "--sde", "vp", "--sde", "ve", *GAUSSIAN)
    bench(*RUN, *several, "--metric", "fd_cifar10", "--metric", "mean", "--metric", "fd_dct", "--out", "once")
    bench(*RUN, *several, "--metric", "mean")
    before = records()
    never_sampled()
    out = bench(*MEASURE, "fd_cifar10", "--metric", "fd_dct")
    assert "2 measured, 0 had it already, 0 without samples on disk, 0 failed" in out
    assert len([line for line in out.splitlines() if line.startswith("done")]) == 2
    assert metrics() == metrics("once")
    assert all(m["fd_dct"]["exact"] > 0 for m in metrics())
    for title, now in records().items():
        rest = {k: v for k, v in now.items() if k not in ("metrics", "checksum")}
        assert rest == {k: v for k, v in before[title].items() if k not in ("metrics", "checksum")}
    with Path("results/runs.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    values = {(f"{row['title']} · seed {row['seed']}", row["metric"]): float(row["value"]) for row in rows}
    assert values == {
        (title, name): metric["value"]
        for title, record in records("once").items()
        for name, metric in record["metrics"].items()
    }


def test_a_second_call_measures_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench(*RUN, *GAUSSIAN, "--samples", "8", "--sde", "vp", "--sde", "ve")
    bench(*MEASURE, "mean")
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in Path("results/records").iterdir()}
    monkeypatch.setattr("bench.engine.remeasuring.measure_batches", None)
    out = bench(*MEASURE, "mean")
    assert "0 measured, 2 had it already, 0 without samples on disk, 0 failed" in out
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in Path("results/records").iterdir()} == before


def test_other_parameters_and_other_reference_data_are_measured_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench(*RUN, *GAUSSIAN, "--samples", "8", "--metric", "mean")
    (first,) = metrics()
    assert "1 measured" in bench(*MEASURE, "mean", "-P", "metric.shift=2")
    (second,) = metrics()
    assert second["mean-2"]["value"] == first["mean"]["value"] + 2
    assert second["mean"] == first["mean"]  # another column: both stay
    assert second["mean-2"]["parameters"] == {"shift": 2.0}
    assert "1 had it already" in bench(*MEASURE, "mean", "-P", "metric.shift=2")
    monkeypatch.setattr(Mean, "provenance", lambda *_: {"data": "new"})
    assert "1 measured" in bench(*MEASURE, "mean", "-P", "metric.shift=2")
    (third,) = metrics()
    assert third["mean-2"]["provenance"] == {"data": "new"}


def test_parameters_in_bench_toml_count(bench: Bench) -> None:
    bench(*RUN, *GAUSSIAN, "--samples", "8")
    Path("bench.toml").write_text("[defaults.parameters.metric]\nshift = 3\n")
    bench(*MEASURE, "mean")
    (metric_records,) = metrics()
    assert metric_records["mean-3"]["parameters"] == {"shift": 3.0}


def test_records_without_samples_are_skipped_and_reported(bench: Bench) -> None:
    common = (*RUN, *GAUSSIAN, "--samples", "20")
    bench(*common)
    bench(*common, "--sde", "ve", "--prune")
    bench(*common, "--sde", "subvp", "--seed", "7")
    bench(*common, "--seed", "8")
    by_settings = {(r["identity"]["sde"]["name"], r["identity"]["seed"]): r for r in records().values()}
    lost = by_settings["subvp", 7]
    (Path("results/samples") / lost["key"] / "00002-4.safetensors").unlink()
    old = by_settings["vp", 8]
    path = Path("results/records", f"{old['fingerprint']}.json")
    path.write_text(json.dumps(old | {"schema_version": 1}))

    out = bench(*MEASURE, "mean")
    assert f"notice  {path} is damaged (of another version of bench (schema 1, not 2))" in out
    assert "1 measured, 0 had it already, 2 without samples on disk, 0 failed" in out
    assert "the command that made them with --metric mean, without --prune" in out
    by = {(r["identity"]["sde"]["name"], r["identity"]["seed"]): r["metrics"] for r in records().values()}
    assert {k for k, v in by.items() if "mean" in v} == {("vp", 0)}
    assert all("fd_dct" in v for v in by.values())

    bench(*common, "--sde", "ve", "--metric", "mean")  # what the message recommends helps
    again = next(r for r in records().values() if r["fingerprint"] == by_settings["ve", 0]["fingerprint"])
    assert set(again["metrics"]) == {"fd_dct", "mean"}


def test_a_damaged_batch_is_reported_and_its_record_skipped(bench: Bench) -> None:
    bench(*RUN, *GAUSSIAN, "--samples", "16", "--sde", "vp", "--sde", "ve")
    before = metrics()
    damaged = min(Path("results/samples").glob("*/*.safetensors"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0")
    out = bench(*MEASURE, "mean")
    assert [line.split()[1] for line in out.splitlines() if line.startswith("notice")] == [str(damaged)]
    assert "1 measured, 0 had it already, 1 without samples on disk, 0 failed" in out
    assert sorted("mean" in m for m in metrics()) == [False, True]
    assert [m["fd_dct"] for m in metrics()] == [m["fd_dct"] for m in before]


def test_a_failing_metric_is_reported_and_the_others_go_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench(*RUN, *GAUSSIAN, "--samples", "8", "--repeats", "2")
    before = metrics()
    monkeypatch.setattr(Mean, "broken", "a mean")
    out = bench(*MEASURE, "mean", "--metric", "fd_cifar10", status=1)
    lines = [line for line in out.splitlines() if line.startswith("failed")]
    assert len(lines) == 2
    for line, title in zip(lines, sorted(records()), strict=True):
        fingerprint = records()[title]["fingerprint"]
        log = Path("results/logs", f"{fingerprint}.log")
        assert line == f"failed  {title}: mean: ValueError: a mean is no number, log {log}"
        assert log.read_text().startswith("Traceback")
    assert "0 measured, 0 had it already, 0 without samples on disk, 2 failed" in out
    assert [m["fd_dct"] for m in metrics()] == [m["fd_dct"] for m in before]
    assert all(set(m) == {"fd_dct", "fd_cifar10"} for m in metrics())
    assert all(r["status"] == "finished" for r in records().values())


def test_a_missing_file_is_one_mistake_before_anything_is_measured(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a failure, and an attempt to fetch the file, for every record."""
    bench(*RUN, *GAUSSIAN, "--samples", "8", "--repeats", "2")
    before = metrics()
    monkeypatch.setattr(Mean, "missing", "a file")
    out = bench(*MEASURE, "fd_cifar10", "--metric", "mean", status=2)
    assert out == "bench: put a file into the cache\n"
    assert metrics() == before


def test_what_another_process_measured_meanwhile_stays(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench(*RUN, *GAUSSIAN, "--samples", "8")
    original = Store.locked

    def locked(self: Store, name: str, *rest: Any) -> Any:
        if not name.startswith("csv"):  # the other process finishes just before this one takes the lock
            record = self.read_record(name)
            assert record is not None
            metrics = record.metrics | {"other": record.metrics["fd_dct"]}
            self.write_record(record.model_copy(update={"metrics": metrics}))
        return original(self, name, *rest)

    monkeypatch.setattr(Store, "locked", locked)
    bench(*MEASURE, "mean")
    (metric_records,) = metrics()
    assert set(metric_records) == {"fd_dct", "other", "mean"}


def test_a_checkpoint_alone(bench: Bench) -> None:
    bench(*RUN, "--samples", "8", *GAUSSIAN)
    bench(*RUN, "--samples", "8", *MIXTURE)
    out = bench(*MEASURE, "mean", "--checkpoint", "gmm-cifar10")
    assert "1 measured, 0 had it already" in out
    labels = {r["identity"]["checkpoint"]["name"]: set(r["metrics"]) for r in records().values()}
    assert labels == {"gaussian-cifar10": {"fd_dct"}, "gmm-cifar10": {"fd_dct", "mean"}}


def test_a_suite_alone_and_its_manifest(bench: Bench) -> None:
    Path("bench.toml").write_text(TOML)
    small = ("run", "--device", "cpu", "--samples", "8", "--suite", "tiny")
    bench(*small)
    bench(*small, *MIXTURE)
    bench(*RUN, "--samples", "8", *GAUSSIAN, "--seed", "5")
    manifests = sorted(Path("results/suites/tiny").iterdir())
    assert [p.stem for p in manifests] == ["gaussian-cifar10-8", "gmm-cifar10-8"]

    out = bench(*MEASURE, "mean", "--suite", "tiny", "--checkpoint", "gaussian-cifar10")
    assert "2 measured, 0 had it already" in out
    assert [json.loads(p.read_text())["metrics"] for p in manifests] == [["fd_dct", "mean"], ["fd_dct"]]
    out = bench(*MEASURE, "mean", "--suite", "tiny")
    assert "2 measured, 2 had it already" in out
    assert [json.loads(p.read_text())["metrics"] for p in manifests] == [["fd_dct", "mean"]] * 2
    for title, record in records().items():
        assert ("mean" in record["metrics"]) == (not title.endswith("seed 5"))

    bench(*small)  # the same cells once more: what was measured stays listed
    assert [json.loads(p.read_text())["metrics"] for p in manifests] == [["fd_dct", "mean"]] * 2
    bench("table", "tiny", "--metric", "mean", "--name", "gaussian-cifar10-8", "--no-plots")


def test_a_metric_that_no_record_could_take_is_not_listed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("bench.toml").write_text(TOML)
    bench("run", "--device", "cpu", "--samples", "8", "--suite", "tiny")
    monkeypatch.setattr(Mean, "broken", "a mean")
    bench(*MEASURE, "mean", "--suite", "tiny", status=1)
    (manifest,) = Path("results/suites/tiny").iterdir()
    assert json.loads(manifest.read_text())["metrics"] == ["fd_dct"]


def test_a_manifest_cut_in_half_is_reported(bench: Bench) -> None:
    Path("bench.toml").write_text(TOML)
    bench("run", "--device", "cpu", "--samples", "8", "--suite", "tiny")
    (manifest,) = Path("results/suites/tiny").iterdir()
    whole = manifest.read_text()
    manifest.write_text(whole[: len(whole) // 2])
    notice, error = bench(*MEASURE, "mean", "--suite", "tiny", status=2).splitlines()
    assert notice.startswith(f"notice  {manifest} is damaged (not JSON: ")
    assert notice.endswith("): made again by `bench run --suite tiny`")
    assert error.startswith("bench: no plan of suite 'tiny' in results can be read: ")
    out = bench("run", "--device", "cpu", "--samples", "8", "--suite", "tiny")
    assert [text for text in out.splitlines() if "damaged" in text] == [notice]
    assert manifest.read_text() == whole


@pytest.mark.parametrize("samples", [2, 7, 8, 9, 64])
def test_batches_of_a_record_are_those_of_its_run(samples: int) -> None:
    spec = quick_spec(samples=samples)
    record = made_up.record(samples=samples, identity=spec.identity)
    assert list(record.sample_batches) == list(spec.batches())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fd_dtc",), "unknown metric 'fd_dtc' (did you mean 'fd_dct'?"),
        (("mean", "--out", "nowhere"), "there are no results in nowhere"),
        (("mean", "--out", "empty"), "there is no finished record in empty: bench run makes some"),
        (("mean", "--checkpoint", "gausian"), "checkpoint 'gausian' (did you mean 'gaussian-cifar10'?"),
        (("mean", "--suite", "tinny"), "unknown suite 'tinny' (did you mean 'tiny'?"),
        (("mean", "--suite", "unfinished"), "no run of suite unfinished is finished in results"),
        (("mean", "-P", "metric.shfit=1"), "mean has no parameter 'shfit' (did you mean 'shift'?"),
        (("mean", "-P", "metric.shift=x"), "mean.shift must be float, not 'x'"),
        (("mean", "-P", "sde.eps=1"), "-P takes metric.NAME=VALUE here, not a parameter of a sde"),
        (("mean", "--device", "tpu"), "unknown device 'tpu'"),
    ],
)
def test_mistakes_are_one_line(bench: Bench, arguments: tuple[str, ...], message: str) -> None:
    bench(*RUN, *GAUSSIAN, "--samples", "2")
    Store(Path("empty"))
    store = Store(Path("results"))
    plan = made_up.suite_plan("table1", seeds=1)
    store.write_suite(plan.model_copy(update={"suite": "tiny"}))
    store.write_suite(plan.model_copy(update={"suite": "unfinished"}))
    out = bench("measure", "--metric", *arguments, status=2)
    assert message in out
    assert len(out.splitlines()) == 1
    (metric_records,) = metrics()
    assert set(metric_records) == {"fd_dct"}


def test_a_metric_must_be_named(bench: Bench) -> None:
    assert "--metric" in bench("measure", status=2)
