"""Data sets of torchvision: from the cache, offline, with files of other axes; they travel without pixels."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from bench import BenchError, download
from bench.data.pixels import Bytes
from bench.events import Event, Notice
from tests.support.images import back, error_of, opened, pixels
from tests.support.plugins import installed
from tests.support.served import Served, Server

SETS = ("cifar10", "cifar100", "svhn", "stl10", "mnist", "fashion-mnist", "kmnist")
NAMES = [f"{name}-{split}" for name in SETS for split in installed().get("datasets", name).thing.splits]


def offline(*_: object, **__: object) -> None:
    raise BenchError("no network")


def test_a_data_set_offline_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))

    monkeypatch.setattr("bench_datasets.torchvision_sets.fetch_once", offline)
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
    train, test = opened("cifar10"), opened("cifar10-test", batch=2)
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
        images = opened(name)
        assert (images.name, images.n, images.shape[0]) == (name, len(expected), 3)
        assert np.array_equal(back(images), expected)


@pytest.mark.parametrize("name", NAMES)
def test_every_data_set_offline_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr("bench_datasets.torchvision_sets.fetch_once", offline)
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
        assert np.array_equal(back(opened("svhn-test")), images)


def test_a_data_set_travels_without_its_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = pixels(60, 32)

    class Fake:
        def __init__(self, root: Path, *, train: bool, download: bool) -> None:
            self.data = images

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr("torchvision.datasets.CIFAR10", Fake)
    source = opened("cifar10")
    content = pickle.dumps(source)
    assert len(content) < 2000
    copy = pickle.loads(content)
    assert copy.facts() == source.facts()
    assert np.array_equal(back(copy), images)


def gray_files(images: Bytes) -> dict[str, bytes]:
    """The four files of MNIST's kind, by name; the training images are the given ones."""
    files = {}
    for part, count in (("train", len(images)), ("t10k", 2)):
        head = struct.pack(">IIII", 0x803, count, *images.shape[1:])
        files[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(head + images[:count].tobytes())
        files[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(struct.pack(">II", 0x801, count) + bytes(count))
    return files


def test_gray_sets_are_fetched_from_the_first_mirror_that_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import FashionMNIST

    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    files = gray_files(images)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    monkeypatch.setattr(download, "PAUSES", ())
    resources = [(name, hashlib.md5(content).hexdigest()) for name, content in files.items()]
    monkeypatch.setattr(FashionMNIST, "resources", resources)
    with Server() as server:
        monkeypatch.setattr(FashionMNIST, "mirrors", [server.url("gone/"), server.url("")])
        for name, content in files.items():
            server.files[name] = Served(content)
        train, test = opened("fashion-mnist", batch=3), opened("fashion-mnist-test")
    assert (train.name, train.shape, train.n, test.n) == ("fashion-mnist-train", (1, 28, 28), 5, 2)
    assert np.array_equal(back(train)[..., 0], images)
    assert np.array_equal(back(test)[..., 0], images[:2])


def test_what_is_declared_is_what_torchvision_has() -> None:
    """Classes, names of splits and of files, offline."""
    from torchvision import datasets

    for name in SETS:
        thing = installed().build("datasets", name, {})
        torchvision_class = getattr(datasets, thing.class_name)
        for split in thing.splits:
            files = thing.archives(torchvision_class, split)
            assert files
            assert all(urls and len(md5) == 32 for urls, _, md5 in files)
