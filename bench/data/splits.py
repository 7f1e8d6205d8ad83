"""Names of data sets: ``NAME-SPLIT``, or ``NAME`` for the first split."""

from __future__ import annotations

import dataclasses

from bench.data.dataset import Dataset
from bench.data.images import Images
from bench.errors import BenchError
from bench.events import Emit, silent
from bench.plugins.registry import Registry


@dataclasses.dataclass(frozen=True)
class Split:
    """A split of a registered data set.

    Args:
        dataset: The data set.
        split: One of its splits.
    """

    dataset: Dataset
    split: str

    @property
    def name(self) -> str:
        """Its full name, ``NAME-SPLIT``."""
        return f"{self.dataset.name}-{self.split}"

    def open(self, batch: int = 250, emit: Emit = silent) -> Images:
        """The items; `BenchError` where they can't be read."""
        return self.dataset.open(self.split, batch, emit)


def find_split(name: str, registry: Registry) -> Split | None:
    """The split that a name stands for; None for names of other things.

    Raises:
        BenchError: Several distributions register the data set.
    """
    known = registry.names("datasets")
    base, hyphen, split = name.rpartition("-")
    if name in known:
        dataset: Dataset = registry.build("datasets", name, {})
        return Split(dataset, next(iter(dataset.splits)))
    if hyphen and base in known:
        dataset = registry.build("datasets", base, {})
        return Split(dataset, split) if split in dataset.splits else None
    return None


def dataset_name(name: str, registry: Registry) -> str | None:
    """The full name of a split (``cifar10`` is ``cifar10-train``); None for names of other things."""
    split = find_split(name, registry)
    return None if split is None else split.name


def split_names(registry: Registry) -> list[str]:
    """All names that users can type: of each data set its own, and with each of its splits."""
    names = []
    for entry in registry.of_kind("datasets"):
        names += [entry.name, *(f"{entry.name}-{split}" for split in entry.thing.splits)]
    return names


def check_split(name: str, registry: Registry) -> None:
    """`BenchError` for a name of a data set with a split that it does not have."""
    base, _, split = name.rpartition("-")
    if base in registry.names("datasets"):
        splits = registry.get("datasets", base).thing.splits
        raise BenchError(f"{base} has no split {split!r}: it has {', '.join(splits)}")
