"""Colorization: the gray value of every pixel is known."""

from __future__ import annotations

import numpy as np

from bench import Array, BenchError, Tensor
from bench_tasks.known import Completion

GRAY = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]) / np.sqrt([[3], [2], [6]])
"""An orthogonal matrix whose first axis is gray; the other two are color."""


class Colorize(Completion):
    """Colors images of which the gray channel ``(r + g + b) / sqrt(3)`` is known.

    An orthogonal rotation of the channels decouples the gray axis (1, 1, 1) / sqrt(3) from the others. In
    those axes it is inpainting of two channels from the first (Song et al. 2021, appendix I.3), and the same
    approximation.
    """

    name = "colorize"

    def part(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        if len(shape) != 3 or shape[0] != 3:
            raise BenchError(f"{self.name} takes images of 3 colors, not items of the shape {list(shape)}")
        mask = np.zeros(shape)
        mask[0] = 1
        return GRAY, mask

    def draw_known(self, known: Tensor, mask: Tensor) -> Tensor:
        del mask
        return known
