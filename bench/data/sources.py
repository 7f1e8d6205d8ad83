"""Images by name: a data set, a folder, an ``.npz``."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from bench.data.folder import SUFFIXES, Folder
from bench.data.images import Images
from bench.data.npz import Npz
from bench.data.splits import check_split, find_split, split_names
from bench.errors import BenchError, did_you_mean
from bench.events import Emit, silent
from bench.files import user_path
from bench.plugins.registry import Registry

SOURCES = "a folder of images, an .npz of images, or a data set"


class UnknownSourceError(BenchError):
    """A name stands for no images."""


class OpenImages(Protocol):
    """A function that opens the images that a name stands for."""

    def __call__(self, name: str, *, emit: Emit = silent) -> Images: ...


def open_images(
    name: str, registry: Registry, batch: int = 250, emit: Emit = silent, sources: str = SOURCES
) -> Images:
    """The images that a name stands for: a data set, a folder of images or an ``.npz``, in this order.

    Args:
        name: Name of a data set, or a path.
        registry: Data sets by name.
        batch: Images per batch.
        emit: Reports a download.
        sources: What error messages suggest to give.

    Raises:
        UnknownSourceError: The name stands for none of these.
        BenchError: The images can't be read.
    """
    split = find_split(name, registry)
    path = user_path(name)
    if split is not None:
        return split.open(batch, emit)
    if not name:
        raise UnknownSourceError(f"an empty name is no source of images: give {sources}")
    if path.exists():
        return open_path(name, path, batch, sources)
    check_split(name, registry)
    if path.suffix or path.name != name:
        raise UnknownSourceError(f"there is no {name}: give {sources}")
    known = did_you_mean(name, split_names(registry), "bench list datasets")
    raise UnknownSourceError(f"{name!r} is neither a file or folder nor a data set{known}")


def open_path(name: str, path: Path, batch: int, sources: str = SOURCES) -> Images:
    """The images of a folder or an ``.npz``.

    Args:
        name: What the images are called in messages and results.
        path: The folder or file, which exists.
        batch: Images per batch.
        sources: What error messages suggest to give.

    Raises:
        UnknownSourceError: It is no source of images.
        BenchError: The images can't be read.
    """
    if path.is_dir():
        return Folder(name, path, batch)
    if path.is_file():
        if path.suffix == ".npz":
            return Npz(name, path, batch)
        if path.suffix.lower() in SUFFIXES:
            raise UnknownSourceError(f"{name} is one image: give the folder that holds them all")
        raise UnknownSourceError(f"{name} is no source of images: give {sources}")
    raise UnknownSourceError(f"{name} is neither a file nor a folder: give {sources}")
