"""Images in an ``.npz``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench import cache
from bench.data.arrays import ArrayFile, open_arrays, read_header
from bench.data.images import Images, check_pixels, fitting_batch
from bench.data.pixels import as_floats
from bench.errors import BenchError
from bench.events import Emit

if TYPE_CHECKING:
    from torch import Tensor

WHAT = "an .npz"


class Npz(Images):
    """An array (n, H, W, 3) of uint8 in an ``.npz``, compressed or not, read batch by batch."""

    kind = "npz"

    def __init__(self, name: str, path: Path, batch: int) -> None:
        self.path, self.files = path, [path]
        with open_arrays(path, WHAT) as (_, arrays):
            array, (n, height, width, _) = _image_array(arrays, path)
        check_pixels(f"{path}: {array}", height, width)
        self.member = f"{array}.npy"
        batch = fitting_batch(batch, height, width)
        super().__init__(name, n, (3, height, width), f"numpy {np.__version__}", batch)

    def __iter__(self) -> Iterator[Tensor]:
        _, height, width = self.shape
        with open_arrays(self.path, WHAT) as (archive, _), archive.open(self.member) as file:
            read_header(file)
            for size in self.sizes():
                expected = size * height * width * 3
                content = bytearray(file.read(expected))
                if len(content) < expected:
                    raise BenchError(f"{self.path} is truncated: {self.member} ends early")
                yield as_floats(np.frombuffer(content, np.uint8).reshape(size, height, width, 3))

    def compute_hash(self, emit: Emit) -> str:
        return cache.sha256_of(self.path)


def _image_array(arrays: ArrayFile, path: Path) -> tuple[str, tuple[int, ...]]:
    """The array that holds the images, and its shape (n, H, W, 3); `BenchError` where none does."""
    headers = arrays.headers
    if {"mu", "sigma"} <= headers.keys() and not {"arr_0", "images", "samples"} & headers.keys():
        raise BenchError(
            f"{path} holds statistics, not images: it can be a --reference, not what is measured"
        )
    four = [name for name, header in headers.items() if len(header.shape) == 4]
    known = [name for name in ("arr_0", "images", "samples") if name in headers]
    chosen = (known or four)[:1] if known or len(four) == 1 else []
    if not chosen:
        names = ", ".join(f"{name} {header.shape}" for name, header in headers.items()) or "nothing"
        raise BenchError(f"{path} has no array of images (arr_0, images or samples): it holds {names}")
    header = headers[chosen[0]]
    shape, dtype = header.shape, header.dtype
    where = f"{path}: {chosen[0]}"
    if dtype.hasobject:
        raise BenchError(f"{where} holds Python objects, which are not read: save it as uint8")
    if dtype != np.uint8:
        raise BenchError(f"{where} is {dtype}: images must be uint8, as (255 * x).round().astype('uint8')")
    if len(shape) != 4 or 0 in shape[1:] or (shape[3] not in (1, 3, 4) and shape[1] != 3):
        raise BenchError(f"{where} has the shape {shape}: images must be (n, height, width, 3)")
    if shape[3] != 3:
        what = {1: "gray", 4: "RGBA"}.get(shape[3], "in channels-first order: transpose(0, 2, 3, 1) it")
        raise BenchError(
            f"{where} is {what}, of the shape {shape}: images must be RGB, (n, height, width, 3)"
        )
    if header.fortran:
        raise BenchError(f"{where} is in Fortran order: save np.ascontiguousarray of it")
    return chosen[0], shape
