"""Images, or points, in an ``.npz``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench import cache
from bench.data.arrays import ArrayFile, ArrayHeader, open_arrays, read_header
from bench.data.images import CHANNELS, MAX_POINT, Images, check_pixels, fitting_batch
from bench.data.pixels import as_floats
from bench.errors import BenchError
from bench.events import Emit

if TYPE_CHECKING:
    from torch import Tensor

WHAT = "an .npz"
NAMES = ("arr_0", "images", "samples")
"""Names of arrays that are read where the file holds others too."""


class Npz(Images):
    """An array in an ``.npz``, compressed or not, read batch by batch: images (n, H, W, 3), (n, H, W, 1) or
    (n, H, W) of uint8, or points (n, D) of float32 or float64, which are on the unit range as they stand."""

    kind = "npz"

    def __init__(self, name: str, path: Path, batch: int) -> None:
        self.path, self.files = path, [path]
        with open_arrays(path, WHAT) as (_, arrays):
            array = _chosen(arrays, path)
            header = arrays.headers[array]
        n, shape = len_and_shape(header, f"{path}: {array}")
        self.member, self._dtype = f"{array}.npy", header.dtype
        super().__init__(name, n, shape, f"numpy {np.__version__}", fitting_batch(batch, shape))

    def __iter__(self) -> Iterator[Tensor]:
        import torch

        with open_arrays(self.path, WHAT) as (archive, _), archive.open(self.member) as file:
            read_header(file)
            for size in self.sizes():
                expected = size * math.prod(self.shape) * self._dtype.itemsize
                content = bytearray(file.read(expected))
                if len(content) < expected:
                    raise BenchError(f"{self.path} is truncated: {self.member} ends early")
                items = np.frombuffer(content, self._dtype)
                if len(self.shape) == 3:
                    channels, height, width = self.shape
                    yield as_floats(items.reshape(size, height, width, channels))
                    continue
                with np.errstate(over="ignore"):  # becomes infinite, which is refused
                    points = items.reshape(size, *self.shape).astype(np.float32)
                if not np.isfinite(points).all():
                    raise BenchError(f"{self.path}: {self.member} holds points that are not finite")
                yield torch.from_numpy(points)

    def compute_hash(self, emit: Emit) -> str:
        return cache.sha256_of(self.path)


def _chosen(arrays: ArrayFile, path: Path) -> str:
    """Name of the array that holds the items: a known one, or the only one of four dimensions, or of three,
    or of two; `BenchError` where there is none."""
    headers = arrays.headers
    if {"mu", "sigma"} <= headers.keys() and not set(NAMES) & headers.keys():
        raise BenchError(
            f"{path} holds statistics, not images: it can be a --reference, not what is measured"
        )
    known = [name for name in NAMES if name in headers]
    by_dimensions = ([name for name in headers if len(headers[name].shape) == d] for d in (4, 3, 2))
    only = next((names for names in by_dimensions if names), [])
    if known or len(only) == 1:
        return (known or only)[0]
    listing = ", ".join(f"{name} {header.shape}" for name, header in headers.items()) or "nothing"
    raise BenchError(f"{path} has no array of images (arr_0, images or samples): it holds {listing}")


def len_and_shape(header: ArrayHeader, where: str) -> tuple[int, tuple[int, ...]]:
    """Number of items, and the shape of one, (C, H, W) or (D,); `BenchError` for arrays of another kind."""
    shape, dtype = header.shape, header.dtype
    if dtype.hasobject:
        raise BenchError(f"{where} holds Python objects, which are not read: save it as uint8")
    points = len(shape) == 2 and dtype.kind == "f"
    if dtype != np.uint8 and not points:
        raise BenchError(f"{where} is {dtype}: images must be uint8, as (255 * x).round().astype('uint8')")
    if header.fortran:
        raise BenchError(f"{where} is in Fortran order: save np.ascontiguousarray of it")
    if points:
        if dtype not in (np.float32, np.float64) or not 0 < shape[1] <= MAX_POINT:
            raise BenchError(
                f"{where} is {dtype} of the shape {shape}: points must be float32 or float64, (n, D) with D "
                f"at most {MAX_POINT}"
            )
        return shape[0], shape[1:]
    n, height, width, channels = (*shape, 1)[:4] if len(shape) in (3, 4) else (0, 0, 0, 0)
    if 0 in (height, width, channels) or (channels not in (*CHANNELS, 4) and shape[1] not in CHANNELS):
        raise BenchError(
            f"{where} has the shape {shape}: images must be (n, height, width, 3), or of gray "
            "(n, height, width)"
        )
    if channels not in CHANNELS:
        what = "RGBA" if channels == 4 else "in channels-first order: transpose(0, 2, 3, 1) it"
        raise BenchError(
            f"{where} is {what}, of the shape {shape}: images must be RGB, (n, height, width, 3), or gray"
        )
    check_pixels(where, height, width)
    return n, (channels, height, width)
