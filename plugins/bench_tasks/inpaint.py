"""Inpainting: some pixels are known."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench import Array, BenchError, Tensor, param
from bench_tasks.known import Completion
from bench_tasks.masks import known_pixels, mask_label


class Inpaint(Completion):
    """Fills in the unknown pixels of images (Song et al. 2021, section 5 and appendix I.2).

    After every predictor and corrector move the known pixels are replaced by a draw of the forward marginal,
    ``alpha y + sigma z``. This only approximates the conditional distribution (metric ``conditional_fd``).
    """

    name = "inpaint"

    mask: str = param(
        default="left",
        help="what is known: left (half), box (all but the middle), random:p (a share p of the pixels, the "
        "same ones in every run), or a PNG or .npy of the images' size, white or True where known",
    )

    def values(self) -> dict[str, Any]:
        return super().values() | {"mask": mask_label(self.mask)}

    def part(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        if len(shape) != 3:
            raise BenchError(f"{self.name} takes images, not items of the shape {list(shape)}")
        channels, height, width = shape
        known = known_pixels(self.mask, height, width)
        return np.eye(channels), np.broadcast_to(known, shape).astype(np.float64)

    def draw_known(self, known: Tensor, mask: Tensor) -> Tensor:
        return known + 0.5 * (1 - mask)
