"""Images and points from any source, read in batches.

Nothing is resized or converted: a file that is not 8-bit RGB or gray as the first one, and of its size, is an
error that names it. Batches are float32 on the unit range: (B, C, H, W) of images, (B, D) of points. A byte k
becomes k / 255, from which `bench.data.pixels.to_uint8` recovers k by either rounding. Points and the samples
of a run are read as they were stored, neither rounded nor clipped.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bench.errors import BenchError
from bench.events import Emit, silent
from bench.types import JSONObject

if TYPE_CHECKING:
    from torch import Tensor


MAX_PIXELS = 2**24
"""Greatest number of pixels of an image: 4096 x 4096."""
MAX_POINT = 4096
"""Greatest number of coordinates of a point."""
CHANNELS = (1, 3)
"""Numbers of channels that images may have: gray, and RGB."""
BATCH_BYTES = 2**28
"""Greatest size of a batch of floats; large items make smaller batches."""


def items_of(shape: tuple[int, ...]) -> str:
    """What items of a shape are, for messages: ``3x32x32 images``, ``points of 2 coordinates``."""
    if len(shape) == 1:
        return f"points of {shape[0]} coordinate{'s' if shape[0] > 1 else ''}"
    return f"{'x'.join(map(str, shape))} images"


def check_pixels(what: str, height: int, width: int) -> None:
    """`BenchError` for images that are too large to be read."""
    if height * width > MAX_PIXELS:
        raise BenchError(
            f"{what} is {width}x{height}: images of more than {MAX_PIXELS} pixels are not read; "
            "save them smaller"
        )


def fitting_batch(batch: int, shape: Sequence[int]) -> int:
    """``batch``, or fewer items of this shape where these would take more than `BATCH_BYTES` as floats; at
    least one."""
    return max(1, min(batch, BATCH_BYTES // max(1, 4 * math.prod(shape))))


class Images(ABC):
    """Items of one shape: images, or points. Each iteration reads them again, in float32 batches (B, *shape)
    on the unit range: of images [0, 1]; points and samples of a run may leave it.

    Instances are plain data that can be pickled; they hold no pixels.

    Args:
        name: Name of the source, as the user wrote it.
        n: Number of items, at least 2.
        shape: Shape of an item: (C, H, W) of an image, (D,) of a point.
        decoder: Library that decodes the files, with its version.
        batch: Items per batch.
        note: A remark about the source for users; empty for none.

    Raises:
        BenchError: There are fewer than two images. Iterating raises it for a file that can't be read.
    """

    kind: ClassVar[str]
    """Kind of the source: ``folder``, ``npz``, ``run``, ``dataset`` or ``memory``."""
    files: Sequence[Path] = ()
    """The files of the source; while their sizes and times of change stay the same, so does the hash."""

    def __init__(
        self, name: str, n: int, shape: tuple[int, ...], decoder: str, batch: int, note: str = ""
    ) -> None:
        self.name, self.n, self.shape, self.decoder = name, n, shape, decoder
        self.batch, self.note = batch, note
        self._hash: tuple[str, str] | None = None
        if n < 2:
            what = "image" if len(shape) == 3 else "item"
            raise BenchError(f"{name} holds {'one' if n else 'no'} {what}: a metric needs two or more")

    @abstractmethod
    def __iter__(self) -> Iterator[Tensor]: ...

    @abstractmethod
    def compute_hash(self, emit: Emit) -> str:
        """Compute the hash of the contents in their order.

        Args:
            emit: Reports progress.

        Returns:
            SHA-256 in hexadecimal; it does not depend on names and places of files.
        """

    def sha256(self, emit: Emit = silent) -> str:
        """Hash of the contents in their order, computed once while the files stay the same.

        Args:
            emit: Reports progress.

        Returns:
            SHA-256 in hexadecimal.

        Raises:
            BenchError: A file can't be read.
        """
        state = self._state()
        if self._hash is None or self._hash[0] != state:
            self._hash = (state, self.compute_hash(emit))
        return self._hash[1]

    def _state(self) -> str:
        """Hash of the sizes and times of change of the files."""
        lines = []
        for file in self.files:
            try:
                state = file.stat()
            except OSError as error:
                raise BenchError(f"{file} can't be read: {error.strerror}") from error
            lines.append(f"{file.absolute()}\0{state.st_size}\0{state.st_mtime_ns}")
        return hashlib.sha256("\0".join(lines).encode(errors="surrogateescape")).hexdigest()

    def sizes(self) -> list[int]:
        """Number of items in each batch."""
        full, rest = divmod(self.n, self.batch)
        return [self.batch] * full + [rest] * (rest > 0)

    def facts(self, emit: Emit = silent) -> JSONObject:
        """Name, kind, n, shape, hash and decoder, as JSON data.

        Args:
            emit: Reports progress of the hash.

        Returns:
            The object with the keys ``name``, ``kind``, ``n``, ``shape``, ``sha256`` and ``decoder``.
        """
        return {
            "name": self.name,
            "kind": self.kind,
            "n": self.n,
            "shape": list(self.shape),
            "sha256": self.sha256(emit),
            "decoder": self.decoder,
        }
