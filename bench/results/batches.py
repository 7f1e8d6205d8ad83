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
