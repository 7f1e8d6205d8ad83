"""A folder of image files as a source of images, decoded in parallel and in order."""

from __future__ import annotations

import hashlib
import io
import math
import os
import threading
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from bench.data.images import Images, check_pixels, fitting_batch
from bench.data.pixels import Bytes, as_floats
from bench.errors import BenchError, one_line, printable
from bench.events import Advance, Emit
from bench.files import read_file

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor


T = TypeVar("T")

SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP"}
"""Pillow's formats of the files that are read, by suffix in lower case."""
MODES = {
    "1": "black and white",
    "LA": "gray with transparency",
    "I": "gray of more than 8 bits",
    "I;16": "gray of 16 bits",
    "P": "of a palette",
    "RGBA": "RGBA, with transparency",
}
"""Pillow's modes that are refused, in words."""
CHANNELS = {"RGB": 3, "L": 1}
"""Number of channels by mode, of the modes that are read."""
SPLITS = frozenset(
    ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval", "evaluation")
)
"""Names of folders that hold a split, as the layout ``imagefolder`` of Hugging Face calls them."""

WORKERS = min(8, os.cpu_count() or 1)
PART = 25
"""Greatest number of files that a thread decodes at a time."""
AHEAD = 3 * WORKERS
"""Greatest number of parts that are decoded ahead."""
AHEAD_BYTES = 2**27
"""Greatest size of what is decoded ahead; large images make smaller and fewer parts."""
MAX_FILE = 2**27
"""Greatest size of an image file, in bytes: more than an image of `MAX_PIXELS` has as a BMP."""
_OPENING = threading.Lock()


class ImageFiles(Images):
    """PNG, JPEG, WebP and BMP files, decoded in parallel and in order. All are RGB or all gray, of 8 bits and
    of the size of the first one.

    Args:
        name: Name of the source, as the user wrote it.
        files: Paths of the files, in order.
        batch: Images per batch.
        note: A remark about the source for users; empty for none.

    Raises:
        BenchError: There are fewer than two files, or the first can't be read. Iterating raises it for a file
            that can't be read or is unlike the first one.
    """

    kind = "folder"

    def __init__(self, name: str, files: Sequence[Path], batch: int, note: str = "") -> None:
        self.files = list(files)
        if not self.files:
            raise BenchError(f"{name} holds no image: a metric needs two or more")
        shape = shape_of(self.files[0])
        formats = {SUFFIXES.get(file.suffix.lower(), "") for file in self.files}
        super().__init__(name, len(files), shape, _decoder(formats), fitting_batch(batch, shape), note)

    def __iter__(self) -> Iterator[Tensor]:
        waiting: list[Bytes] = []
        for image in _in_order(self._decode, self.files, math.prod(self.shape)):
            waiting.append(image)
            if len(waiting) == self.batch:
                yield as_floats(np.stack(waiting))
                waiting = []
        if waiting:
            yield as_floats(np.stack(waiting))

    def compute_hash(self, emit: Emit) -> str:
        whole = hashlib.sha256()
        digests = _in_order(_digest, self.files)
        for done, digest in enumerate(digests, start=1):
            whole.update(digest)
            emit(Advance(f"hashing {self.name}", done, self.n, "images"))
        return whole.hexdigest()

    def _decode(self, file: Path) -> Bytes:
        return decoded(file, _read(file), self.files[0].name, self.shape)


class Folder(ImageFiles):
    """The image files of a folder and its subfolders, in the order of their paths.

    Names of subfolders, such as classes, play no part, with one exception: a folder of several splits is
    refused, so that training and test images are never mixed.
    """

    def __init__(self, name: str, path: Path, batch: int) -> None:
        files, others = image_files(path)
        if not files:
            holds = f"({sum(others.values())} other files)" if others else "(it is empty)"
            raise BenchError(f"{name} holds no PNG, JPEG, WebP or BMP {holds}: give the folder of the images")
        tops = sorted({parts[0] for file in files if len(parts := file.relative_to(path).parts) > 1})
        splits = [top for top in tops if top.lower() in SPLITS]
        if len(splits) > 1:
            first = "train" if "train" in splits else splits[0]
            raise BenchError(
                f"{name} holds several splits ({', '.join(splits)}): give one of them, such as "
                f"{Path(name) / first}"
            )
        skipped = ", ".join(
            f"{count} {suffix or 'without a suffix'}" for suffix, count in sorted(others.items())
        )
        super().__init__(name, files, batch, f"not read: {skipped}" if skipped else "")


def image_files(folder: Path) -> tuple[list[Path], Counter[str]]:
    """The image files in order, and the number of other files by suffix; hidden files don't count.

    Links to folders are followed, each folder once.
    """
    files: list[Path] = []
    others: Counter[str] = Counter()
    visited = {_identity(folder)}

    def unreadable(error: OSError) -> None:
        raise BenchError(f"{error.filename} can't be read: {error.strerror}") from error

    for root, folders, names in os.walk(folder, followlinks=True, onerror=unreadable):
        unvisited = []
        for name in sorted(folders):
            identity = None if name.startswith(".") else _identity(Path(root, name))
            if identity is not None and identity not in visited:
                visited.add(identity)
                unvisited.append(name)
        folders[:] = unvisited
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
        return read_file(file, MAX_FILE)
    except OSError as error:
        raise BenchError(f"{file} can't be read: {error.strerror}") from error


def _digest(file: Path) -> bytes:
    return hashlib.sha256(_read(file)).digest()


def decoded(file: Path, content: bytes, first: str, shape: tuple[int, ...]) -> Bytes:
    """The pixels (H, W, C) of an image file.

    `BenchError` naming it where `_opened` refuses it, it is damaged, or of another shape (C, H, W) than the
    first file; that is read from its header, before the pixels are.
    """
    with _opened(file, content) as image:
        channels, height, width = shape
        if (image.height, image.width) != (height, width):
            raise BenchError(
                f"{file} is {image.width}x{image.height}, but {first} {width}x{height}: "
                "images must be of one size, and none is resized here"
            )
        if CHANNELS[image.mode] != channels:
            kinds = {1: "gray", 3: "RGB"}
            raise BenchError(
                f"{file} is {kinds[4 - channels]}, but {first} {kinds[channels]}: "
                "images must be all RGB or all gray, and none is converted here"
            )
        try:
            pixels: Bytes = np.array(image).reshape(height, width, channels)
        except Exception as error:  # decoders raise all sorts of exceptions on damaged files
            raise _damage(file, error) from error
    return pixels


def shape_of(file: Path) -> tuple[int, int, int]:
    """Shape (C, H, W) of an image file, from its header; `BenchError` where `_opened` refuses it."""
    with _opened(file, _read(file)) as image:
        return CHANNELS[image.mode], image.height, image.width


@contextmanager
def _opened(file: Path, content: bytes) -> Iterator[Image.Image]:
    """An image whose pixels are not decoded yet.

    `BenchError` naming the file where it is not RGB or gray of 8 bits, is too large, or is damaged.
    """
    from PIL import Image

    try:
        with _OPENING, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, which are refused below
            image = Image.open(io.BytesIO(content), formats=sorted(set(SUFFIXES.values())))
        animated = getattr(image, "is_animated", False)
    except Exception as error:  # decoders raise all sorts of exceptions on damaged files
        raise _damage(file, error) from error
    with image:
        # Pillow reads a PNG of other than 8 bits a channel as one of 8; byte 24 of the file is its depth
        depth = content[24] if image.format == "PNG" and len(content) > 24 else 8
        wrong = "" if image.mode in CHANNELS else MODES.get(image.mode, image.mode)
        if not wrong and depth != 8:
            wrong = f"of {depth} bits a channel"
        if wrong or animated:
            raise BenchError(
                f"{file} is {wrong or 'animated'}: images must be RGB or gray of 8 bits, and none is "
                "converted here; save them again (Pillow: image.convert('RGB'))"
            )
        check_pixels(f"{file}", image.height, image.width)
        yield image


def _damage(file: Path, error: Exception) -> BenchError:
    reason = one_line(error).partition(" <_io")[0]
    return BenchError(f"{file} is not an image, or damaged: {printable(reason)}")


def _decoder(formats: set[str]) -> str:
    """Versions of Pillow and of the libraries that decide the pixels of lossy files."""
    from PIL import features

    libraries = {"JPEG": "libjpeg_turbo", "WEBP": "webp"}
    used = [library for file_format, library in libraries.items() if file_format in formats]
    versions = [f"{library} {features.version(library) or 'unknown'}" for library in used]
    return ", ".join([f"Pillow {metadata.version('pillow')}", *versions])


def _in_order(work: Callable[[Path], T], files: Sequence[Path], size: int = 0) -> Iterator[T]:
    """``work`` of every file, by threads, in the files' order.

    At most `AHEAD` parts are done ahead, and results of at most `AHEAD_BYTES`; ``size`` is that of a result.
    """
    most = AHEAD_BYTES // max(size, 1)
    length = max(1, min(PART, most // AHEAD))
    ahead = max(1, min(AHEAD, most // length))

    def part(start: int) -> list[T]:
        return [work(file) for file in files[start : start + length]]

    pool = ThreadPoolExecutor(WORKERS)
    pending: deque[Future[list[T]]] = deque()
    try:
        for start in range(0, len(files), length):
            pending.append(pool.submit(part, start))
            if len(pending) >= ahead:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
