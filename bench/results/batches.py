"""The batches of a run as a range: nothing here grows with their number, but a byte for each where marked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator


@dataclasses.dataclass(frozen=True)
class Batches:
    """The batches of a run: pairs of index and number of samples.

    Args:
        samples: Number of samples in all.
        batch_size: Samples per batch; the last batch may be smaller.
    """

    samples: int
    batch_size: int

    def __len__(self) -> int:
        return -(-self.samples // self.batch_size)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((index, self.size(index)) for index in range(len(self)))

    def size(self, index: int) -> int:
        """Number of samples in a batch.

        Args:
            index: Number of the batch, from 0.

        Returns:
            ``batch_size``, or fewer in the last batch.
        """
        return min(self.batch_size, self.samples - index * self.batch_size)

    def marked_samples(self, marks: bytearray) -> int:
        """Number of samples in marked batches.

        Args:
            marks: 1 for each marked batch and 0 for the others, a byte for each.

        Returns:
            The sum of their sizes.
        """
        last = len(self) - 1
        return marks.count(1) * self.batch_size - marks[last] * (self.batch_size - self.size(last))


class BatchSet:
    """A set of batches: a byte for each of full size, whose number may be large."""

    def __init__(self) -> None:
        self._full: dict[str, bytearray] = {}
        self._others: set[tuple[str, int, int]] = set()
        self._count = 0

    def add(self, key: str, index: int, size: int, full: int) -> None:
        """Add a batch of the runs ``key``, whose batches have ``full`` samples but for the last."""
        self._count += not self.has(key, index, size)
        if size != full:
            self._others.add((key, index, size))
            return
        marks = self._full.setdefault(f"{key}-{size}", bytearray())
        marks.extend(bytes(max(0, index + 1 - len(marks))))
        marks[index] = 1

    def has(self, key: str, index: int, size: int) -> bool:
        """Whether a batch is in the set."""
        marks = self._full.get(f"{key}-{size}", b"")
        return (key, index, size) in self._others or (index < len(marks) and marks[index] == 1)

    def __len__(self) -> int:
        return self._count
