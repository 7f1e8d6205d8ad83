"""Data sets of a user's own: folders and ``.npz`` files that a bench.toml names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from bench.data.dataset import Dataset
from bench.data.images import Images
from bench.data.sources import open_path
from bench.errors import BenchError
from bench.events import Emit


class OwnDataset(Dataset):
    """A folder of images, or an ``.npz`` of images or points, that a bench.toml names."""

    shape = None
    licence = "not stated"
    at_hand = True
    paths: ClassVar[Mapping[str, Path]]
    """The folder or file of each split."""

    def open(self, split: str, batch: int, emit: Emit) -> Images:
        path = self.paths[split]
        if not path.exists():
            raise BenchError(f"{self.name}-{split}: there is no {path}, which bench.toml names")
        return open_path(f"{path}", path, batch)


def own_dataset(name: str, paths: Mapping[str, Path], licence: str, source: str) -> type[OwnDataset]:
    """The class of a user's data set, to be registered.

    Args:
        name: Its name.
        paths: The folder or ``.npz`` of each split.
        licence: Its license; empty where it is not stated.
        source: Where it is from; empty for its paths.
    """
    facts = {
        "__doc__": OwnDataset.__doc__,
        "__module__": OwnDataset.__module__,
        "name": name,
        "paths": dict(paths),
        "splits": dict.fromkeys(paths),
        "licence": licence or OwnDataset.licence,
        "source": source or ", ".join(map(str, paths.values())),
    }
    return type("OwnDataset", (OwnDataset,), facts)
