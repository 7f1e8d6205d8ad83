"""Data sets by name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import cache
from bench.data.images import Images, Notice, Seen
from bench.data.pixels import Bytes, as_floats
from bench.errors import BenchError

if TYPE_CHECKING:
    from torch import Tensor


DATASETS: dict[str, tuple[str, dict[str, Any]]] = {
    "cifar10-train": ("CIFAR10", {"train": True}),
    "cifar10-test": ("CIFAR10", {"train": False}),
    "cifar100-train": ("CIFAR100", {"train": True}),
    "cifar100-test": ("CIFAR100", {"train": False}),
    "svhn-train": ("SVHN", {"split": "train"}),
    "svhn-test": ("SVHN", {"split": "test"}),
    "stl10-train": ("STL10", {"split": "train"}),
    "stl10-test": ("STL10", {"split": "test"}),
    "stl10-unlabeled": ("STL10", {"split": "unlabeled"}),
}
"""Data sets by name: torchvision's class, and what it calls the part."""
ALIASES = {"cifar10": "cifar10-train", "cifar100": "cifar100-train", "svhn": "svhn-train"}
GREY = ("mnist", "fashion-mnist", "kmnist", "emnist", "qmnist", "usps")


def dataset_name(name: str) -> str | None:
    """The data set's full name, ``cifar10`` being its training images; None where there is none so called."""
    full = ALIASES.get(name, name)
    return full if full in DATASETS else None


class _Dataset(Images):
    """A data set of torchvision's, in the cache, downloaded where it is missing."""

    kind = "dataset"

    def __init__(self, name: str, batch: int, notice: Notice | None) -> None:
        self.data = _dataset(name, notice)
        n, height, width, _ = self.data.shape
        super().__init__(name, n, (3, height, width), f"torchvision {metadata.version('torchvision')}", batch)

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, self.n, self.batch):
            yield as_floats(self.data[start : start + self.batch])

    def _hash(self, seen: Seen) -> str:
        return hashlib.sha256(np.ascontiguousarray(self.data).data).hexdigest()

    def _state(self) -> str:
        return self._hash(lambda _: None)


def _dataset(name: str, notice: Notice | None) -> Bytes:
    """All of a data set's images (n, H, W, 3)."""
    from torchvision import datasets

    made, part = DATASETS[name]
    kind, folder = getattr(datasets, made), cache.root() / "datasets"
    try:
        found = kind(folder, **part, download=False)
    except RuntimeError:  # it is not there, or not whole
        url, file = kind.split_list[part["split"]][:2] if made == "SVHN" else (kind.url, kind.filename)
        if notice is not None:
            notice(f"{name} is not here: fetching {url} into {folder}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            found = kind(folder, **part, download=True)
        except (OSError, RuntimeError) as error:
            said = " ".join(f"{error}".split())
            raise BenchError(
                f"{name} is not here and can't be fetched ({said}): put {file} of {url} into {folder}"
            ) from error
    data: Bytes = found.data  # with channels last, or first
    return data if data.shape[3] == 3 else np.ascontiguousarray(data.transpose(0, 2, 3, 1))
