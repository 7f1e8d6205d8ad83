"""Images by name: a data set, a folder, an ``.npz``."""

from __future__ import annotations

from typing import Protocol

from bench.data.datasets import ALIASES, DATASETS, GRAY, Dataset, dataset_name
from bench.data.folder import SUFFIXES, Folder
from bench.data.images import Images
from bench.data.npz import Npz
from bench.errors import BenchError, did_you_mean
from bench.events import Emit, silent
from bench.files import user_path

SOURCES = "a folder of images, an .npz of images, or a data set"


class UnknownSourceError(BenchError):
    """A name stands for no images."""


class OpenImages(Protocol):
    """A function that opens the images that a name stands for."""

    def __call__(self, name: str, *, emit: Emit = silent) -> Images: ...


def open_images(name: str, batch: int = 250, emit: Emit = silent, sources: str = SOURCES) -> Images:
    """The images that a name stands for: a data set, a folder of images or an ``.npz``, in this order.

    Args:
        name: Name of a data set, or a path.
        batch: Images per batch.
        emit: Reports a download.
        sources: What error messages suggest to give.

    Raises:
        UnknownSourceError: The name stands for none of these.
        BenchError: The images can't be read.
    """
    dataset = dataset_name(name)
    path = user_path(name)
    if dataset is not None:
        return Dataset(dataset, batch, emit)
    if not name:
        raise UnknownSourceError(f"an empty name is no source of images: give {sources}")
    if path.is_dir():
        return Folder(name, path, batch)
    if path.is_file():
        if path.suffix == ".npz":
            return Npz(name, path, batch)
        if path.suffix.lower() in SUFFIXES:
            raise UnknownSourceError(f"{name} is one image: give the folder that holds them all")
        raise UnknownSourceError(f"{name} is no source of images: give {sources}")
    if path.exists():
        raise UnknownSourceError(f"{name} is neither a file nor a folder: give {sources}")
    if name.lower() in GRAY:
        colored = ", ".join(DATASETS)
        raise UnknownSourceError(f"{name} is gray: only data sets of color images are read ({colored})")
    if path.suffix or path.name != name:
        raise UnknownSourceError(f"there is no {name}: give {sources}")
    known = did_you_mean(name, [*DATASETS, *ALIASES])
    raise UnknownSourceError(f"{name!r} is neither a file or folder nor a data set{known}")
