"""Data sets by name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import cache
from bench.data.images import Images
from bench.data.pixels import Bytes, as_floats
from bench.download import fetch_once
from bench.errors import BenchError, one_line
from bench.events import Emit, Notice, silent

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
"""Data sets by name: torchvision's class, and its arguments for the part."""
ALIASES = {"cifar10": "cifar10-train", "cifar100": "cifar100-train", "svhn": "svhn-train"}
GRAY = ("mnist", "fashion-mnist", "kmnist", "emnist", "qmnist", "usps")
"""Well-known data sets that are not in color and therefore refused."""


def dataset_name(name: str) -> str | None:
    """The data set's full name (``cifar10`` is its training images); None for other names."""
    full = ALIASES.get(name, name)
    return full if full in DATASETS else None


class Dataset(Images):
    """A data set of torchvision's, in the cache folder, downloaded where it is missing."""

    kind = "dataset"

    def __init__(self, name: str, batch: int, emit: Emit = silent) -> None:
        self._pixels: Bytes | None = _pixels_of(name, emit)
        n, height, width, _ = self._pixels.shape
        super().__init__(name, n, (3, height, width), f"torchvision {metadata.version('torchvision')}", batch)

    def __getstate__(self) -> dict[str, Any]:
        # the pixels stay on this machine's disk; another process reads them there
        return self.__dict__ | {"_pixels": None}

    @property
    def pixels(self) -> Bytes:
        """All images (n, H, W, 3)."""
        if self._pixels is None:
            self._pixels = _pixels_of(self.name, silent)
        return self._pixels

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, self.n, self.batch):
            yield as_floats(self.pixels[start : start + self.batch])

    def compute_hash(self, emit: Emit) -> str:
        return hashlib.sha256(np.ascontiguousarray(self.pixels).data).hexdigest()


def _pixels_of(name: str, emit: Emit) -> Bytes:
    """All images of a data set (n, H, W, 3)."""
    from torchvision import datasets

    class_name, part = DATASETS[name]
    dataset_class, folder = getattr(datasets, class_name), cache.root() / "datasets"
    try:
        dataset = dataset_class(folder, **part, download=False)
    except RuntimeError:  # it is missing or incomplete
        if class_name == "SVHN":
            url, file, md5 = dataset_class.split_list[part["split"]]
        else:
            url, file, md5 = dataset_class.url, dataset_class.filename, dataset_class.tgz_md5
        emit(Notice(f"{name} is not here: fetching {url} into {folder}"))
        try:
            _fetch(url, folder / file, md5, emit)
            dataset = dataset_class(folder, **part, download=True)  # the file is here: it is unpacked
        except (BenchError, OSError, RuntimeError) as error:
            reason = one_line(error).partition("; run the same")[0]
            raise BenchError(
                f"{name} is not here and can't be fetched ({reason}): put {file} of {url} into {folder}"
            ) from error
    pixels: Bytes = dataset.data  # with channels last, or first
    return pixels if pixels.shape[3] == 3 else np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))


def _fetch(url: str, target: Path, md5: str, emit: Emit) -> None:
    """Bring the file that torchvision unpacks; its own download has no limit of time."""
    from torchvision.datasets.utils import check_integrity

    if target.exists() and not check_integrity(target, md5):
        target.unlink()
    fetch_once(url, target, emit)
    if not check_integrity(target, md5):
        target.unlink()
        raise BenchError(f"{url} has another file: its MD5 is not {md5}")
