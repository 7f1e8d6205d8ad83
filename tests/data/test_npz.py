"""Images in archives: names of arrays, and a line for each array or archive that is refused."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.images import back, error_of, opened, pixels


def test_names_of_arrays(tmp_path: Path) -> None:
    """EDM's and guided-diffusion's layouts, and the only array of four dimensions."""
    images, path = pixels(5), tmp_path / "x.npz"
    for arrays in ({"images": images, "labels": np.zeros((5, 10))}, {"mine": images, "y": np.arange(5)}):
        np.savez(path, **arrays)  # type: ignore[arg-type]
        assert np.array_equal(back(opened(path)), images)
    np.savez(path, images, np.arange(5))
    assert np.array_equal(back(opened(path)), images)
    np.savez(path, a=images, b=images)
    assert "has no array of images (arr_0, images or samples): it holds a (5, 8, 8, 3)" in error_of(path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (pixels(4).astype(np.float32) / 255, "is float32: images must be uint8"),
        (np.full((4, 8, 8, 3), np.nan), "is float64: images must be uint8"),
        (pixels(4).astype(np.int64), "is int64: images must be uint8"),
        (pixels(4).transpose(0, 3, 1, 2).copy(), "is in channels-first order: transpose(0, 2, 3, 1) it"),
        (pixels(4)[..., :1].transpose(0, 3, 1, 2).copy(), "is in channels-first order"),
        (np.zeros((4, 8, 8, 4), np.uint8), "is RGBA, of the shape (4, 8, 8, 4)"),
        (pixels(4).reshape(4, -1), "has the shape (4, 192)"),
        (np.zeros((4, 4097)), "is float64 of the shape (4, 4097): points must be float32 or float64, (n, D)"),
        (np.zeros((4, 2), np.float16), "is float16 of the shape (4, 2): points must be"),
        (np.zeros((4, 0)), "of the shape (4, 0): points must be"),
        (np.array([[0.5, 1], [np.inf, 0]]), "arr_0.npy holds points that are not finite"),
        (np.full((4, 2), 1e300), "arr_0.npy holds points that are not finite"),
        (np.zeros((1, 2)), "holds one item"),
        (pixels(4)[:, :0], "has the shape (4, 0, 8, 3)"),
        (np.zeros((4, 8, 8, 7), np.uint8), "has the shape (4, 8, 8, 7)"),
        (pixels(4)[:1], "holds one image"),
        (pixels(4)[:0], "holds no image"),
        (np.asfortranarray(pixels(4)), "is in Fortran order"),
        (np.array([{"no": "image"}] * 4, dtype=object), "holds Python objects, which are not read"),
    ],
)  # fmt: skip
def test_arrays_that_are_refused(tmp_path: Path, array: Any, message: str) -> None:
    np.savez(tmp_path / "x.npz", arr_0=array, allow_pickle=True)
    line = error_of(tmp_path / "x.npz")
    assert message in line
    assert "x.npz" in line


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_gray_images_and_points(tmp_path: Path, save: Any) -> None:
    images, path = pixels(5), tmp_path / "x.npz"
    for gray in (images[..., 0], images[..., :1]):
        save(path, np.ascontiguousarray(gray))
        source = opened(path, batch=2)
        assert (source.n, source.shape) == (5, (1, 8, 8))
        assert np.array_equal(back(source), images[..., :1])
    points = np.random.default_rng(0).normal(size=(7, 3))
    for dtype in (np.float32, np.float64):
        save(path, mine=points.astype(dtype), labels=np.arange(7))
        source = opened(path, batch=3)
        assert (source.n, source.shape, source.sizes()) == (7, (3,), [3, 3, 1])
        assert torch.equal(torch.cat(list(source)), torch.from_numpy(points.astype(np.float32)))


def test_damaged_archives(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, pixels(50))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "is not an .npz, or damaged" in error_of(path)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    path.write_bytes(flipped)
    assert "is not an .npz, or damaged: Bad CRC-32" in error_of(path)
    path.write_text("no archive")
    assert "is not an .npz, or damaged" in error_of(path)
    np.savez(path, mu=np.zeros(3), sigma=np.eye(3))
    assert "holds statistics, not images" in error_of(path)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (9, 8, 8, 3)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("arr_0.npy", header.getvalue() + bytes(300))
    assert "'arr_0' has 300 bytes where 1728 belong" in error_of(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_memory_does_not_grow_with_the_array(tmp_path: Path, save: Any) -> None:
    peaks = []
    for n in (200, 2000):
        save(tmp_path / f"{n}.npz", pixels(n, 16))
        images = opened(tmp_path / f"{n}.npz", batch=50)
        tracemalloc.start()
        for _ in images:
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100_000  # the array is 1.4 MB more
