"""Metrics of images that anyone made, from Python."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import BenchError, Extract, Extractor, Features, MetricContext
from bench.data.memory import MemoryImages
from bench.data.pixels import Bytes
from bench.engine.foreign import measure_images_of, metrics_of
from bench.events import Advance, Event
from tests.support.images import folder, pixels
from tests.support.metrics import CPU, metric_context
from tests.support.plugins import hooks, installed


class Means(Extractor):
    """The means of the colors of small images."""

    name = "means"
    width = 3
    shape = (3, 32, 32)

    def load(self, device: Any) -> Extract:
        return lambda images: Features(images.flatten(2).float().mean(dim=2))


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MetricContext:
    """A context that knows `Means`, with an empty cache, in an empty folder."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    registry = installed().copy()
    registry.load(hooks("extractors", Means), "test", "1")
    return metric_context(registry)


def test_folders_tensors_and_archives_are_measured_alike(context: MetricContext) -> None:
    np.savez("b.npz", pixels(30, 32))
    images = pixels(20, 32)
    folder(Path("a"), images)
    np.savez("a.npz", images)
    metrics = metrics_of(["fd"], {"extractor": "means", "reference": "b.npz"}, context)
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    values = []
    for source in ("a", "a.npz", MemoryImages(images, batch=7), MemoryImages(tensor)):
        measurement = measure_images_of(source, metrics, context)
        (label,) = measurement.metrics
        result = measurement.metrics[label]
        # the label leaves out the reference, which is told beside the value
        assert (label, result.reference) == ("fd-means", "b.npz")
        assert result.reference_card["n"] == 30
        assert result.record.parameters["reference"] == "b.npz"
        assert (result.record.n, measurement.shape, measurement.source["n"]) == (20, (3, 32, 32), 20)
        values.append(result.record.value)
    rows = [x.reshape(len(x), -1, 3).mean(axis=1) for x in (images, pixels(30, 32))]
    expected = _frechet(*rows)
    # sums of other batches; features are float32
    assert values == pytest.approx([expected] * 4, rel=1e-4)


def _frechet(a: Any, b: Any) -> float:
    from scipy.linalg import sqrtm

    ca, cb = np.cov(a.T), np.cov(b.T)
    difference = a.mean(0) - b.mean(0)
    return float(difference @ difference + np.trace(ca + cb - 2 * np.real(sqrtm(ca @ cb))))


def test_progress_is_reported(context: MetricContext) -> None:
    events: list[Event] = []
    ours = MetricContext(context.registry, CPU, emit=events.append)
    metrics = metrics_of(["class_score"], {"splits": 2}, ours)
    measure_images_of(MemoryImages(pixels(20, 32), name="mine", batch=8), metrics, ours)
    assert [event for event in events if isinstance(event, Advance)] == [
        Advance("measuring mine", done, 20, "images") for done in (0, 8, 16, 20)
    ]


def test_images_of_a_wrong_size_are_refused_before_they_are_read(context: MetricContext) -> None:
    metrics = metrics_of(["fd_cifar10"], {}, context)
    images = MemoryImages(pixels(20, 64))
    with pytest.raises(BenchError, match="cifar10-features takes 3x32x32 images, not 3x64x64"):
        measure_images_of(images, metrics, context)


def test_metrics_of_more_than_images_are_refused(context: MetricContext) -> None:
    message = "class_share reads labels, which images alone do not have: measure runs of the task class_cond"
    with pytest.raises(BenchError, match=message):
        metrics_of(["class_share"], {}, context)
    metric = context.registry.build("metrics", "class_share", {})
    with pytest.raises(BenchError, match=message):
        measure_images_of(MemoryImages(pixels(20, 32)), [metric], context)


def test_a_reference_goes_to_those_that_take_one(context: MetricContext) -> None:
    fd, score = metrics_of(["fd", "class_score"], {"reference": "cifar10", "extractor": "means"}, context)
    assert fd.values()["reference"] == "cifar10-train"
    assert "reference" not in score.values()
    with pytest.raises(BenchError, match="fd_cifar10 is always against cifar10-train: leave out --reference"):
        metrics_of(["fd_cifar10"], {"reference": "mine.npz"}, context)
    (dct,) = metrics_of(["fd_dct"], {"reference": "cifar10"}, context)
    assert dct.values()["reference"] == "gaussian-cifar10"  # which is fitted to it


SETS: dict[str, Callable[[], Bytes]] = {
    "equal": lambda: np.repeat(pixels(1, 32), 120, axis=0),
    "black": lambda: np.zeros((120, 32, 32, 3), np.uint8),
    "white": lambda: np.full((120, 32, 32, 3), 255, np.uint8),
    "one color": lambda: np.full((120, 32, 32, 3), (200, 10, 90), np.uint8),
    "colors": lambda: np.broadcast_to(pixels(120, 32)[:, :1, :1], (120, 32, 32, 3)).copy(),
    "two images": lambda: np.repeat(pixels(2, 32), 60, axis=0),
}
"""Images (n, H, W, 3) without variance, or of few directions of it."""


@pytest.mark.parametrize("kind", SETS)
def test_degenerate_images_have_finite_values(context: MetricContext, kind: str) -> None:
    """Every metric of images that needs no download: finite values and errors, and strict JSON."""
    names = ["fd_dct", "fd_cifar10", "kid", "precision", "recall"]
    images = SETS[kind]()
    extractor = {"extractor": "cifar10-features"}
    metrics = [metric for name in names[:2] for metric in metrics_of([name], {}, context)]
    metrics += [metric for name in names[2:] for metric in metrics_of([name], extractor, context)]
    metrics += metrics_of(["class_score"], {}, context)
    measurement = measure_images_of(MemoryImages(images, batch=50), metrics, context)
    assert len(measurement.metrics) == 6
    for label, metric in measurement.metrics.items():
        assert math.isfinite(metric.record.value), label
        assert all(map(math.isfinite, metric.record.leave_one_out)), label
        assert len(metric.record.leave_one_out) in (0, 3), label
        assert label.startswith("fd_dct") or metric.record.value >= 0 or label.startswith("kid"), label
    json.dumps(measurement.to_json(), allow_nan=False)


@pytest.mark.parametrize("kind", SETS)
def test_degenerate_images_against_themselves_are_at_no_distance(context: MetricContext, kind: str) -> None:
    images = SETS[kind]()
    np.savez("a.npz", images)
    for extractor in ("means", "cifar10-features"):
        metrics = metrics_of(["fd"], {"extractor": extractor, "reference": "a.npz"}, context)
        (metric,) = measure_images_of("a.npz", metrics, context).metrics.values()
        assert 0 <= metric.record.value < 1e-6
