"""Data sets by name: from the cache, offline, with files of other axes; they travel without pixels."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest

from bench import BenchError, download
from bench.data.datasets import DATASETS, Dataset, dataset_name
from bench.data.sources import open_images
from bench.events import Event, Notice
from tests.support.images import back, error_of, pixels
from tests.support.served import Served, Server


def offline(*_: object, **__: object) -> None:
    raise BenchError("no network")


def test_short_names_are_the_training_images() -> None:
    assert dataset_name("cifar10") == dataset_name("cifar10-train") == "cifar10-train"
    assert dataset_name("cifar10-test") == "cifar10-test"
    assert dataset_name("mine") is None


def test_a_data_set_offline_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))

    monkeypatch.setattr("bench.data.datasets.fetch_once", offline)
    events: list[Event] = []
    line = error_of("cifar10", emit=events.append)
    assert line.startswith("cifar10-train is not here and can't be fetched (no network): put ")
    assert f"cifar-10-python.tar.gz into {tmp_path / 'datasets'}" in line
    (notice,) = events
    assert isinstance(notice, Notice)
    assert "fetching https://" in notice.text


def test_a_data_set_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = pixels(9, 32)

    class Fake:
        def __init__(self, root: Path, *, train: bool, download: bool) -> None:
            assert root == tmp_path / "datasets"
            assert not download
            self.data = images[:6] if train else images[6:]

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr("torchvision.datasets.CIFAR10", Fake)
    train, test = open_images("cifar10"), open_images("cifar10-test", batch=2)
    assert (train.name, train.n, test.n, test.sizes()) == ("cifar10-train", 6, 3, [2, 1])
    assert np.array_equal(np.concatenate([back(train), back(test)]), images)
    assert train.decoder.startswith("torchvision ")
    assert train.sha256() != test.sha256()


def test_data_sets_whose_files_have_other_axes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SVHN has the image last, STL-10 the channel first and columns before rows; torchvision reads."""
    from scipy.io import savemat
    from torchvision.datasets import STL10, SVHN

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    root = tmp_path / "datasets"
    (root / "stl10_binary").mkdir(parents=True)
    numbers, large = pixels(5, 32), pixels(4, 96)
    savemat(root / "test_32x32.mat", {"X": numbers.transpose(1, 2, 3, 0), "y": np.ones((5, 1), np.uint8)})
    (root / "stl10_binary" / "test_X.bin").write_bytes(large.transpose(0, 3, 2, 1).tobytes())
    (root / "stl10_binary" / "test_y.bin").write_bytes(bytes([1] * 4))
    for kind in (SVHN, STL10):
        monkeypatch.setattr(kind, "_check_integrity", lambda _: True)
    for name, expected in {"svhn-test": numbers, "stl10-test": large}.items():
        images = open_images(name)
        assert (images.name, images.n, images.shape[0]) == (name, len(expected), 3)
        assert np.array_equal(back(images), expected)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_data_set_offline_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr("bench.data.datasets.fetch_once", offline)
    assert error_of(name).startswith(f"{name} is not here and can't be fetched (no network): put ")


def test_a_data_set_is_fetched_by_the_limited_download_and_unpacked_by_torchvision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision's own download, which has no limit of time, is never called."""
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    images = pixels(5, 32)
    file = tmp_path / "made.mat"
    savemat(file, {"X": images.transpose(1, 2, 3, 0), "y": np.ones((5, 1), np.uint8)})
    body = file.read_bytes()
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    monkeypatch.setattr(download, "PAUSES", ())
    with Server() as server:
        server.files["test_32x32.mat"] = Served(b"another file")
        part = [server.url("test_32x32.mat"), "test_32x32.mat", hashlib.md5(body).hexdigest()]
        monkeypatch.setattr(SVHN, "split_list", {"test": part})
        assert f"another file: its MD5 is not {part[2]}" in error_of("svhn-test")
        assert not (tmp_path / "datasets" / "test_32x32.mat").exists()
        server.files["test_32x32.mat"] = Served(body, drip=0.02)
        monkeypatch.setattr(download, "WINDOW", 0.2)
        assert "bytes a second for" in error_of("svhn-test")
        server.files["test_32x32.mat"].drip = None
        assert np.array_equal(back(open_images("svhn-test")), images)


def test_a_data_set_travels_without_its_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = pixels(60, 32)

    class Fake:
        def __init__(self, root: Path, *, train: bool, download: bool) -> None:
            self.data = images

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr("torchvision.datasets.CIFAR10", Fake)
    source = open_images("cifar10")
    content = pickle.dumps(source)
    assert len(content) < 2000
    copy: Dataset = pickle.loads(content)
    assert copy.facts() == source.facts()
    assert np.array_equal(back(copy), images)
