"""What batches leave in a metric, in blocks of bounded number, and the groups that a jackknife leaves out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_BLOCKS = 1024
"""Greatest number of blocks that a metric keeps."""


def jackknife_groups(count: int, most: int = 32) -> list[range]:
    """Indices of ``count`` batches in groups of neighbors, each of which a jackknife leaves out in turn.

    More than `MOST_BLOCKS` batches are taken in blocks of 2, 4, 8, ... neighbors, the smallest that make at
    most that many blocks, as `Blocks` keeps them; a group then consists of whole blocks.

    Args:
        count: Number of batches.
        most: Largest number of groups.

    Returns:
        At most ``most`` groups whose sizes differ by at most one, batch or block; no group for fewer than two
        batches.
    """
    if count < 2:
        return []
    size = 1
    while -(-count // size) > MOST_BLOCKS:
        size *= 2
    blocks = -(-count // size)
    groups = min(blocks, most)
    # the first block i of group k has i groups // blocks = k
    bounds = [min(count, -(-k * blocks // groups) * size) for k in range(groups + 1)]
    return [range(low, high) for low, high in itertools.pairwise(bounds)]


class Blocks(Generic[T]):
    """The parts that a metric's batches leave, such as sums, in at most `MOST_BLOCKS` blocks of neighbors.

    Up to that number of batches each is a block of its own. Then neighbors are merged two by two, and again
    whenever the number is reached, so that memory does not grow with the number of batches.

    Args:
        merge: ``merge(a, b)`` is the part of two neighbors; it may change and return ``a``.

    Attributes:
        parts: The blocks' parts, in order.
    """

    def __init__(self, merge: Callable[[T, T], T]) -> None:
        self._merge = merge
        self.parts: list[T] = []
        self._size = 1
        self._filled = 1

    def add(self, part: T) -> None:
        """Add the part of the next batch.

        Args:
            part: The part, which the blocks may change from now on.
        """
        if self.parts and self._filled < self._size:
            self.parts[-1] = self._merge(self.parts[-1], part)
            self._filled += 1
            return
        if len(self.parts) == MOST_BLOCKS:
            pairs = zip(self.parts[::2], self.parts[1::2], strict=True)
            self.parts = [self._merge(a, b) for a, b in pairs]
            self._size *= 2
        self.parts.append(part)
        self._filled = 1

    def groups(self) -> list[range]:
        """The `jackknife_groups` of all batches so far.

        Returns:
            Indices of `parts`, for each group.
        """
        return jackknife_groups(len(self.parts))
