"""Images from any source, read in batches.

Nothing is resized or converted: what is not 8-bit RGB of one size is refused, in a line that names it.
Batches are float32 (B, 3, H, W) on [0, 1], a byte k as k / 255, of which `bench.data.pixels.to_uint8` makes k
again by either rounding. The samples of a run come as they were stored, not rounded.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bench.errors import BenchError
from bench.events import Emit, silent
from bench.types import JSONObject

if TYPE_CHECKING:
    from torch import Tensor


class Images(ABC):
    """Images of one size. Each iteration reads them again, in batches (B, 3, H, W) on [0, 1].

    Instances are plain data that can be pickled; pixels are read where they are needed.

    Args:
        name: Name that users gave.
        n: Number of images.
        shape: Shape of an image, (3, H, W).
        decoder: What decodes the files, with its version.
        batch: Images per batch.
        note: What is out of the ordinary about the source; empty for nothing.

    Raises:
        BenchError: There are fewer than two images. Iterating raises it for a file that can't be read.
    """

    kind: ClassVar[str]
    files: Sequence[Path] = ()
    """Files whose sizes and times of change tell whether the images are still the same."""

    def __init__(
        self, name: str, n: int, shape: tuple[int, ...], decoder: str, batch: int, note: str = ""
    ) -> None:
        self.name, self.n, self.shape, self.decoder = name, n, shape, decoder
        self.batch, self.note = batch, note
        self._hash: tuple[str, str] | None = None
        if n < 2:
            raise BenchError(f"{name} holds {'one image' if n else 'no image'}: a metric needs two or more")

    @abstractmethod
    def __iter__(self) -> Iterator[Tensor]: ...

    @abstractmethod
    def compute_hash(self, emit: Emit) -> str:
        """Hash of the contents in their order, whatever the names and places of the files."""

    def sha256(self, emit: Emit = silent) -> str:
        """Hash of the contents in their order.

        It is computed again only where the size or the time of change of a file is another.
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
        """Number of images in each batch."""
        full, rest = divmod(self.n, self.batch)
        return [self.batch] * full + [rest] * (rest > 0)

    def facts(self, emit: Emit = silent) -> JSONObject:
        """Name, kind, n, shape, hash and decoder, as JSON data."""
        return {
            "name": self.name,
            "kind": self.kind,
            "n": self.n,
            "shape": list(self.shape),
            "sha256": self.sha256(emit),
            "decoder": self.decoder,
        }
