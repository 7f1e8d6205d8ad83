"""Images in an ``.npz``."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from bench import cache
from bench.data.images import Images
from bench.data.pixels import as_floats
from bench.errors import BenchError
from bench.events import Emit

if TYPE_CHECKING:
    from torch import Tensor


class Npz(Images):
    """An array (n, H, W, 3) of uint8 in an ``.npz``, compressed or not, read batch by batch."""

    kind = "npz"

    def __init__(self, name: str, path: Path, batch: int) -> None:
        self.path, self.files = path, [path]
        with _damage_as_error(path), ZipFile(path) as archive:
            self.member, shape = _image_array(archive, path)
        super().__init__(name, shape[0], (3, *shape[1:3]), f"numpy {np.__version__}", batch)

    def __iter__(self) -> Iterator[Tensor]:
        _, height, width = self.shape
        with _damage_as_error(self.path), ZipFile(self.path) as archive, archive.open(self.member) as file:
            _header(file)
            for size in self.sizes():
                expected = size * height * width * 3
                content = bytearray(file.read(expected))
                if len(content) < expected:
                    raise BenchError(f"{self.path} is truncated: {self.member} ends early")
                yield as_floats(np.frombuffer(content, np.uint8).reshape(size, height, width, 3))

    def compute_hash(self, emit: Emit) -> str:
        return cache.sha256_of(self.path)


@contextmanager
def _damage_as_error(path: Path) -> Iterator[None]:
    """Raise `BenchError` for a file that is not a zip archive, or damaged."""
    try:
        yield
    except (
        BadZipFile,
        OSError,
        ValueError,
        EOFError,
        zlib.error,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise BenchError(f"{path} is not an .npz, or damaged: {error}") from error


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and type of the array that begins here; no pickle is read."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    header: tuple[tuple[int, ...], bool, np.dtype[Any]] = read(file)
    return header


def _image_array(archive: ZipFile, path: Path) -> tuple[str, tuple[int, ...]]:
    """The member that holds the images, and its shape (n, H, W, 3); `BenchError` where none does."""
    headers = {}
    for member in archive.namelist():
        if member.endswith(".npy"):
            with archive.open(member) as file:
                headers[member.removesuffix(".npy")] = _header(file)
    if {"mu", "sigma"} <= headers.keys() and not {"arr_0", "images", "samples"} & headers.keys():
        raise BenchError(
            f"{path} holds statistics, not images: it can be a --reference, not what is measured"
        )
    four = [name for name, (shape, _, _) in headers.items() if len(shape) == 4]
    known = [name for name in ("arr_0", "images", "samples") if name in headers]
    chosen = (known or four)[:1] if known or len(four) == 1 else []
    if not chosen:
        names = ", ".join(f"{name} {shape}" for name, (shape, _, _) in headers.items()) or "nothing"
        raise BenchError(f"{path} has no array of images (arr_0, images or samples): it holds {names}")
    shape, fortran, dtype = headers[chosen[0]]
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
    if fortran:
        raise BenchError(f"{where} is in Fortran order: save np.ascontiguousarray of it")
    return f"{chosen[0]}.npy", shape
