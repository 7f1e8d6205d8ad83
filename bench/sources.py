"""Images from anywhere as batches: a folder, an ``.npz``, the samples of a run, a data set by its name.

Nothing is resized or converted: what is not 8-bit RGB of one size is refused, in a line that names it.
Batches are float32 (B, 3, H, W) on [0, 1], a byte k as k / 255, of which `bench.metrics.to_uint8` makes k
again by either rounding. The samples of a run come as they were stored, not rounded.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from bench import cache
from bench.errors import BenchError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

    from bench.store import Store

Bytes = NDArray[np.uint8]
Seen = Callable[[int], None]
"""Told how many more images were read."""
Notice = Callable[[str], None]
"""Told what is out of the ordinary, in a line."""

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
WHAT = "a folder of images, an .npz of images, a run's fingerprint or record, or a data set"


class Images(ABC):
    """Images of one size. Iterating reads them, each time anew; `BenchError` for what is amiss, in a line.

    ``n`` is their number, ``shape`` (3, H, W), ``decoder`` what made numbers of the files, with its version;
    ``note`` tells of the source what is out of the ordinary. ``files`` are what it rests on.
    """

    kind: ClassVar[str]
    files: Sequence[Path] = ()

    def __init__(
        self, name: str, n: int, shape: tuple[int, ...], decoder: str, batch: int, note: str = ""
    ) -> None:
        self.name, self.n, self.shape, self.decoder = name, n, shape, decoder
        self.batch, self.note = batch, note
        if n < 2:
            raise BenchError(f"{name} holds {'one image' if n else 'no image'}: a metric needs two or more")

    @abstractmethod
    def __iter__(self) -> Iterator[Tensor]: ...

    @abstractmethod
    def _hash(self, seen: Seen) -> str:
        """Hash of the inputs in their order; what is read is told to ``seen``."""

    def sha256(self, seen: Seen = lambda _: None) -> str:
        """Hash of the inputs in their order, whatever the names and places of the files.

        Taken once per process as long as the files' sizes and times of change stay the same.
        """
        state = self._state()
        if state not in _HASHES:
            _HASHES[state] = self._hash(seen)
        return _HASHES[state]

    def _state(self) -> str:
        lines = []
        for file in self.files:
            try:
                state = file.stat()
            except OSError as error:
                raise BenchError(f"{file} can't be read: {error.strerror}") from error
            lines.append(f"{file.absolute()}\0{state.st_size}\0{state.st_mtime_ns}")
        return hashlib.sha256("\0".join([self.kind, *lines]).encode(errors="surrogateescape")).hexdigest()

    def sizes(self) -> list[int]:
        """The number of images of each batch."""
        full, rest = divmod(self.n, self.batch)
        return [self.batch] * full + [rest] * (rest > 0)

    def facts(self) -> dict[str, Any]:
        """What they are, as plain data."""
        known = {"name": self.name, "kind": self.kind, "n": self.n, "shape": list(self.shape)}
        return known | {"sha256": self.sha256(), "decoder": self.decoder}


_HASHES: dict[str, str] = {}
"""Hashes of inputs, by the state of their files."""


def dataset_name(name: str) -> str | None:
    """The data set's full name, ``cifar10`` being its training images; None where there is none so called."""
    full = ALIASES.get(name, name)
    return full if full in DATASETS else None


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
        from bench.pictures import Folder

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
    from bench.pictures import SUFFIXES

    if path.suffix == ".npz":
        return _Npz(name, path, batch)
    if path.suffix == ".json":
        return _Run(name, *_record_file(path), batch)
    if path.suffix.lower() in SUFFIXES:
        raise BenchError(f"{name} is one image: give the folder that holds them all")
    raise BenchError(f"{name} is no source of images: give {WHAT}")


def as_floats(images: Bytes) -> Tensor:
    """Bytes (B, H, W, 3) -> float32 (B, 3, H, W), k as k / 255 rounded to the nearest."""
    import torch

    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float().div_(255)


class _Npz(Images):
    """An array (n, H, W, 3) of uint8 in an ``.npz``, streamed out of it, compressed or not."""

    kind = "npz"

    def __init__(self, name: str, path: Path, batch: int) -> None:
        self.path, self.files = path, [path]
        with _damage_told(path), ZipFile(path) as archive:
            self.member, shape = _image_array(archive, path)
        super().__init__(name, shape[0], (3, *shape[1:3]), f"numpy {np.__version__}", batch)

    def __iter__(self) -> Iterator[Tensor]:
        _, height, width = self.shape
        with _damage_told(self.path), ZipFile(self.path) as archive, archive.open(self.member) as file:
            _header(file)
            for size in self.sizes():
                wanted = size * height * width * 3
                read = bytearray(file.read(wanted))
                if len(read) < wanted:
                    raise BenchError(f"{self.path} is truncated: {self.member} ends early")
                yield as_floats(np.frombuffer(read, np.uint8).reshape(size, height, width, 3))

    def _hash(self, seen: Seen) -> str:
        return cache.sha256_of(self.path)


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """A file that is no zip, or a damaged one, becomes a line."""
    try:
        yield
    except (
        BadZipFile,
        OSError,
        ValueError,
        EOFError,
        zlib.error,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise BenchError(f"{path} is not an .npz, or damaged: {error}") from error


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and type of the array that begins here. No pickle is read."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    found: tuple[tuple[int, ...], bool, np.dtype[Any]] = read(file)
    return found


def _image_array(archive: ZipFile, path: Path) -> tuple[str, tuple[int, ...]]:
    """The member that holds the images, and its shape (n, H, W, 3); `BenchError` where none does."""
    found = {}
    for member in archive.namelist():
        if member.endswith(".npy"):
            with archive.open(member) as file:
                found[member.removesuffix(".npy")] = _header(file)
    if {"mu", "sigma"} <= found.keys() and not {"arr_0", "images", "samples"} & found.keys():
        raise BenchError(
            f"{path} holds statistics, not images: it can be a --reference, not what is measured"
        )
    four = [name for name, (shape, _, _) in found.items() if len(shape) == 4]
    named = [name for name in ("arr_0", "images", "samples") if name in found]
    chosen = (named or four)[:1] if named or len(four) == 1 else []
    if not chosen:
        names = ", ".join(f"{name} {shape}" for name, (shape, _, _) in found.items()) or "nothing"
        raise BenchError(f"{path} has no array of images (arr_0, images or samples): it holds {names}")
    shape, fortran, dtype = found[chosen[0]]
    where = f"{path}: {chosen[0]}"
    if dtype.hasobject:
        raise BenchError(f"{where} holds Python objects, which are not read: save it as uint8")
    if dtype != np.uint8:
        raise BenchError(f"{where} is {dtype}: images must be uint8, as (255 * x).round().astype('uint8')")
    if len(shape) != 4 or 0 in shape[1:] or (shape[3] not in (1, 3, 4) and shape[1] != 3):
        raise BenchError(f"{where} has the shape {shape}: images must be (n, height, width, 3)")
    if shape[3] != 3:
        what = {1: "grey", 4: "RGBA"}.get(shape[3], "in channels-first order: transpose(0, 2, 3, 1) it")
        raise BenchError(
            f"{where} is {what}, of the shape {shape}: images must be RGB, (n, height, width, 3)"
        )
    if fortran:
        raise BenchError(f"{where} is in Fortran order: save np.ascontiguousarray of it")
    return f"{chosen[0]}.npy", shape


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
    from bench.store import Store

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
