"""What a name of images stands for: a data set, a folder, an ``.npz``, a run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data.datasets import ALIASES, DATASETS, GREY, _Dataset, dataset_name
from bench.data.images import Images, Notice, Seen
from bench.data.npz import _Npz
from bench.errors import BenchError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

    from bench.results.store import Store


WHAT = "a folder of images, an .npz of images, a run's fingerprint or record, or a data set"


def open_images(
    name: str, batch: int = 250, results: Path = Path("results"), notice: Notice | None = None
) -> Images:
    """The images that ``name`` stands for; `BenchError`, in a line, where it is none or they can't be read.

    In this order: a data set; a folder of images, or a results folder of one run; an ``.npz``; a record's
    ``.json``; a fingerprint, or its first 4 digits or more, in ``results``.
    """
    dataset = dataset_name(name)
    path = Path(name).expanduser()
    if dataset is not None:
        return _Dataset(dataset, batch, notice)
    if not name:
        raise BenchError(f"an empty name is no source of images: give {WHAT}")
    if (path / "records").is_dir():
        return _Run(name, *_only_record(path), batch)
    if path.is_dir():
        from bench.data.folder import Folder

        return Folder(name, path, batch)
    if path.is_file():
        return _file(name, path, batch)
    if re.fullmatch("[0-9a-f]{4,}", name) and (results / "records").is_dir():
        return _Run(name, *_recorded(name, results), batch)
    if name.lower() in GREY:
        raise BenchError(f"{name} is grey: only data sets of colour images are read ({', '.join(DATASETS)})")
    if path.suffix or path.name != name:
        raise BenchError(f"there is no {name}: give {WHAT}")
    known = did_you_mean(name, [*DATASETS, *ALIASES])
    raise BenchError(f"{name!r} is neither a file or folder nor a data set{known}")


def _file(name: str, path: Path, batch: int) -> Images:
    from bench.data.folder import SUFFIXES

    if path.suffix == ".npz":
        return _Npz(name, path, batch)
    if path.suffix == ".json":
        return _Run(name, *_record_file(path), batch)
    if path.suffix.lower() in SUFFIXES:
        raise BenchError(f"{name} is one image: give the folder that holds them all")
    raise BenchError(f"{name} is no source of images: give {WHAT}")


class _Run(Images):
    """The samples of a recorded run, in its own batches of floats as they were stored."""

    kind = "run"

    def __init__(self, name: str, store: Store, record: dict[str, Any], batch: int) -> None:
        fingerprint = record.get("fingerprint")
        if record.get("status") != "finished":
            raise BenchError(f"run {fingerprint} is not finished: run it again")
        if not {"key", "batches"} <= record.keys():
            raise BenchError(f"run {fingerprint} is of an older bench, which says not where its samples are")
        self.store, self.record = store, record
        self._sizes = [int(part["size"]) for part in record["batches"]]
        self.files = [store.batch_path(record["key"], *place) for place in enumerate(self._sizes)]
        if not all(file.exists() for file in self.files):
            raise BenchError(
                f"the samples of run {fingerprint} are not in {store.root}: the command that made them, "
                "without --prune, makes them again"
            )
        shape = tuple(self._read(0).shape[1:]) if self._sizes else (3, 0, 0)
        if len(shape) != 3 or shape[0] != 3:
            raise BenchError(f"run {fingerprint} is of {'x'.join(map(str, shape))} images: RGB is needed")
        decoder = "none: floats as they were sampled"
        super().__init__(name, sum(self._sizes), shape, decoder, batch, note=str(record["title"]))

    def _read(self, index: int) -> Tensor:
        stored = self.store.read_batch(self.record["key"], index, self._sizes[index])
        if stored is None:
            raise BenchError(f"{self.files[index]} is damaged: the command that made the run makes it again")
        if "images" not in stored[0]:
            raise BenchError(f"run {self.record['fingerprint']} left no images: its task is another")
        return stored[0]["images"]

    def sizes(self) -> list[int]:
        return list(self._sizes)

    def __iter__(self) -> Iterator[Tensor]:
        return (self._read(index) for index in range(len(self._sizes)))

    def _hash(self, seen: Seen) -> str:
        whole = hashlib.sha256()
        for images in self:
            whole.update(np.ascontiguousarray(images.numpy()).data)
            seen(len(images))
        return whole.hexdigest()


def _reader(results: Path) -> Store:
    from bench.results.store import Store

    return Store(results, writes=False)


def _record_file(path: Path) -> tuple[Store, dict[str, Any]]:
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BenchError(f"{path} can't be read: {error}") from error
    if not isinstance(record, dict) or "fingerprint" not in record:
        raise BenchError(f"{path} is not a record of bench run")
    return _reader(path.resolve().parent.parent), record


def _only_record(results: Path) -> tuple[Store, dict[str, Any]]:
    store = _reader(results)
    done = [record for record in store.records() if record["status"] == "finished"]
    if not done:
        raise BenchError(f"there is no finished run in {results}: bench run makes one")
    if len(done) > 1:
        names = [record["fingerprint"] for record in done]
        shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
        some = store.record_path(names[0])
        raise BenchError(f"{results} holds {len(done)} runs, give the record of one ({some}): {shown}")
    return store, done[0]


def _recorded(text: str, results: Path) -> tuple[Store, dict[str, Any]]:
    found = sorted(path.stem for path in (results / "records").glob(f"{text}*.json"))
    if len(found) != 1:
        which = f"{text!r} is ambiguous: {', '.join(found)}; give more digits"
        none = f"no fingerprint in {results / 'records'} begins with {text!r}: --out names another folder"
        raise BenchError(which if found else none)
    store = _reader(results)
    record = store.read_record(found[0])
    if record is None:
        raise BenchError(f"{store.record_path(found[0])} is damaged: made again by the command that made it")
    return store, record
