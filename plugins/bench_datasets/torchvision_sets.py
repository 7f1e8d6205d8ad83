"""Data sets that torchvision reads, fetched into the cache folder where they are missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench import BenchError, Dataset, Emit, Notice, cache_folder, fetch_once

File = tuple[list[str], Path, str]
"""A file: its addresses, of which the first one that answers serves; its path below the folder; its MD5."""


class TorchvisionSet(Dataset):
    """A data set of torchvision's. Its own reader unpacks and reads the files, which are fetched by bench:
    torchvision's download has no limit of time."""

    data_range = (0.0, 255.0)
    libraries = ("torchvision",)
    class_name: ClassVar[str]
    """Name of torchvision's class."""

    def part(self, split: str) -> dict[str, Any]:
        """The arguments by which torchvision chooses the split."""
        return {"train": split == "train"}

    def archives(self, torchvision_class: Any, split: str) -> list[File]:
        """The files that torchvision unpacks."""
        return [
            ([torchvision_class.url], Path(torchvision_class.filename), torchvision_class.tgz_md5),
        ]

    def load(self, split: str, emit: Emit) -> NDArray[Any]:
        from torchvision import datasets

        torchvision_class, folder = getattr(datasets, self.class_name), cache_folder("datasets")
        part = self.part(split)
        try:
            data = torchvision_class(folder, **part, download=False).data
        except RuntimeError:  # it is missing or incomplete
            files = self.archives(torchvision_class, split)
            address = files[0][0][0] if len(files) == 1 else files[0][0][0].rpartition("/")[0] + "/"
            emit(Notice(f"{self.name}-{split} is not here: fetching {address} into {folder}"))
            try:
                for addresses, path, md5 in files:
                    _fetch(addresses, folder / path, md5, emit)
                # the files are here: they are unpacked
                data = torchvision_class(folder, **part, download=True).data
            except (BenchError, OSError, RuntimeError) as error:
                reason = " ".join(f"{error}".split()).partition("; run the same")[0]
                names = ", ".join(path.name for _, path, _ in files)
                raise BenchError(
                    f"{self.name}-{split} is not here and can't be fetched ({reason}): "
                    f"put {names} of {address} into {folder / files[0][1].parent}"
                ) from error
        return self.channels_first(np.asarray(data))

    def channels_first(self, images: NDArray[Any]) -> NDArray[Any]:
        """Images as torchvision holds them -> (n, C, H, W)."""
        return images if images.shape[1] == 3 else images.transpose(0, 3, 1, 2)


def _fetch(addresses: list[str], target: Path, md5: str, emit: Emit) -> None:
    """Bring a file from the first address that has it."""
    from torchvision.datasets.utils import check_integrity

    if target.exists() and not check_integrity(target, md5):
        target.unlink()
    failures = []
    for address in addresses:
        try:
            fetch_once(address, target, emit)
        except BenchError as error:
            failures.append(error)
            continue
        if check_integrity(target, md5):
            return
        target.unlink()
        failures.append(BenchError(f"{address} has another file: its MD5 is not {md5}"))
    raise failures[0]


class Cifar10(TorchvisionSet):
    """CIFAR-10: photographs of 32x32 pixels, of ten classes (Krizhevsky 2009)."""

    name = "cifar10"
    class_name = "CIFAR10"
    shape = (3, 32, 32)
    splits = {"train": 50_000, "test": 10_000}
    licence = "not stated"
    source = "https://www.cs.toronto.edu/~kriz/cifar.html, fetched at first use"


class Cifar100(TorchvisionSet):
    """CIFAR-100: photographs of 32x32 pixels, of a hundred classes (Krizhevsky 2009)."""

    name = "cifar100"
    class_name = "CIFAR100"
    shape = (3, 32, 32)
    splits = {"train": 50_000, "test": 10_000}
    licence = "not stated"
    source = "https://www.cs.toronto.edu/~kriz/cifar.html, fetched at first use"


class Svhn(TorchvisionSet):
    """SVHN, cropped digits: house numbers in photographs of 32x32 pixels (Netzer et al. 2011)."""

    name = "svhn"
    class_name = "SVHN"
    shape = (3, 32, 32)
    splits = {"train": 73_257, "test": 26_032}
    licence = "for non-commercial use"
    source = "http://ufldl.stanford.edu/housenumbers, fetched at first use"

    def part(self, split: str) -> dict[str, Any]:
        return {"split": split}

    def archives(self, torchvision_class: Any, split: str) -> list[File]:
        url, file, md5 = torchvision_class.split_list[split]
        return [([url], Path(file), md5)]


class Stl10(TorchvisionSet):
    """STL-10: photographs of 96x96 pixels, of ten classes, and more without labels (Coates et al. 2011)."""

    name = "stl10"
    class_name = "STL10"
    shape = (3, 96, 96)
    splits = {"train": 5000, "test": 8000, "unlabeled": 100_000}
    licence = "not stated; images of ImageNet"
    source = "https://cs.stanford.edu/~acoates/stl10, fetched at first use"

    def part(self, split: str) -> dict[str, Any]:
        return {"split": split}


class Mnist(TorchvisionSet):
    """MNIST: handwritten digits of 28x28 pixels in gray, of ten classes (LeCun et al. 1998)."""

    name = "mnist"
    class_name = "MNIST"
    shape = (1, 28, 28)
    splits = {"train": 60_000, "test": 10_000}
    licence = "CC BY-SA 3.0"
    source = "http://yann.lecun.com/exdb/mnist, fetched from torchvision's mirror at first use"

    def archives(self, torchvision_class: Any, split: str) -> list[File]:
        folder = Path(torchvision_class.__name__, "raw")
        return [
            ([mirror + file for mirror in torchvision_class.mirrors], folder / file, md5)
            for file, md5 in torchvision_class.resources
        ]

    def channels_first(self, images: NDArray[Any]) -> NDArray[Any]:
        return images[:, None]


class FashionMnist(Mnist):
    """Fashion-MNIST: pictures of clothes of 28x28 pixels in gray, of ten classes (Xiao et al. 2017)."""

    name = "fashion-mnist"
    class_name = "FashionMNIST"
    licence = "MIT"
    source = "https://github.com/zalandoresearch/fashion-mnist, fetched at first use"


class Kmnist(Mnist):
    """KMNIST: Japanese characters by hand, of 28x28 pixels in gray, of ten classes (Clanuwat et al. 2018)."""

    name = "kmnist"
    class_name = "KMNIST"
    licence = "CC BY-SA 4.0"
    source = "http://codh.rois.ac.jp/kmnist, fetched at first use"
