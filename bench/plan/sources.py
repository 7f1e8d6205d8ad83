"""Images by name, the samples of recorded runs among them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.data import sources
from bench.data.exact_draws import ExactDraws
from bench.data.images import Images
from bench.data.splits import dataset_name
from bench.errors import BenchError
from bench.events import Advance, Emit, silent
from bench.files import read_file, user_path
from bench.plan.installed import installed_registry

if TYPE_CHECKING:
    from torch import Tensor

    from bench.checkpoints.cards import Card
    from bench.plugins.registry import Registry
    from bench.results.record import Record
    from bench.results.store import Store


SOURCES = (
    "a folder of images, an .npz of images, a run's fingerprint or record, a data set, or an exact checkpoint"
)
_FINGERPRINT = re.compile("[0-9a-f]{4,}")


def open_images(
    name: str,
    batch: int = 250,
    results: Path = Path("results"),
    emit: Emit = silent,
    registry: Registry | None = None,
) -> Images:
    """The images that ``name`` stands for.

    In this order: a data set; an exact checkpoint, for draws of its own distribution; a results folder of one
    run; a folder of images; an ``.npz``; a record's ``.json``; a fingerprint, or its first 4 digits or more,
    in ``results``.

    Args:
        name: Name of a data set or an exact checkpoint, path or fingerprint.
        batch: Images per batch; a run keeps its own batches.
        results: Results folder in which fingerprints are looked up.
        emit: Reports progress of a download.
        registry: Data sets and checkpoints by name; None for the installed ones.

    Raises:
        UnknownSourceError: The name stands for none of these.
        BenchError: The images can't be read.
    """
    registry = installed_registry() if registry is None else registry
    if name and dataset_name(name, registry) is None:
        if name in registry.names("checkpoints"):
            card: Card = registry.get("checkpoints", name).thing
            if card.exact:
                return ExactDraws(card, batch)
            if not user_path(name).exists():
                raise sources.UnknownSourceError(
                    f"{name} is a network, which has no images of its own: run it, and give the "
                    "run's fingerprint"
                )
        place = _run_at(name)
        path = user_path(name)
        digits = _FINGERPRINT.fullmatch(name) and not path.exists() and (results / "records").is_dir()
        if place is not None or digits:
            return RunImages(name, *(place or _recorded(name, results)), batch)
    return sources.open_images(name, registry, batch, emit, SOURCES)


def open_run(name: str, results: Path = Path("results")) -> RunImages:
    """The samples of a run, in its own batches.

    Args:
        name: A record's ``.json``, a results folder of one run, or a fingerprint, its first 4 digits or more.
        results: Results folder in which fingerprints are looked up.

    Raises:
        BenchError: There is no such run, or it has no images on disk.
    """
    place = _run_at(name) if name else None
    if place is None and not _FINGERPRINT.fullmatch(name):
        raise BenchError(
            f"{name!r} is no run: give its fingerprint (4 digits of it or more), its record "
            "(RESULTS/records/FINGERPRINT.json), or a results folder of one run"
        )
    if place is None and not (results / "records").is_dir():
        raise BenchError(f"there are no results in {results}: bench run makes some, or choose another --out")
    store, record = place or _recorded(name, results)
    return RunImages(name, store, record, record.identity.batch_size)


def _run_at(name: str) -> tuple[Store, Record] | None:
    """The run at a path: a results folder of one run, or a record's file; None for other paths."""
    path = user_path(name)
    if (path / "records").is_dir():
        return _only_record(path)
    if path.exists() and not path.is_dir() and path.suffix == ".json":
        return _record_file(path)
    return None


class RunImages(Images):
    """The samples of a recorded run, in its own batches of floats as they were stored.

    Attributes:
        fingerprint: The run's fingerprint.
        identity: What decides the run's numbers.
    """

    kind = "run"

    def __init__(self, name: str, store: Store, record: Record, batch: int) -> None:
        fingerprint = record.fingerprint
        if record.status != "finished":
            raise BenchError(f"run {fingerprint} is not finished: run it again")
        if "images" not in record.outputs:
            task, outputs = record.identity.task.name, ", ".join(record.outputs) or "nothing"
            raise BenchError(f"run {fingerprint} has no images: its task {task} returns {outputs}")
        self._root = store.root
        self.fingerprint, self._key, self.identity = fingerprint, record.key, record.identity
        self._batches = record.sample_batches
        if 0 in store.stored_batches(self._key, self._batches):
            raise BenchError(
                f"the samples of run {fingerprint} are not in {store.root}: the command that made them, "
                "without --prune, makes them again"
            )
        self.files = [store.batch_path(self._key, *place) for place in self._batches]
        shape = tuple(self._read(0).shape[1:])
        if len(shape) not in (1, 2, 3):
            sizes = "x".join(map(str, shape)) or "numbers"
            raise BenchError(f"the samples of run {fingerprint} are {sizes}, neither images nor points")
        decoder = "none: floats as they were sampled"
        super().__init__(name, record.samples, shape, decoder, batch, note=record.label)

    def _read(self, index: int) -> Tensor:
        stored = _reader(self._root).read_batch(self._key, index, self._batches.size(index))
        if stored is None:
            raise BenchError(f"{self.files[index]} is damaged: the command that made the run makes it again")
        if "images" not in stored[0]:
            raise BenchError(f"{self.files[index]} has no images, though the record of the run says so")
        return stored[0]["images"]

    def sizes(self) -> list[int]:
        return [size for _, size in self._batches]

    def __iter__(self) -> Iterator[Tensor]:
        return (self._read(index) for index, _ in self._batches)

    def compute_hash(self, emit: Emit) -> str:
        whole, done = hashlib.sha256(), 0
        for images in self:
            whole.update(np.ascontiguousarray(images.numpy()).data)
            done += len(images)
            emit(Advance(f"hashing {self.name}", done, self.n, "images"))
        return whole.hexdigest()


def _reader(results: Path) -> Store:
    from bench.results.store import Store

    return Store(results, writes=False)


def _record_file(path: Path) -> tuple[Store, Record]:
    """The record in a file, and the store that it belongs to."""
    from bench.results.identity import MAX_STORED
    from bench.results.record import Record

    try:
        record = Record.from_json(read_file(path, MAX_STORED))
    except (OSError, ValueError) as error:
        raise BenchError(f"{path} is not a record of bench run, or can't be read: {error}") from error
    return _reader(path.resolve().parent.parent), record


def _only_record(results: Path) -> tuple[Store, Record]:
    """The only finished record of a results folder."""
    store = _reader(results)
    finished = [record for record in store.records() if record.status == "finished"]
    if not finished:
        raise BenchError(f"there is no finished run in {results}: bench run makes one")
    if len(finished) > 1:
        fingerprints = [record.fingerprint for record in finished]
        listing = ", ".join(fingerprints[:20]) + (", …" if len(fingerprints) > 20 else "")
        example = store.record_path(fingerprints[0])
        raise BenchError(
            f"{results} holds {len(finished)} runs, give the record of one ({example}): {listing}"
        )
    return store, finished[0]


def _recorded(digits: str, results: Path) -> tuple[Store, Record]:
    """The record whose fingerprint begins with these digits."""
    store = _reader(results)
    return store, store.find_record(digits)
