"""What all sources of images promise: every bit, in batches, with the hash of the contents; they travel."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import BenchError
from bench.data.images import Images, fitting_batch, items_of
from bench.events import Advance, Emit, Event
from tests.support.images import back, folder, opened, pixels


@pytest.mark.parametrize("rounding", ["round", "truncate"])
def test_every_byte_comes_back_by_either_rounding(tmp_path: Path, rounding: str) -> None:
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    np.savez(tmp_path / "all.npz", images=np.concatenate([every, every[:, ::-1]]))
    (batch,) = opened(tmp_path / "all.npz")
    expected = np.arange(256, dtype=np.float32) / np.float32(255)
    assert np.array_equal(batch[0, 0].flatten().numpy(), expected)
    assert np.array_equal(back(opened(tmp_path / "all.npz"), rounding)[0], every[0])


@pytest.mark.parametrize("form", ["png", "bmp", "webp", "npz", "compressed"])
def test_the_same_bits_whatever_holds_them(tmp_path: Path, form: str) -> None:
    images = pixels(20)
    path = tmp_path / "them"
    if form in ("npz", "compressed"):
        path = tmp_path / "them.npz"
        (np.savez if form == "npz" else np.savez_compressed)(path, images)
    else:
        folder(path, images, form)
    source = opened(path, batch=6)
    assert (source.n, source.shape, source.kind) == (
        20,
        (3, 8, 8),
        "npz" if ".npz" in path.name else "folder",
    )
    assert [len(batch) for batch in source] == source.sizes() == [6, 6, 6, 2]
    assert np.array_equal(back(source), images)
    assert np.array_equal(back(source), images)  # read anew each time


def test_the_hash_is_of_the_contents_in_their_order(tmp_path: Path) -> None:
    images = pixels(7)
    one = opened(folder(tmp_path / "a", images))
    two = opened(folder(tmp_path / "b" / "deeper", images))
    other = opened(folder(tmp_path / "c", images[::-1]))
    events: list[Event] = []
    assert one.sha256(events.append) == two.sha256() == one.facts()["sha256"]
    assert [event.done for event in events if isinstance(event, Advance)] == [1, 2, 3, 4, 5, 6, 7]
    assert other.sha256() != one.sha256()
    folder(tmp_path / "a", images[::-1])  # the same names and sizes, written over
    assert opened(tmp_path / "a").sha256() == other.sha256()


@pytest.mark.parametrize("form", ["png", "npz"])
def test_images_travel_as_plain_data(tmp_path: Path, form: str) -> None:
    images = pixels(20)
    path = tmp_path / ("them.npz" if form == "npz" else "them")
    if form == "npz":
        np.savez(path, images)
    else:
        folder(path, images)
    source = opened(path, batch=6)
    content = pickle.dumps(source)
    copy: Images = pickle.loads(content)
    # names of files alone: no pixels, no open files
    assert len(content) < 5000
    assert copy.facts() == source.facts()
    assert all(torch.equal(a, b) for a, b in zip(copy, source, strict=True))


def test_a_hash_is_computed_once_while_the_files_stay_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = opened(folder(tmp_path / "them", pixels(4)))
    original = type(source).compute_hash
    calls: list[str] = []

    def compute_hash(self: Images, emit: Emit) -> str:
        calls.append(self.name)
        return original(self, emit)

    monkeypatch.setattr(type(source), "compute_hash", compute_hash)
    first = source.sha256()
    assert source.sha256() == first
    assert len(calls) == 1
    folder(tmp_path / "them", pixels(4)[::-1])
    assert source.sha256() != first
    assert len(calls) == 2


def test_large_images_make_small_batches(tmp_path: Path) -> None:
    assert fitting_batch(250, (3, 32, 32)) == fitting_batch(250, (3, 256, 256)) == 250
    assert fitting_batch(250, (3, 1024, 1024)) == 21
    assert fitting_batch(250, (1, 1024, 1024)) == 64
    assert fitting_batch(250, (3, 4096, 4096)) == 1
    assert fitting_batch(10**6, (4096,)) == 2**28 // (4 * 4096)
    np.savez_compressed(tmp_path / "x.npz", np.zeros((23, 1024, 1024, 3), np.uint8))
    assert opened(tmp_path / "x.npz").sizes() == [21, 2]
    np.savez_compressed(tmp_path / "y.npz", np.zeros((2, 1, 2**24 + 1), np.uint8))
    with pytest.raises(BenchError, match="arr_0 is 16777217x1: images of more than 16777216 pixels are not"):
        opened(tmp_path / "y.npz")


def test_messages_say_what_items_are() -> None:
    assert [items_of(shape) for shape in ((2,), (1,), (1, 28, 28))] == [
        "points of 2 coordinates",
        "points of 1 coordinate",
        "1x28x28 images",
    ]
