"""A grid of samples as PNG."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

from bench.data.pixels import to_uint8

if TYPE_CHECKING:
    from torch import Tensor


def grid_png(images: Tensor, columns: int, scale: int = 2, gap: int = 2) -> bytes:
    """Images (B, C, H, W) on [0, 1] -> PNG bytes of a grid row by row, enlarged ``scale`` times."""
    import numpy as np
    from PIL import Image

    pixels = to_uint8(images).permute(0, 2, 3, 1).numpy().repeat(scale, axis=1).repeat(scale, axis=2)
    count, height, width, channels = pixels.shape
    rows = math.ceil(count / columns)
    canvas = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 255, np.uint8)
    for i, image in enumerate(pixels):
        y, x = (gap + n * (size + gap) for n, size in zip(divmod(i, columns), (height, width), strict=True))
        canvas[y : y + height, x : x + width] = image
    out = io.BytesIO()
    Image.fromarray(canvas.squeeze(2) if channels == 1 else canvas).save(out, format="PNG")
    return out.getvalue()
