"""Images from folders, archives, runs and data sets: every bit of them, and a line for what can't be read."""

from __future__ import annotations

import io
import json
import tracemalloc
import urllib.error
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench import BenchError
from bench.data.datasets import DATASETS
from bench.data.images import Images
from bench.data.pixels import Bytes, to_uint8
from bench.plan.sources import open_images
from bench.results.store import Store


def pixels(n: int, size: int = 8) -> Bytes:
    """Random images (n, size, size, 3)."""
    return np.random.default_rng(n).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def folder(path: Path, images: Bytes, form: str = "png") -> Path:
    """Images as files, in folders of three as EDM writes them."""
    for i, image in enumerate(images):
        file = path / f"{i // 3:03d}" / f"{i:06d}.{form}"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file, lossless=True)
    return path


def back(images: Images, rounding: Any = "round") -> Bytes:
    """All of the images as bytes (n, H, W, 3)."""
    found: Bytes = torch.cat([to_uint8(batch, rounding) for batch in images]).permute(0, 2, 3, 1).numpy()
    return found


def recorded(root: Path, batches: list[torch.Tensor], fingerprint: str = "0123456789abcdef") -> Store:
    """A store with one run of these batches."""
    store = Store(root)
    for i, batch in enumerate(batches):
        store.write_batch("key" + fingerprint, i, len(batch), {"images": batch}, {})
    record = {
        "fingerprint": fingerprint,
        "key": "key" + fingerprint,
        "title": "a run · seed 0",
        "status": "finished",
        "samples": sum(map(len, batches)),
        "batches": [{"size": len(batch)} for batch in batches],
    }
    store.write_record(record)
    return store


def refused(name: str | Path, **more: Any) -> str:
    """The line by which a source is refused, at the opening or while it is read."""
    with pytest.raises(BenchError) as told:
        for _ in open_images(str(name), **more):
            pass
    assert "\n" not in str(told.value)
    return str(told.value)


@pytest.mark.parametrize("rounding", ["round", "truncate"])
def test_every_byte_comes_back_by_either_rounding(tmp_path: Path, rounding: str) -> None:
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    np.savez(tmp_path / "all.npz", images=np.concatenate([every, every[:, ::-1]]))
    (batch,) = open_images(str(tmp_path / "all.npz"))
    expected = np.arange(256, dtype=np.float32) / np.float32(255)
    assert np.array_equal(batch[0, 0].flatten().numpy(), expected)
    assert np.array_equal(back(open_images(str(tmp_path / "all.npz")), rounding)[0], every[0])


@pytest.mark.parametrize("form", ["png", "bmp", "webp", "npz", "compressed"])
def test_the_same_bits_whatever_holds_them(tmp_path: Path, form: str) -> None:
    images = pixels(20)
    path = tmp_path / "them"
    if form in ("npz", "compressed"):
        path = tmp_path / "them.npz"
        (np.savez if form == "npz" else np.savez_compressed)(path, images)
    else:
        folder(path, images, form)
    found = open_images(str(path), batch=6)
    assert (found.n, found.shape, found.kind) == (20, (3, 8, 8), "npz" if ".npz" in path.name else "folder")
    assert [len(batch) for batch in found] == found.sizes() == [6, 6, 6, 2]
    assert np.array_equal(back(found), images)
    assert np.array_equal(back(found), images)  # read anew each time


def test_jpeg_is_decoded_as_pillow_does_and_the_library_is_named(tmp_path: Path) -> None:
    path = folder(tmp_path / "them", pixels(4), "jpg")
    found = open_images(str(path))
    expected = [np.array(Image.open(file)) for file in sorted(path.rglob("*.jpg"))]
    assert np.array_equal(back(found), np.stack(expected))
    assert "Pillow" in found.decoder
    assert "libjpeg" in found.decoder


def test_the_hash_is_of_the_contents_in_their_order(tmp_path: Path) -> None:
    images = pixels(7)
    one = open_images(str(folder(tmp_path / "a", images)))
    two = open_images(str(folder(tmp_path / "b" / "deeper", images)))
    other = open_images(str(folder(tmp_path / "c", images[::-1])))
    seen: list[int] = []
    assert one.sha256(seen.append) == two.sha256() == one.facts()["sha256"]
    assert sum(seen) == 7
    assert other.sha256() != one.sha256()
    folder(tmp_path / "a", images[::-1])  # the same names and sizes, written over
    assert open_images(str(tmp_path / "a")).sha256() == other.sha256()


def test_names_of_arrays(tmp_path: Path) -> None:
    """EDM's and guided-diffusion's layouts, and the only array of four dimensions."""
    images, path = pixels(5), tmp_path / "x.npz"
    for arrays in ({"images": images, "labels": np.zeros((5, 10))}, {"mine": images, "y": np.arange(5)}):
        np.savez(path, **arrays)  # type: ignore[arg-type]
        assert np.array_equal(back(open_images(str(path))), images)
    np.savez(path, images, np.arange(5))
    assert np.array_equal(back(open_images(str(path))), images)
    np.savez(path, a=images, b=images)
    assert "has no array of images (arr_0, images or samples): it holds a (5, 8, 8, 3)" in refused(path)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (pixels(4).astype(np.float32) / 255, "is float32: images must be uint8"),
        (np.full((4, 8, 8, 3), np.nan), "is float64: images must be uint8"),
        (pixels(4).astype(np.int64), "is int64: images must be uint8"),
        (pixels(4).transpose(0, 3, 1, 2).copy(), "is in channels-first order: transpose(0, 2, 3, 1) it"),
        (pixels(4)[..., :1].copy(), "is grey, of the shape (4, 8, 8, 1)"),
        (np.zeros((4, 8, 8, 4), np.uint8), "is RGBA, of the shape (4, 8, 8, 4)"),
        (pixels(4).reshape(4, -1), "has the shape (4, 192)"),
        (pixels(4)[:, :0], "has the shape (4, 0, 8, 3)"),
        (np.zeros((4, 8, 8, 7), np.uint8), "has the shape (4, 8, 8, 7)"),
        (pixels(4)[:1], "holds one image"),
        (pixels(4)[:0], "holds no image"),
        (np.asfortranarray(pixels(4)), "is in Fortran order"),
        (np.array([{"no": "image"}] * 4, dtype=object), "holds Python objects, which are not read"),
    ],
)  # fmt: skip
def test_arrays_that_are_refused(tmp_path: Path, array: Any, said: str) -> None:
    np.savez(tmp_path / "x.npz", arr_0=array, allow_pickle=True)
    line = refused(tmp_path / "x.npz")
    assert said in line
    assert "x.npz" in line


def test_damaged_archives(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, pixels(50))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "is not an .npz, or damaged" in refused(path)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    path.write_bytes(flipped)
    assert "is not an .npz, or damaged: Bad CRC-32" in refused(path)
    path.write_text("no archive")
    assert "is not an .npz, or damaged" in refused(path)
    np.savez(path, mu=np.zeros(3), sigma=np.eye(3))
    assert "holds statistics, not images" in refused(path)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (9, 8, 8, 3)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("arr_0.npy", header.getvalue() + bytes(300))
    assert "is truncated: arr_0.npy ends early" in refused(path)


def test_folders_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "them"
    path.mkdir()
    assert "holds no PNG, JPEG, WebP or BMP (it is empty)" in refused(path)
    (path / "a.txt").write_text("")
    assert "holds no PNG, JPEG, WebP or BMP (1 other files)" in refused(path)
    Image.fromarray(pixels(1)[0]).save(path / "a.PNG")
    assert "holds one image: a metric needs two or more" in refused(path)
    assert "is one image: give the folder" in refused(path / "a.PNG")
    assert "is no source of images: give a folder of images" in refused(path / "a.txt")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cifra10", "'cifra10' is neither a file or folder nor a data set (did you mean 'cifar10'?"),
        ("some/where", "there is no some/where: give a folder"),
        ("samples.npz", "there is no samples.npz: give a folder"),
        ("mnist", "mnist is grey: only data sets of colour images are read (cifar10-train,"),
        ("fashion-mnist", "fashion-mnist is grey"),
        ("", "an empty name is no source"),
        ("0a1b2c3d", "neither a file or folder nor a data set"),
    ],
)
def test_names_that_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refused(name)


def test_a_run_is_handed_on_as_it_was_stored(tmp_path: Path) -> None:
    batches = [torch.randn(size, 3, 8, 8) for size in (5, 5, 2)]
    store = recorded(tmp_path / "results", batches)
    fingerprint = "0123456789abcdef"
    for name in ("0123", fingerprint, str(store.record_path(fingerprint)), str(store.root)):
        found = open_images(name, batch=3, results=store.root)
        assert (found.kind, found.n, found.shape) == ("run", 12, (3, 8, 8))
        assert found.sizes() == [5, 5, 2]
        assert all(torch.equal(a, b) for a, b in zip(found, batches, strict=True))
    again = recorded(tmp_path / "again", batches, "f" * 16)
    assert open_images(str(again.root)).sha256() == found.sha256()


def test_runs_that_are_refused(tmp_path: Path) -> None:
    batches = [torch.rand(4, 3, 8, 8)]
    store = recorded(tmp_path / "results", batches)
    recorded(tmp_path / "results", batches, "0123456789abcdee")
    said = refused(store.root)
    assert "holds 2 runs, give the record of one" in said
    assert "0123456789abcdef" in said
    assert "0123456789abcdee" in said
    assert "'0123' is ambiguous: 0123456789abcdee, 0123456789abcdef" in refused("0123", results=store.root)
    assert "no fingerprint in" in refused("4444", results=store.root)
    damaged = store.batch_path("key0123456789abcdef", 0, 4)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0")
    assert f"{damaged} is damaged" in refused("0123456789abcdef", results=store.root)
    damaged.unlink()
    assert "the samples of run 0123456789abcdef are not in" in refused("0123456789abcdef", results=store.root)
    path = store.record_path("0123456789abcdef")
    record = json.loads(path.read_text())
    for changes, line in (
        ({"status": "failed"}, "run 0123456789abcdef is not finished"),
        ({"batches": []}, "holds no image"),
    ):
        path.write_text(json.dumps(record | changes))
        assert line in refused(path)
    path.write_text(json.dumps({k: v for k, v in record.items() if k != "key"}))
    assert "is of an older bench" in refused(path)
    path.write_text("{")
    assert "can't be read" in refused(path)
    path.write_text("[]")
    assert "is not a record of bench run" in refused(path)
    Store(tmp_path / "none")
    assert "there is no finished run in" in refused(tmp_path / "none")


def test_a_data_set_offline_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))

    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    said: list[str] = []
    line = refused("cifar10", notice=said.append)
    assert line.startswith(
        "cifar10-train is not here and can't be fetched (<urlopen error no network>): put "
    )
    assert f"cifar-10-python.tar.gz into {tmp_path / 'datasets'}" in line
    assert len(said) == 1
    assert "fetching https://" in said[0]


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
        found = open_images(name)
        assert (found.name, found.n, found.shape[0]) == (name, len(expected), 3)
        assert np.array_equal(back(found), expected)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_data_set_offline_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    assert refused(name).startswith(f"{name} is not here and can't be fetched (<urlopen error no network>)")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_memory_does_not_grow_with_the_array(tmp_path: Path, save: Any) -> None:
    peaks = []
    for n in (200, 2000):
        save(tmp_path / f"{n}.npz", pixels(n, 16))
        found = open_images(str(tmp_path / f"{n}.npz"), batch=50)
        tracemalloc.start()
        for _ in found:
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100_000  # the array is 1.4 MB more
