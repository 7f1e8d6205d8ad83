"""Images from anywhere as batches: a folder, an ``.npz``, the samples of a run, a data set by its name.

Nothing is resized or converted: what is not 8-bit RGB of one size is refused, in a line that names it.
Batches are float32 (B, 3, H, W) on [0, 1], a byte k as k / 255, of which `bench.data.pixels.to_uint8` makes k
again by either rounding. The samples of a run come as they were stored, not rounded.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.errors import BenchError

if TYPE_CHECKING:
    from torch import Tensor


Seen = Callable[[int], None]
"""Told how many more images were read."""
Notice = Callable[[str], None]
"""Told what is out of the ordinary, in a line."""


class Images(ABC):
    """Images of one size. Iterating reads them, each time anew; `BenchError` for what is amiss, in a line.

    ``n`` is their number, ``shape`` (3, H, W), ``decoder`` what made numbers of the files, with its version;
    ``note`` tells of the source what is out of the ordinary. ``files`` are what it rests on.
    """

    kind: ClassVar[str]
    files: Sequence[Path] = ()

    def __init__(
        self, name: str, n: int, shape: tuple[int, ...], decoder: str, batch: int, note: str = ""
    ) -> None:
        self.name, self.n, self.shape, self.decoder = name, n, shape, decoder
        self.batch, self.note = batch, note
        if n < 2:
            raise BenchError(f"{name} holds {'one image' if n else 'no image'}: a metric needs two or more")

    @abstractmethod
    def __iter__(self) -> Iterator[Tensor]: ...

    @abstractmethod
    def _hash(self, seen: Seen) -> str:
        """Hash of the inputs in their order; what is read is told to ``seen``."""

    def sha256(self, seen: Seen = lambda _: None) -> str:
        """Hash of the inputs in their order, whatever the names and places of the files.

        Taken once per process as long as the files' sizes and times of change stay the same.
        """
        state = self._state()
        if state not in _HASHES:
            _HASHES[state] = self._hash(seen)
        return _HASHES[state]

    def _state(self) -> str:
        lines = []
        for file in self.files:
            try:
                state = file.stat()
            except OSError as error:
                raise BenchError(f"{file} can't be read: {error.strerror}") from error
            lines.append(f"{file.absolute()}\0{state.st_size}\0{state.st_mtime_ns}")
        return hashlib.sha256("\0".join([self.kind, *lines]).encode(errors="surrogateescape")).hexdigest()

    def sizes(self) -> list[int]:
        """The number of images of each batch."""
        full, rest = divmod(self.n, self.batch)
        return [self.batch] * full + [rest] * (rest > 0)

    def facts(self) -> dict[str, Any]:
        """What they are, as plain data."""
        known = {"name": self.name, "kind": self.kind, "n": self.n, "shape": list(self.shape)}
        return known | {"sha256": self.sha256(), "decoder": self.decoder}


_HASHES: dict[str, str] = {}
"""Hashes of inputs, by the state of their files."""
