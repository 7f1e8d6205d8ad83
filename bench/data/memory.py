"""Images in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from bench.data.images import Images
from bench.data.pixels import Bytes, as_floats
from bench.errors import BenchError
from bench.events import Emit

if TYPE_CHECKING:
    from torch import Tensor


class MemoryImages(Images):
    """Images of a tensor or an array.

    Args:
        images: Float tensor (n, 3, H, W) on [0, 1], or uint8 array (n, H, W, 3).
        name: Name in messages and results.
        batch: Images per batch.

    Raises:
        BenchError: The tensor has another shape or type.
    """

    kind = "memory"

    def __init__(self, images: Tensor | Bytes, name: str = "images", batch: int = 250) -> None:
        shape = tuple(images.shape)
        if isinstance(images, np.ndarray):
            self._check(images.dtype == np.uint8 and len(shape) == 4 and shape[3:] == (3,), images)
            shape = (3, *shape[1:3])
        else:
            self._check(images.is_floating_point() and len(shape) == 4 and shape[1:2] == (3,), images)
            shape = shape[1:]
        self._images = images
        super().__init__(name, len(images), shape, "none: images in memory", batch)

    @staticmethod
    def _check(fits: bool, images: Tensor | Bytes) -> None:
        if not fits:
            raise BenchError(
                "images must be a float tensor (n, 3, height, width) on [0, 1] or a uint8 array "
                f"(n, height, width, 3), not {images.dtype} of shape {tuple(images.shape)}"
            )

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, self.n, self.batch):
            part = self._images[start : start + self.batch]
            yield as_floats(part) if isinstance(part, np.ndarray) else part.detach().float().cpu()

    def compute_hash(self, emit: Emit) -> str:
        whole = hashlib.sha256()
        for images in self:
            whole.update(np.ascontiguousarray(images.numpy()).data)
        return whole.hexdigest()
