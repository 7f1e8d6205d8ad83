"""Role Dataset: data that checkpoints model and metrics compare with, by name."""

from __future__ import annotations

import hashlib
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.data.images import Images, fitting_batch
from bench.errors import BenchError
from bench.events import Emit, silent
from bench.params import Plugin
from bench.types import Array

if TYPE_CHECKING:
    from torch import Tensor


class Dataset(Plugin):
    """A data set: its shape and range, its splits, its license, and how to get it.

    Users type ``NAME-SPLIT``, or ``NAME`` alone for the first split: ``cifar10-test``, ``eight_gaussians``.
    Items x in the data's own coordinates become ``(x - low) / (high - low)`` by `data_range`. A plugin
    defines ``name``, ``shape``, ``splits``, ``licence``, ``source``, and `load`, or `open` where the items
    don't fit into memory.
    """

    shape: ClassVar[tuple[int, ...] | None]
    """Shape of one item: (C, H, W) of an image, (D,) of a point; None where files decide it."""
    data_range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    """The values in the data's own coordinates that become 0 and 1. Data need not stay between them."""
    splits: ClassVar[Mapping[str, int | None]]
    """Number of items of each split, None where files decide it; the first split is the default. Names of
    splits have no hyphen."""
    licence: ClassVar[str]
    source: ClassVar[str]
    """Where the data is from, and how to get it where that takes more than the name."""
    at_hand: ClassVar[bool] = False
    """Whether opening takes no download: metrics then measure it as a reference by themselves. Statistics of
    other data sets are made by ``bench stats build``."""

    def load(self, split: str, emit: Emit) -> NDArray[Any]:
        """All items of a split, in memory.

        Args:
            split: One of `splits`.
            emit: Reports a download.

        Returns:
            Items (n, *shape) in the data's own coordinates, of integers or floats.

        Raises:
            BenchError: A file is missing or damaged; the message says how to get it.
        """
        raise BenchError(f"the data set {self.name} defines neither load nor open")

    def open(self, split: str, batch: int, emit: Emit) -> Images:
        """Open a split.

        Args:
            split: One of `splits`.
            batch: Items per batch.
            emit: Reports a download.

        Returns:
            The items. Their batches are float32 on the unit range: ``(x - low) / (high - low)``.

        Raises:
            BenchError: A file is missing or damaged; the message says how to get it.
        """
        return LoadedImages(self, split, batch, emit)


class LoadedImages(Images):
    """The items of a split that `Dataset.load` brings into memory; they travel without them.

    Args:
        dataset: Data set.
        split: Its split.
        batch: Items per batch.
        emit: Reports a download.

    Raises:
        BenchError: The items can't be loaded, or are of another shape than the data set's.
    """

    kind = "dataset"

    def __init__(self, dataset: Dataset, split: str, batch: int, emit: Emit = silent) -> None:
        self._dataset, self._split = dataset, split
        self._items: NDArray[Any] | None = dataset.load(split, emit)
        n, *shape = self._items.shape
        if dataset.shape not in (None, tuple(shape)) or self._items.dtype.kind not in "uif":
            raise BenchError(
                f"{dataset.name}.load returns {self._items.dtype} of shape {self._items.shape}, "
                f"not numbers (n, {', '.join(map(str, dataset.shape or ()))})"
            )
        libraries = dataset.libraries or ("numpy",)
        decoder = ", ".join(f"{library} {metadata.version(library)}" for library in libraries)
        super().__init__(f"{dataset.name}-{split}", n, tuple(shape), decoder, fitting_batch(batch, shape))

    def __getstate__(self) -> dict[str, Any]:
        # the items stay on this machine's disk; another process reads them there
        return self.__dict__ | {"_items": None}

    @property
    def items(self) -> NDArray[Any]:
        """All items (n, *shape) in the data's own coordinates."""
        if self._items is None:
            self._items = self._dataset.load(self._split, silent)
        return self._items

    def __iter__(self) -> Iterator[Tensor]:
        import torch

        low, high = self._dataset.data_range
        # bytes are exact in float32; wider numbers are rounded once, at the end
        wide = torch.float32 if self.items.dtype == np.uint8 else torch.float64
        for start in range(0, self.n, self.batch):
            part = np.ascontiguousarray(self.items[start : start + self.batch])
            yield torch.from_numpy(part).to(wide, copy=True).sub_(low).div_(high - low).float()

    def compute_hash(self, emit: Emit) -> str:
        whole = hashlib.sha256()
        # channels last, as image libraries hold them: the hash of what torchvision reads
        items = np.moveaxis(self.items, 1, -1)
        for start in range(0, self.n, self.batch):
            whole.update(np.ascontiguousarray(items[start : start + self.batch]).data)
        return whole.hexdigest()


class Toy(Dataset):
    """A distribution that is drawn from, so that it needs no file. A plugin defines `draw`."""

    shape: ClassVar[tuple[int, ...]] = (2,)
    data_range = (-1.0, 1.0)
    splits: ClassVar[Mapping[str, int]] = {"train": 50_000, "test": 10_000}
    licence = "none: drawn by its formula"
    at_hand = True

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
        return Draws(self, split, batch)


BLOCK = 1000
"""Draws by one random stream, so that batches of any size hold the same draws."""


class Draws(Images):
    """The items of a split of a `Toy`: the same draws each time, none of them held in memory.

    Args:
        toy: Distribution.
        split: Its split. Splits are independent draws.
        batch: Items per batch.
    """

    kind = "dataset"

    def __init__(self, toy: Toy, split: str, batch: int) -> None:
        self._toy = toy
        self._seed = [zlib.crc32(toy.name.encode()), list(toy.splits).index(split)]
        name, decoder = f"{toy.name}-{split}", f"numpy {np.__version__}"
        super().__init__(name, toy.splits[split], toy.shape, decoder, fitting_batch(batch, toy.shape))

    def _block(self, start: int) -> Tensor:
        """The next `BLOCK` draws or fewer, on the unit range."""
        import torch

        low, high = self._toy.data_range
        rng = np.random.default_rng([*self._seed, start])
        draws = self._toy.draw(min(BLOCK, self.n - start), rng)
        return torch.from_numpy((draws - low) / (high - low)).float()

    def __iter__(self) -> Iterator[Tensor]:
        import torch

        waiting = torch.empty(0, *self.shape)
        for start in range(0, self.n, BLOCK):
            waiting = torch.cat([waiting, self._block(start)])
            while len(waiting) >= self.batch:
                yield waiting[: self.batch].clone()
                waiting = waiting[self.batch :]
        if len(waiting):
            yield waiting.clone()

    def compute_hash(self, emit: Emit) -> str:
        whole = hashlib.sha256()
        for batch in self:
            whole.update(np.ascontiguousarray(batch.numpy()).data)
        return whole.hexdigest()
