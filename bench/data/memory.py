"""Images and points in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.data.images import CHANNELS, MAX_POINT, Images
from bench.data.pixels import as_floats
from bench.errors import BenchError
from bench.events import Emit

if TYPE_CHECKING:
    from torch import Tensor


class MemoryImages(Images):
    """Images, or points, of a tensor or an array.

    Args:
        images: Images as a float tensor (n, C, H, W) on [0, 1] or a uint8 array (n, H, W, C) or (n, H, W),
            with C = 3 or 1; or points as a float tensor or array (n, D) on the unit range.
        name: Name in messages and results.
        batch: Items per batch.

    Raises:
        BenchError: The tensor has another shape or type, or points are not finite.
    """

    kind = "memory"

    def __init__(self, images: Tensor | NDArray[Any], name: str = "images", batch: int = 250) -> None:
        shape = _item_shape(images)
        if shape is None:
            raise BenchError(
                "images must be a float tensor (n, 3, height, width) on [0, 1] or a uint8 array "
                "(n, height, width, 3), with 1 in place of 3 for gray, and points floats (n, D), "
                f"not {images.dtype} of shape {tuple(images.shape)}"
            )
        self._images = images
        super().__init__(name, len(images), shape, "none: images in memory", batch)
        if len(shape) == 1 and not all(bool(points.isfinite().all()) for points in self):
            raise BenchError(f"{name} holds points that are not finite")

    def __iter__(self) -> Iterator[Tensor]:
        import torch

        for start in range(0, self.n, self.batch):
            part = self._images[start : start + self.batch]
            if not isinstance(part, np.ndarray):
                yield part.detach().float().cpu()
            elif len(self.shape) == 1:
                yield torch.from_numpy(part.astype(np.float32))
            else:
                yield as_floats(part.reshape(len(part), *self.shape[1:], self.shape[0]))

    def compute_hash(self, emit: Emit) -> str:
        whole = hashlib.sha256()
        for images in self:
            whole.update(np.ascontiguousarray(images.numpy()).data)
        return whole.hexdigest()


def _item_shape(images: Tensor | NDArray[Any]) -> tuple[int, ...] | None:
    """Shape of an item, (C, H, W) or (D,); None where the array is neither of images nor of points."""
    sizes = tuple(images.shape)
    array = isinstance(images, np.ndarray)
    floats = images.dtype.kind == "f" if isinstance(images, np.ndarray) else images.is_floating_point()
    if floats and len(sizes) == 2 and 0 < sizes[1] <= MAX_POINT:
        return sizes[1:]
    if array and images.dtype == np.uint8 and len(sizes) in (3, 4):
        height, width, channels = (*sizes[1:], 1)[:3]
        return (channels, height, width) if channels in CHANNELS else None
    if not array and floats and len(sizes) == 4 and sizes[1] in CHANNELS:
        return sizes[1:]
    return None
