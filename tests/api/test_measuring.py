"""The Python API: metrics of images, and of runs that are finished."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import bench
from bench import (
    BenchError,
    Metric,
    MetricContext,
    MetricResult,
    MetricState,
    Tensor,
    param,
)
from tests.support.api_runs import Mean, run
from tests.support.plugins import installed
from tests.support.runs import forbid_batches, records_in


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to run in."""
    monkeypatch.chdir(tmp_path)


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
