"""Pictures of samples."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image

from bench.data.preview import grid_png


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
    canvas = Image.open(io.BytesIO(grid_png(torch.full((1, 1, 2, 2), 0.5), columns=1)))
    assert canvas.mode == "L"
    assert np.asarray(canvas)[3, 3] == 128
