"""Pictures of samples."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data.pixels import Bytes
from bench.data.preview import grid_png, points_png, preview_png


def opened(png: bytes | None) -> Bytes:
    assert png is not None
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_images_stand_row_by_row_with_gaps() -> None:
    images = torch.rand(5, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    canvas = np.asarray(Image.open(io.BytesIO(grid_png(images, columns=3, scale=2, gap=1))))
    # two rows of three: gaps of one white pixel about images of 8 x 12
    assert canvas.shape == (2 * 8 + 3, 3 * 12 + 4, 3)
    assert (canvas[0] == 255).all()
    expected = (images[3] * 255).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(canvas[10:18:2, 1:13:2], expected)
    assert (canvas[10:, 27:] == 255).all()  # the sixth place is empty


def test_one_channel_is_gray() -> None:
    canvas = Image.open(io.BytesIO(grid_png(torch.full((1, 1, 2, 2), 0.5), columns=1, scale=2)))
    assert canvas.mode == "L"
    assert np.asarray(canvas)[3, 3] == 128


@pytest.mark.parametrize(("size", "scale"), [(8, 8), (28, 3), (32, 2), (64, 2)])
def test_small_images_are_enlarged_without_smoothing(size: int, scale: int) -> None:
    image = torch.rand(1, 1, size, size, generator=torch.Generator().manual_seed(1))
    canvas = opened(preview_png(image, 1, (0.0, 1.0)))[2:-2, 2:-2, 0]
    expected = (image[0, 0] * 255).round().byte().numpy()
    assert np.array_equal(canvas, np.kron(expected, np.ones((scale, scale), np.uint8)))


def test_images_without_a_channel_are_gray_and_of_other_channels_have_no_picture() -> None:
    images = torch.rand(4, 6, 8, generator=torch.Generator().manual_seed(2))
    assert preview_png(images, 2, (0.0, 1.0)) == grid_png(images.unsqueeze(1), 2)
    assert preview_png(torch.rand(4, 2, 8, 8), 2, (0.0, 1.0)) is None


INSIDE = (slice(60, 540), slice(85, 590))
"""The part of a plot between its axes."""


def blue(canvas: Bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Where samples are drawn: bluish pixels."""
    part = canvas.astype(int)
    return np.asarray(part[..., 2] - part[..., 0] > 60)


def gray(canvas: Bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Where truth is drawn: pixels of its very color."""
    return np.asarray((canvas == 0xB0).all(axis=-1))


def test_points_are_drawn_over_the_truth() -> None:
    generator = torch.Generator().manual_seed(3)
    truth = 0.25 + 0.5 * torch.rand(2000, 2, generator=generator)
    cloud = torch.tensor([0.35, 0.5]) + 0.03 * torch.randn(400, 2, generator=generator)
    canvas = opened(points_png(cloud, (-1.0, 1.0), truth))[INSIDE]
    # truth fills a square, whose sides are of one length on the screen
    rows, columns = np.nonzero(gray(canvas))
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), rel=0.02)
    share = (np.median(np.nonzero(blue(canvas))[1]) - columns.min()) / np.ptp(columns)
    assert share == pytest.approx((0.35 - 0.25) / 0.5, abs=0.02)
    # without truth only the edges of letters are of that color
    assert gray(opened(points_png(cloud, (-1.0, 1.0)))).sum() < gray(canvas).sum() / 20


def test_points_beyond_the_truth_do_not_change_the_axes() -> None:
    """They are counted in the legend, which alone differs."""
    truth = torch.rand(500, 2, generator=torch.Generator().manual_seed(4))
    near = truth[:100].flip(0)
    far = torch.cat([near[:99], torch.tensor([[1e6, 0.5]])])
    a, b = (opened(points_png(points, (0.0, 1.0), truth)) for points in (near, far))
    assert not np.array_equal(a[:60], b[:60])
    assert (a[INSIDE] != b[INSIDE]).any(axis=-1).mean() < 1e-3  # one marker


def test_one_coordinate_is_a_histogram_and_more_than_two_are_cut() -> None:
    points = torch.randn(300, 3, generator=torch.Generator().manual_seed(5))
    assert preview_png(points, 1, (0.0, 1.0)) == points_png(points[:, :2], (0.0, 1.0))
    canvas = opened(points_png(points[:, :1], (0.0, 1.0), points[:, 1:2]))[INSIDE]
    assert blue(canvas).any()
    assert gray(canvas).any()
