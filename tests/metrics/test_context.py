"""What the metrics of one context share: loaded extractors, features, statistics, images, values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import BenchError, Extract, Extractor, Features, MetricContext, Reference, Tensor
from bench.data.images import Images
from bench.events import Emit, Event, Notice, silent
from bench.metrics import reference
from bench.metrics.reference import write_statistics
from tests.support.images import opened, pixels
from tests.support.metrics import CPU, metric_context
from tests.support.plugins import empty_registry, hooks

LOADED: list[str] = []


class Means(Extractor):
    """The means of the colors."""

    name = "means"
    width = 3

    def check(self, emit: Emit) -> None:
        emit(Notice("checked"))

    def load(self, device: Any) -> Extract:
        LOADED.append(self.name)

        def extract(images: Tensor) -> Features:
            LOADED.append("batch")
            return Features(images.flatten(2).float().mean(dim=2))

        return extract


@pytest.fixture
def context() -> MetricContext:
    """A context whose only extractor is `Means`."""
    LOADED.clear()
    registry = empty_registry()
    registry.load(hooks("extractors", Means), "test", "1")
    return metric_context(registry)


def test_an_extractor_is_loaded_once_and_a_batch_is_extracted_once(context: MetricContext) -> None:
    first, second = (context.features(context.extractor("means")) for _ in range(2))
    images = torch.rand(4, 3, 2, 2)
    assert first is second
    assert first(images) is second(images)
    assert LOADED == ["means", "batch"]
    first(images.clone())  # another tensor
    context.features(context.extractor("means"), "truncate")  # other bytes
    assert LOADED == ["means", "batch", "batch", "means"]
    MetricContext(context.registry, CPU).features(Means())
    assert LOADED[-1] == "means"


def test_an_extractor_is_checked_before_it_is_loaded(context: MetricContext) -> None:
    events: list[Event] = []
    MetricContext(context.registry, CPU, emit=events.append).features(Means())
    assert events == [Notice("checked")]


def test_unknown_extractors_and_parameters_are_refused(context: MetricContext) -> None:
    with pytest.raises(BenchError, match=r"unknown extractor 'mean' \(did you mean 'means'"):
        context.extractor("mean")
    with pytest.raises(BenchError, match="means has no parameter 'mode'"):
        context.extractor("means", mode="clean")


def test_statistics_are_read_once_while_the_file_stays_the_same(
    context: MetricContext, tmp_path: Path
) -> None:
    path = tmp_path / "x.npz"
    write_statistics(path, Reference(np.zeros(3), np.eye(3), None, {}, ""))
    first = context.statistics(str(path), Means())
    assert context.statistics(str(path), Means()) is first
    write_statistics(path, Reference(np.ones(3), np.eye(3), None, {"n": 12345}, ""))
    assert (context.statistics(str(path), Means()).mean == 1).all()


def test_images_as_a_reference_are_opened_hashed_and_measured_once(
    context: MetricContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    np.savez(tmp_path / "x.npz", images=pixels(20))
    names: list[str] = []

    def opener(name: str, *, emit: Emit = silent) -> Images:
        names.append(name)
        return opened(name, emit=emit)

    ours = MetricContext(context.registry, CPU, opener)
    name = str(tmp_path / "x.npz")
    first = ours.statistics(name, Means())
    monkeypatch.setattr(reference, "measure_images", None)
    assert ours.statistics(name, Means()) is first
    assert names == [name]
    expected = pixels(20).reshape(20, -1, 3).mean(axis=1)
    np.testing.assert_allclose(first.mean, expected.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(first.covariance, np.cov(expected.T), rtol=1e-5)


def test_an_opener_resolves_what_data_does_not_know(
    context: MetricContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is neither a path nor a data set goes to the opener, as a run's fingerprint does."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    np.savez(tmp_path / "x.npz", images=pixels(20))
    path = str(tmp_path / "x.npz")

    def opener(name: str, *, emit: Emit = silent) -> Images:
        return opened(path if name == "0123abcd" else name, emit=emit)

    ours = MetricContext(context.registry, CPU, opener)
    assert ours.statistics("0123abcd", Means()).mean.shape == (3,)
    with pytest.raises(BenchError, match="reference 'cifra10' is neither a file, a folder or a run"):
        ours.statistics("cifra10", Means())


def test_a_slot_holds_the_value_of_its_last_key(context: MetricContext) -> None:
    calls: list[int] = []

    def compute(value: int) -> int:
        calls.append(value)
        return value

    assert [context.share("square", key, lambda: compute(1)) for key in ("a", "a")] == [1, 1]
    assert context.share("other", "a", lambda: compute(2)) == 2
    assert context.share("square", "b", lambda: compute(3)) == 3
    assert context.share("square", "a", lambda: compute(4)) == 4
    assert calls == [1, 2, 3, 4]
