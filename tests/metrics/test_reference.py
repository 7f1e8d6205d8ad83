"""Reference statistics: which file a name stands for, what is in it, the rows it holds."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import BenchError, Reference, Reservoir, build_command
from bench.data.memory import MemoryImages
from bench.events import Advance, Event
from bench.metrics import reference
from bench.metrics.reference import (
    dataset_file,
    find_statistics,
    measure_images,
    read_any_statistics,
    read_statistics,
    write_statistics,
)
from tests.support.images import pixels
from tests.support.metrics import extractor_of, metric_context

D = 64


def statistics(seed: int = 0) -> Reference:
    """Statistics of some rows."""
    rows = np.random.default_rng(seed).normal(size=(100, D))
    return Reference(rows.mean(axis=0), np.cov(rows.T), rows.astype(np.float32), {"n": 100}, "")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.npz"
    write_statistics(path, statistics())
    read = read_statistics(path, extractor_of("cifar10-features"))
    assert np.array_equal(read.mean, statistics().mean)
    assert np.array_equal(read.covariance, statistics().covariance)
    assert read.rows is not None
    assert np.array_equal(read.rows, statistics().rows)  # type: ignore[arg-type]
    assert read.card == {"n": 100}
    assert len(read.sha256) == 64
    with pytest.raises(BenchError, match="is of 64 features, inception has 2048: not the same extractor"):
        read_statistics(path, extractor_of("inception"))
    write_statistics(path, Reference(np.zeros(D), np.eye(D), None, {"extractor": "mine"}, ""))
    assert read_any_statistics(path).rows is None
    with pytest.raises(BenchError, match="is of the extractor mine, not cifar10-features: build another"):
        read_statistics(path, extractor_of("cifar10-features"))


def test_built_statistics_come_before_shipped_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    extractor, context = extractor_of("cifar10-features"), metric_context()
    shipped = find_statistics("cifar10", extractor, "round", context)
    assert shipped.name == "cifar10-train_cifar10-features.npz"
    assert tmp_path not in shipped.parents
    built = dataset_file("cifar10-train", extractor)
    write_statistics(built, statistics())
    assert find_statistics("cifar10", extractor, "round", context) == built
    with pytest.raises(
        BenchError, match="no statistics of svhn-test for the extractor cifar10-features: ben"
    ):
        find_statistics("svhn-test", extractor, "round", context)


def test_commands_name_the_changed_parameters_of_any_extractor() -> None:
    assert build_command("cifar10-train", extractor_of("pixels")) == (
        "bench stats build cifar10-train --extractor pixels"
    )
    assert build_command(None, extractor_of("inception", mode="clean")) == (
        "bench stats build IMAGES -o FILE.npz --extractor inception -P extractor.mode=clean"
    )


def test_images_of_another_size_are_refused_before_they_are_read() -> None:
    context = metric_context()
    images = MemoryImages(pixels(10, 64))
    with pytest.raises(BenchError, match="cifar10-features takes 3x32x32 images, not 3x64x64"):
        measure_images(images, extractor_of("cifar10-features"), "round", context, "measuring")
    with pytest.raises(BenchError, match="pixels has 12288 features of 3x64x64 items, and a covariance"):
        measure_images(images, extractor_of("pixels"), "round", context, "measuring")


def test_statistics_of_images_tell_what_they_are_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "ROWS", 15)
    events: list[Event] = []
    images = MemoryImages(pixels(40, 32), name="them", batch=16)
    context = metric_context(emit=events.append)
    statistics = measure_images(images, extractor_of("cifar10-features"), "round", context, "measuring")
    assert [e.done for e in events if isinstance(e, Advance) and e.phase == "measuring"] == [0, 16, 32, 40]
    rows = context.features(extractor_of("cifar10-features"))(torch.cat(list(images))).rows.double().numpy()
    # float32 features of other batches
    np.testing.assert_allclose(statistics.mean, rows.mean(axis=0), rtol=1e-3, atol=1e-4)
    assert statistics.rows is not None
    assert statistics.rows.shape == (15, D)
    card = statistics.card
    assert (card["n"], card["source"], card["kind"], card["shape"]) == (40, "them", "memory", [3, 32, 32])
    assert card["images"] == f"sha256 {images.sha256()}"


def test_a_reservoir_gives_every_row_the_same_chance() -> None:
    """Ten of forty rows, 2000 times: each is in a quarter of the samples."""
    counts = np.zeros(40)
    for seed in range(2000):
        reservoir = Reservoir(10, seed)
        for part in np.split(np.arange(40.0)[:, None], [7, 8, 30]):
            reservoir.add(part)
        counts[reservoir.rows()[:, 0].astype(int)] += 1
    # a binomial count of 500 deviates by sqrt(500 * 3/4) = 19, in forty of them by up to 4.5 times that
    assert np.abs(counts - 500).max() < 4.5 * 19.4


def test_a_reservoir_that_is_not_full_has_all_rows_in_order() -> None:
    reservoir = Reservoir(10)
    reservoir.add(np.arange(6.0).reshape(3, 2))
    assert np.array_equal(reservoir.rows(), np.arange(6.0).reshape(3, 2))


BOMB = 60_000_000


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mu": np.zeros(BOMB)}, "mu has the shape (60000000,), larger than (4096,)"),
        ({"sigma": np.zeros((3000, 20_000), np.uint8)}, "sigma has the shape (3000, 20000), larger"),
        (
            {"features": np.zeros((BOMB // 64, 64), np.uint8)},
            "features has the shape (937500, 64), larger than",
        ),
        ({"mu": np.zeros((8, 8))}, "mu has the shape (8, 8), not of 1 dimensions"),
        ({"mu": np.zeros(64, np.complex64)}, "mu is of type complex64, not of numbers"),
        ({"card": np.zeros(BOMB // 4, "<U1")}, "card is not a text, or too long"),
        ({"card": np.array(b"{}")}, "card is not a text, or too long"),
        ({"card": np.array("[" * 50_000)}, "it is nested too deep"),
        ({"card": np.array('{"n": ' + "9" * 5000 + "}")}, "an integer of 5000 digits"),
    ],
)
def test_statistics_are_refused_by_their_headers(tmp_path: Path, arrays: Any, message: str) -> None:
    """60 MB of zeros compress to 60 kB; nothing of the size that they declare is allocated."""
    path = tmp_path / "x.npz"
    np.savez_compressed(path, **{"mu": np.zeros(D), "sigma": np.eye(D)} | arrays)
    assert path.stat().st_size < 500_000
    tracemalloc.start()
    with pytest.raises(BenchError) as caught:
        read_any_statistics(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert peak < 5_000_000
