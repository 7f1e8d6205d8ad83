"""Role Dataset: data that checkpoints model and metrics compare with, by name."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bench.data.images import Images
from bench.errors import BenchError
from bench.events import Emit
from bench.params import Plugin
from bench.types import Array

if TYPE_CHECKING:
    from torch import Tensor


class Dataset(Plugin):
    """A data set: its shape and range, its splits, its license, and how to get it.

    Users type ``NAME-SPLIT``, or ``NAME`` alone for the first split: ``cifar10-test``, ``eight_gaussians``.
    A plugin defines ``name``, ``shape``, ``splits``, ``licence``, ``source`` and `open`.
    """

    shape: ClassVar[tuple[int, ...]]
    """Shape of one item: (C, H, W) of an image, (D,) of a point."""
    data_range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    """The values in the data's own coordinates that become 0 and 1. Data need not stay between them."""
    splits: ClassVar[Mapping[str, int]]
    """Number of items of each split; the first one is the default."""
    licence: ClassVar[str]
    source: ClassVar[str]
    """Where the data is from, and how to get it where that takes more than the name."""

    @abstractmethod
    def open(self, split: str, batch: int, emit: Emit) -> Images:
        """Open a split.

        Args:
            split: One of `splits`.
            batch: Items per batch.
            emit: Reports a download.

        Returns:
            The items. Their batches are on the unit range: ``(x - low) / (high - low)`` by `data_range`.

        Raises:
            BenchError: A file is missing or damaged; the message says how to get it.
        """


class Toy(Dataset):
    """A distribution that is drawn from, so that it needs no file. A plugin defines `draw`."""

    shape = (2,)
    data_range = (-1.0, 1.0)
    splits: ClassVar[Mapping[str, int]] = {"train": 50_000, "test": 10_000}
    licence = "none: drawn by its formula"

    @abstractmethod
    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Independent draws.

        Args:
            n: Number of draws.
            rng: Random numbers.

        Returns:
            Points (n, *shape), float64, in the data's own coordinates.
        """

    def open(self, split: str, batch: int, emit: Emit) -> Images:
        if split not in self.splits:
            raise BenchError(f"{self.name} has no split {split!r}: it has {', '.join(self.splits)}")
        return Drawn(self, split, batch)


BLOCK = 1000
"""Draws by one random stream, so that batches of any size hold the same draws."""


class Drawn(Images):
    """The items of a split of a `Toy`: the same draws each time.

    Args:
        toy: Distribution.
        split: Its split. Splits are independent draws.
        batch: Items per batch.
    """

    kind = "dataset"

    def __init__(self, toy: Toy, split: str, batch: int) -> None:
        self._toy, self._split = toy, list(toy.splits).index(split)
        super().__init__(
            f"{toy.name}-{split}", toy.splits[split], toy.shape, f"numpy {np.__version__}", batch
        )

    def __iter__(self) -> Iterator[Tensor]:
        import torch

        low, high = self._toy.data_range
        waiting: list[Array] = []
        for start in range(0, self.n, BLOCK):
            rng = np.random.default_rng([self._split, start])
            waiting.append((self._toy.draw(min(BLOCK, self.n - start), rng) - low) / (high - low))
            rows = np.concatenate(waiting)
            whole = len(rows) - len(rows) % self.batch
            for first in range(0, whole, self.batch):
                yield torch.from_numpy(rows[first : first + self.batch]).float()
            waiting = [rows[whole:]]
        if len(waiting[0]):
            yield torch.from_numpy(waiting[0]).float()

    def compute_hash(self, emit: Emit) -> str:
        import hashlib

        whole = hashlib.sha256()
        for batch in self:
            whole.update(np.ascontiguousarray(batch.numpy()).data)
        return whole.hexdigest()
