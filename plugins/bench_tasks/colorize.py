"""Colourisation: the grey value of every pixel is known."""

from __future__ import annotations

import numpy as np

from bench import Array, BenchError, Tensor
from bench_tasks.known import Completion

GREY = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]) / np.sqrt([[3], [2], [6]])
"""An orthogonal matrix whose first axis is grey; the other two are colour."""


class Colorize(Completion):
    """Colours images of which the grey channel ``(r + g + b) / sqrt(3)`` is known.

    An orthogonal rotation of the channels decouples the grey axis (1, 1, 1) / sqrt(3) from the others; there
    it is inpainting of two channels from the first (Song et al. 2021, appendix I.3). An approximation too.
    """

    name = "colorize"

    def part(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        if shape[0] != 3:
            raise BenchError(f"{self.name} takes images of 3 colours, not of {shape[0]}")
        mask = np.zeros(shape)
        mask[0] = 1
        return GREY, mask

    def drawn(self, known: Tensor, mask: Tensor) -> Tensor:
        del mask
        return known
