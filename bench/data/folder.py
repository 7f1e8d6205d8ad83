"""A folder of pictures as a source of images, decoded in parallel and in order."""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from bench.data.images import Images, Seen
from bench.data.pixels import Bytes, as_floats
from bench.errors import BenchError

if TYPE_CHECKING:
    from torch import Tensor


T = TypeVar("T")

SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP"}
"""What is read, by the ends of files' names, in capitals or not."""
MODES = {
    "1": "black and white",
    "L": "grey",
    "LA": "grey with transparency",
    "I": "grey of more than 8 bits",
    "I;16": "grey of 16 bits",
    "P": "of a palette",
    "RGBA": "RGBA, with transparency",
}
"""Pillow's modes in words."""

WORKERS = min(8, os.cpu_count() or 1)
PART = 25
"""Files per task."""
AHEAD = 3 * WORKERS
"""Tasks in flight: memory is bounded by what they hold."""


class Folder(Images):
    """The PNG, JPEG, WebP and BMP files of a folder and the folders in it, by their paths in order."""

    kind = "folder"

    def __init__(self, name: str, path: Path, batch: int) -> None:
        self.files, others = found_in(path)
        if not self.files:
            holds = f"({sum(others.values())} other files)" if others else "(it is empty)"
            raise BenchError(f"{name} holds no PNG, JPEG, WebP or BMP {holds}: give the folder of the images")
        self.first = decoded(self.files[0], _read(self.files[0])).shape
        kinds = {SUFFIXES[file.suffix.lower()] for file in self.files}
        told = ", ".join(
            f"{count} {suffix or 'without a suffix'}" for suffix, count in sorted(others.items())
        )
        shape = (3, *self.first[:2])
        super().__init__(name, len(self.files), shape, _decoder(kinds), batch, told and f"not read: {told}")

    def __iter__(self) -> Iterator[Tensor]:
        waiting: list[Bytes] = []
        for image in _in_order(self._decode, self.files):
            waiting.append(image)
            if len(waiting) == self.batch:
                yield as_floats(np.stack(waiting))
                waiting = []
        if waiting:
            yield as_floats(np.stack(waiting))

    def _hash(self, seen: Seen) -> str:
        whole = hashlib.sha256()
        for digest in _in_order(lambda file: hashlib.sha256(_read(file)).digest(), self.files):
            whole.update(digest)
            seen(1)
        return whole.hexdigest()

    def _decode(self, file: Path) -> Bytes:
        image = decoded(file, _read(file))
        if image.shape != self.first:
            (height, width, _), (height_, width_, _) = image.shape, self.first
            raise BenchError(
                f"{file} is {width}x{height}, but {self.files[0].name} {width_}x{height_}: "
                "images must be of one size, and none is resized here"
            )
        return image


def found_in(folder: Path) -> tuple[list[Path], Counter[str]]:
    """The files of pictures, in order, and how many others there are, by suffix; hidden ones don't count.

    Links to folders are followed, each folder once.
    """
    files: list[Path] = []
    others: Counter[str] = Counter()
    visited = {_identity(folder)}

    def unreadable(error: OSError) -> None:
        raise BenchError(f"{error.filename} can't be read: {error.strerror}") from error

    for root, folders, names in os.walk(folder, followlinks=True, onerror=unreadable):
        kept = []
        for name in sorted(folders):
            identity = None if name.startswith(".") else _identity(Path(root, name))
            if identity is not None and identity not in visited:
                visited.add(identity)
                kept.append(name)
        folders[:] = kept
        for name in names:
            file = Path(root, name)
            if name.startswith("."):
                continue
            if file.suffix.lower() in SUFFIXES:
                files.append(file)
            else:
                others[file.suffix.lower()] += 1
    return sorted(files), others


def _identity(folder: Path) -> tuple[int, int]:
    state = folder.stat()
    return state.st_dev, state.st_ino


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BenchError(f"{file} can't be read: {error.strerror}") from error


def decoded(file: Path, content: bytes) -> Bytes:
    """A picture (H, W, 3); `BenchError` naming the file where it is not 8-bit RGB, or damaged."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=sorted(set(SUFFIXES.values()))) as image:
            mode, moves = image.mode, getattr(image, "is_animated", False)
            # Pillow reads a PNG of 16 bits a channel as one of 8; byte 24 of the file is its depth
            deep = image.format == "PNG" and content[24:25] == b"\x10"
            found = np.array(image)
    except Exception as error:  # what a decoder may raise on foreign bytes has no end
        said = " ".join(f"{error}".split()).partition(" <_io")[0]
        raise BenchError(f"{file} is not an image, or damaged: {said}") from error
    wrong = MODES.get(mode, mode) if mode != "RGB" else "of 16 bits a channel" if deep else ""
    if wrong or moves:
        raise BenchError(
            f"{file} is {wrong or 'animated'}: images must be RGB of 8 bits, and none is converted here; "
            "save them anew (Pillow: image.convert('RGB'))"
        )
    return found


def _decoder(kinds: set[str]) -> str:
    """Pillow's version, and of the libraries by which the pixels of lossy files are decided."""
    from PIL import features

    libraries = {"JPEG": "libjpeg_turbo", "WEBP": "webp"}
    used = [name for kind, name in libraries.items() if kind in kinds]
    versions = [f"{name} {features.version(name) or 'unknown'}" for name in used]
    return ", ".join([f"Pillow {metadata.version('pillow')}", *versions])


def _in_order(work: Callable[[Path], T], files: Sequence[Path]) -> Iterator[T]:
    """``work`` of every file, by threads, in the files' order; few at a time are begun."""

    def part(start: int) -> list[T]:
        return [work(file) for file in files[start : start + PART]]

    pool = ThreadPoolExecutor(WORKERS)
    begun: deque[Future[list[T]]] = deque()
    try:
        for start in range(0, len(files), PART):
            begun.append(pool.submit(part, start))
            if len(begun) >= AHEAD:
                yield from begun.popleft().result()
        while begun:
            yield from begun.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
