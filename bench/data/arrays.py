"""Arrays in ``.npz`` files. What a file declares is checked before anything of that size is allocated."""

from __future__ import annotations

import dataclasses
import math
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError, one_line, printable
from bench.files import check_regular

MAX_ARRAYS = 100
"""Greatest number of arrays in a file."""
MAX_DIMENSIONS = 8
MAX_LENGTH = 2**40
"""Greatest length of a dimension."""
DEFLATE = 1032
"""Greatest ratio of deflate: a longer stream can't come from the compressed bytes."""


@dataclasses.dataclass(frozen=True)
class ArrayHeader:
    """What a file declares of an array.

    Args:
        shape: Its shape.
        fortran: Whether it is in Fortran order.
        dtype: Its type.
    """

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Size of the array in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: IO[bytes]) -> ArrayHeader:
    """Read the header of the array that begins here; no pickle is read.

    Raises:
        ValueError: It is damaged, or declares what no array has. The message is one line.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise ValueError(f"version {version}")
        formats = np.lib.format
        reader = formats.read_array_header_1_0 if version == (1, 0) else formats.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers of Python 2, and invalid literals
            shape, fortran, dtype = reader(file)
    except Exception as error:  # the parser of a damaged header raises errors of many types
        raise ValueError(f"the header of an array is damaged: {printable(one_line(error))}") from error
    if len(shape) > MAX_DIMENSIONS or not all(type(n) is int and 0 <= n <= MAX_LENGTH for n in shape):
        raise ValueError(f"an array has the shape {printable(str(shape), 80)}")
    return ArrayHeader(shape, bool(fortran), dtype)


class ArrayFile:
    """The arrays of an open ``.npz``, by name.

    Args:
        archive: The open file.

    Raises:
        ValueError: It has too many members, or a member is not stored as NumPy does or declares a size that
            its bytes can't have.
    """

    def __init__(self, archive: ZipFile) -> None:
        self._archive = archive
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        if len(members) > MAX_ARRAYS:
            raise ValueError(f"it has {len(members)} arrays, more than {MAX_ARRAYS}")
        self.headers: dict[str, ArrayHeader] = {}
        for info in members:
            _check_member(info)
            with archive.open(info) as file:
                header = read_header(file)
                start = file.tell()
            name = info.filename.removesuffix(".npy")
            rest = info.file_size - start
            if not header.dtype.hasobject and header.nbytes != rest:
                raise ValueError(f"{printable(repr(name), 80)} has {rest} bytes where {header.nbytes} belong")
            self.headers[name] = header

    def read(self, name: str) -> NDArray[Any]:
        """Read an array; check its header for its size first."""
        with self._archive.open(f"{name}.npy") as file:
            array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array


def _check_member(info: ZipInfo) -> None:
    """`ValueError` for a member that NumPy would not write, or whose declared size is impossible."""
    name = printable(repr(info.filename), 80)
    if info.flag_bits & 1:
        raise ValueError(f"{name} is encrypted")
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed by a method that NumPy does not write")
    most = info.compress_size * (1 if info.compress_type == ZIP_STORED else DEFLATE)
    if info.file_size > most:
        raise ValueError(f"{name} declares {info.file_size} bytes, but holds {info.compress_size}")


@contextmanager
def open_arrays(path: Path, what: str) -> Iterator[tuple[ZipFile, ArrayFile]]:
    """Open an ``.npz``.

    Args:
        path: The file.
        what: What the file should be, for messages: ``an .npz``.

    Yields:
        The archive and its arrays.

    Raises:
        BenchError: Opening or reading fails because the file is not an ``.npz``, or is damaged. The message
            is one line.
    """
    try:
        check_regular(path)
        with ZipFile(path) as archive:
            size = path.stat().st_size
            if any(info.compress_size > size for info in archive.infolist()):
                raise ValueError("a part of it is longer than the file")
            yield archive, ArrayFile(archive)
    except BenchError:
        raise
    except (
        BadZipFile,
        OSError,
        ValueError,
        EOFError,
        KeyError,
        zlib.error,
        NotImplementedError,
        RuntimeError,
    ) as error:
        reason = error.strerror or error if isinstance(error, OSError) else one_line(error)
        raise BenchError(f"{path} is not {what}, or damaged: {printable(f'{reason}')}") from error
