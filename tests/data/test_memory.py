"""Images in memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench import BenchError
from bench.data.memory import MemoryImages
from tests.support.images import back, pixels


def test_arrays_and_tensors_are_the_same_images() -> None:
    images = pixels(7)
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    for source in (MemoryImages(images, batch=3), MemoryImages(tensor, batch=3)):
        assert (source.n, source.shape, source.sizes()) == (7, (3, 8, 8), [3, 3, 1])
        assert np.array_equal(back(source), images)
        assert source.sha256() == MemoryImages(images).sha256()
    assert MemoryImages(images[::-1].copy()).sha256() != MemoryImages(images).sha256()


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((4, 8, 8, 3)),
        np.zeros((4, 3, 8, 8), np.uint8),
        np.zeros((8, 8), np.uint8),
        np.zeros((4, 3, 8, 8), np.float32),
        np.zeros((4, 5000)),
        torch.zeros(4, 8, 8, 3),
        torch.zeros(4, 3, 8, 8, dtype=torch.uint8),
    ],
)
def test_other_shapes_and_types_are_refused(images: object) -> None:
    with pytest.raises(BenchError, match="images must be a float tensor"):
        MemoryImages(images)  # type: ignore[arg-type]


def test_gray_images_and_points() -> None:
    images = pixels(7)[..., :1]
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    for source in (MemoryImages(images), MemoryImages(images[..., 0], batch=3), MemoryImages(tensor)):
        assert (source.n, source.shape) == (7, (1, 8, 8))
        assert np.array_equal(back(source), images)
    points = np.random.default_rng(0).normal(size=(7, 2))
    points.setflags(write=False)
    for source in (MemoryImages(points, batch=3), MemoryImages(torch.tensor(points), batch=4)):
        assert (source.n, source.shape) == (7, (2,))
        assert torch.equal(torch.cat(list(source)), torch.tensor(points).float())
    with pytest.raises(BenchError, match="them holds points that are not finite"):
        MemoryImages(torch.full((4, 2), torch.nan), name="them")


def test_one_image_is_no_set() -> None:
    with pytest.raises(BenchError, match="holds one image"):
        MemoryImages(pixels(1))
