"""Export of samples for other programs: 8-bit images as PNG files or in an ``.npz``, points in an ``.npz``.

PARENT/NAME                the export, complete
PARENT/.NAME.exporting/    what is being written; moved to its place by one rename
PARENT/.NAME.replaced/     the folder that an export replaces
PARENT/.NAME.lock          held by the process that may write any of it
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.images import Images, items_of
from bench.data.pixels import to_uint8
from bench.errors import BenchError
from bench.events import Advance, Emit, silent
from bench.files import inside, locking, remove_folder, replace_folder, restore_folder, user_path, writing
from bench.metrics.features import Rounding

WORKERS = min(8, os.cpu_count() or 1)
"""Threads that encode PNG files."""
NOT_FOLDERS = {".jpeg", ".jpg", ".json", ".npy", ".pkl", ".png", ".pt", ".safetensors", ".tar", ".zip"}
"""Suffixes of files that no export writes; a target with one of them is a mistake."""
_PNG = re.compile(r"[0-9]{5,}\.png")
_RUN = re.compile(r"[0-9a-f]{16}")


@dataclasses.dataclass(frozen=True)
class Export:
    """An export of one run.

    Args:
        fingerprint: Fingerprint of the run.
        path: The folder of PNG files, or the ``.npz``.
        n: Number of samples.
        shape: Shape of a sample: (C, H, W) of an image, (D,) of a point.
        rounding: How the samples became bytes; points stay floats.
    """

    fingerprint: str
    path: Path
    n: int
    shape: tuple[int, ...]
    rounding: Rounding


def export_images(
    runs: Mapping[str, Images],
    target: str | Path,
    *,
    rounding: Rounding = "round",
    overwrite: bool = False,
    emit: Emit = silent,
) -> list[Export]:
    """Write samples as 8-bit images. The target appears when it is complete: a killed export leaves none.

    An ``.npz`` holds ``arr_0``, uint8 (n, H, W, C) with C one or three, or of points float32 (n, D) on the
    unit range; it is not compressed. A folder holds 00000.png, 00001.png, ... in the order of the samples; of
    several runs, a folder of such files for each, called by its fingerprint. One batch is in memory at a
    time.

    Args:
        runs: Samples by fingerprint, at least one run.
        target: The folder, or the file ``NAME.npz``.
        rounding: How samples become bytes, as in `to_uint8`.
        overwrite: Whether an ``.npz``, or a folder that an export made, is replaced.
        emit: Reports progress.

    Returns:
        What was written, in the order of ``runs``.

    Raises:
        BenchError: The target exists, is no place for an export, or samples can't be read, are not finite or
            have no such form.
        StoreError: The target can't be written, such as on a full disk.
    """
    place = _place(target)
    to_file = place.suffix == ".npz"
    if to_file and len(runs) > 1:
        raise BenchError(f"{target} would hold {len(runs)} runs: export one at a time, or give a folder")
    for images in runs.values():
        _check_form(images, to_file)
    with _exclusive(place) as staged:
        _check_free(place, overwrite)
        paths = {}
        for fingerprint, images in runs.items():
            batches = _batches(images, rounding, emit)
            path = staged if len(runs) == 1 else inside(staged, fingerprint)
            paths[fingerprint] = Path(target) if len(runs) == 1 else Path(target) / fingerprint
            with writing(place):
                if to_file:
                    _write_npz(path, images.n, batches)
                else:
                    path.mkdir(parents=True)
                    _write_folder(path, images.n, batches)
        with writing(place):
            if to_file:
                staged.replace(place)
            else:
                replace_folder(place, staged, _aside(place))
    return [
        Export(fingerprint, paths[fingerprint], images.n, images.shape, rounding)
        for fingerprint, images in runs.items()
    ]


def _check_form(images: Images, to_file: bool) -> None:
    """`BenchError` for samples that an export can't hold."""
    if len(images.shape) == 1:
        if not to_file:
            raise BenchError(
                f"samples of {images.name} are {items_of(images.shape)}, not images: export to a file .npz"
            )
    elif len(images.shape) != 3 or images.shape[0] not in (1, 3):
        raise BenchError(
            f"samples of {images.name} are {items_of(images.shape)}: an export holds images of 1 or 3 "
            "channels, or points"
        )


def _place(target: str | Path) -> Path:
    """The absolute path of a target; `BenchError` where no export can be."""
    try:
        place = user_path(target).resolve()
        here = Path.cwd()
    except (OSError, RuntimeError) as error:
        raise BenchError(f"{target} can't be resolved: {error}") from error
    if f"{target}" == "" or here.is_relative_to(place):
        raise BenchError(f"{str(target)!r} holds the current folder: name a new folder, or a file .npz")
    if place.suffix in NOT_FOLDERS:
        raise BenchError(f"{target} is neither a folder nor an .npz: an export writes no {place.suffix}")
    return place


def _aside(place: Path) -> Path:
    return place.with_name(f".{place.name}.replaced")


@contextmanager
def _exclusive(place: Path) -> Iterator[Path]:
    """Hold the lock of a target and yield a free path beside it; remains of killed exports are removed."""
    from filelock import FileLock, Timeout

    path = place.with_name(f".{place.name}.lock")
    lock, staged = FileLock(path), place.with_name(f".{place.name}.exporting")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with locking(path, "choose a folder on a local disk by -o"):
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                raise BenchError(f"another process exports to {place}: wait for it") from error
    except OSError as error:
        raise BenchError(f"{place} can't be written ({error.strerror}): choose another -o") from error
    try:
        with writing(place):
            _remove(staged)
            restore_folder(place, _aside(place))
        yield staged
    finally:
        _remove(staged)
        restore_folder(place, _aside(place))
        with suppress(OSError):
            path.unlink()
        lock.release()


def _remove(path: Path) -> None:
    if path.is_dir():
        remove_folder(path)
    else:
        path.unlink(missing_ok=True)


def _check_free(place: Path, overwrite: bool) -> None:
    """`BenchError` where something stands at the target that an export must not replace."""
    try:
        obstacle = _obstacle(place)
    except OSError as error:
        raise BenchError(f"{place} can't be read ({error.strerror}): choose another -o") from error
    if obstacle:
        raise BenchError(f"{place} {obstacle}: choose another -o")
    if not overwrite and place.exists() and (place.is_file() or any(place.iterdir())):
        raise BenchError(f"{place} exists: choose another -o, or replace it by --overwrite")


def _obstacle(place: Path) -> str:
    """What stands at the target and is not of an export; empty where nothing does."""
    if place.suffix == ".npz":
        return "is not a file" if place.exists() and not place.is_file() else ""
    if not place.is_dir():
        return "is a file" if place.exists() else ""
    foreign = _foreign(place)
    return f"holds {foreign}, which no export wrote" if foreign else ""


def _foreign(folder: Path) -> str:
    """The first entry that is not of an export: neither a numbered PNG file nor a run's folder of them."""
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.is_symlink() and _RUN.fullmatch(entry.name):
            files = list(entry.iterdir())
        else:
            files = [entry]
        for file in files:
            if not (file.is_file() and _PNG.fullmatch(file.name)):
                return str(file.relative_to(folder))
    return ""


def _batches(images: Images, rounding: Rounding, emit: Emit) -> Iterator[NDArray[Any]]:
    """Batches (B, H, W, C) of bytes, or of points (B, D) of float32; `BenchError` for other samples."""
    phase, done = f"exporting {images.name}", 0
    emit(Advance(phase, 0, images.n, "images"))
    for batch in images:
        if not bool(batch.isfinite().all()):
            raise BenchError(f"samples of {images.name} are NaN or infinite: they can't be exported")
        if tuple(batch.shape[1:]) != tuple(images.shape):
            sizes = ["x".join(map(str, shape)) or "()" for shape in (batch.shape[1:], images.shape)]
            raise BenchError(f"samples of {images.name} are of two shapes, {sizes[0]} and {sizes[1]}")
        if batch.dim() == 2:
            yield np.ascontiguousarray(batch.float().numpy())
        else:
            yield np.ascontiguousarray(to_uint8(batch, rounding).permute(0, 2, 3, 1).numpy())
        done += len(batch)
        emit(Advance(phase, done, images.n, "images"))


def _write_npz(path: Path, n: int, batches: Iterator[NDArray[Any]]) -> None:
    """As ``numpy.savez(path, samples)`` of n samples, batch by batch."""
    first = next(batches)
    header = {
        "descr": np.lib.format.dtype_to_descr(first.dtype),
        "fortran_order": False,
        "shape": (n, *first.shape[1:]),
    }
    with path.open("wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            entry = zipfile.ZipInfo("arr_0.npy")
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, header)
                for samples in itertools.chain([first], batches):
                    member.write(samples.data)
        file.flush()
        os.fsync(file.fileno())


def _write_folder(folder: Path, n: int, batches: Iterator[NDArray[Any]]) -> None:
    """Numbered PNG files, whose names sort in the order of the samples."""
    from PIL import Image

    digits, start = max(5, len(str(n - 1))), 0

    def write(index: int, pixels: NDArray[Any]) -> None:
        Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(
            folder / f"{index:0{digits}d}.png"
        )

    pool = ThreadPoolExecutor(WORKERS)
    try:
        for pixels in batches:
            for _ in pool.map(write, range(start, start + len(pixels)), pixels):
                pass
            start += len(pixels)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
