"""The cache folder: checkpoints that were fetched or imported, each in a folder of its own.

``CACHE/checkpoints/NAME/`` holds a checkpoint's files and ``installed.json``, which holds the hashes that
they must have. An installation moves the whole folder there, so that a folder in the cache is complete.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import BenchError
from bench.files import MAX_SETTINGS, check_regular, parse_json, read_file

LOCK_REMEDY = "set BENCH_CACHE to a folder on a local disk"
"""What helps where the cache folder can't hold file locks."""

MANIFEST = "installed.json"
"""Name of the file that holds what was installed, its source, sizes and hashes."""


class StoredFile(BaseModel):
    """Size and SHA-256 of a file; ``hash``: whether a fetched file's is ``published`` or ``recorded``."""

    model_config = ConfigDict(frozen=True, validate_by_name=True)

    size: int = Field(alias="bytes")
    sha256: str
    hash: str | None = None


class Manifest(BaseModel):
    """What is installed under a name.

    ``files`` are the installed files; ``origin`` are the fetched files, before the installation converted
    them; ``source`` is their address or path; ``date`` is the date of the installation.
    """

    model_config = ConfigDict(frozen=True)

    files: dict[str, StoredFile]
    origin: dict[str, StoredFile] = {}
    source: str | None = None
    date: str | None = None

    @property
    def fetched(self) -> dict[str, StoredFile]:
        """The files before any conversion."""
        return self.origin or self.files

    def text(self) -> str:
        """The content of `MANIFEST`."""
        return self.model_dump_json(by_alias=True, exclude_none=True, indent=1) + "\n"


def root() -> Path:
    """``$BENCH_CACHE``, else the user's cache folder; an absolute path."""
    override = os.environ.get("BENCH_CACHE")
    try:
        if override:
            return Path(override).expanduser().absolute()
        base = os.environ.get("XDG_CACHE_HOME")
        return (Path(base) if base else Path.home() / ".cache").absolute() / "sampler-bench"
    except (RuntimeError, OSError) as error:
        raise BenchError(
            f"there is no cache folder ({error}): set BENCH_CACHE to an absolute path"
        ) from error


def cache_folder(*parts: str) -> Path:
    """A path in the cache folder: ``$BENCH_CACHE``, or else a folder of the user's own cache.

    Args:
        parts: Names of folders, and of a file, below the cache folder.

    Returns:
        An absolute path. Nothing is created.

    Raises:
        BenchError: There is no cache folder, because the user has no home.
    """
    return root().joinpath(*parts)


def folder(name: str) -> Path:
    """Where the checkpoint of that name is, or would be, in the cache."""
    return root() / "checkpoints" / name


def manifest(name: str) -> Manifest | None:
    """What is installed under that name; None for nothing. `BenchError` where its manifest is unreadable."""
    path = folder(name) / MANIFEST
    try:
        content = parse_json(read_file(path, MAX_SETTINGS))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BenchError(f"{path} can't be read ({error}): remove the folder and install again") from error
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        raise BenchError(f"{path} is not one of bench's: remove the folder and install again") from error


def check_file(path: Path, size: int | None, sha256: str | None, what: str, remedy: str) -> None:
    """Check that a file is the one it must be.

    Its hash is computed once per process while its size and time of change stay the same.

    Args:
        path: The file.
        size: Its size in bytes; None: any.
        sha256: Its SHA-256 in hexadecimal; None: any.
        what: The owner of the file; the error begins with it.
        remedy: What the user can do; the error ends with it.

    Raises:
        BenchError: The file is missing, unreadable, or has another size or hash. The message is one line.
    """
    try:
        state = path.stat()
    except FileNotFoundError as error:
        raise BenchError(f"{what}: its file {path} is missing; {remedy}") from error
    except OSError as error:
        raise BenchError(f"{what}: {path} can't be read: {error.strerror}") from error
    if not path.is_file():
        raise BenchError(f"{what}: {path} can't be read: it is not a file; {remedy}")
    if size is not None and state.st_size != size:
        fault = "truncated" if state.st_size < size else "too long"
        raise BenchError(f"{what}: {path} is {fault} ({state.st_size} bytes, not {size}); {remedy}")
    if sha256 is None:
        return
    try:
        actual = cached_sha256(path)
    except OSError as error:
        raise BenchError(f"{what}: {path} can't be read: {error.strerror}") from error
    if actual != sha256:
        raise BenchError(
            f"{what}: {path} has the wrong hash (sha256 {actual[:12]}…, not {sha256[:12]}…); {remedy}"
        )


def is_web_page(path: Path) -> bool:
    """Tell whether a file is an HTML page, such as a login form that was saved in place of the file.

    Args:
        path: The file; its first kilobyte is read.

    Returns:
        Whether it begins as HTML does; False where it can't be read.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            start = file.read(1024)
    except OSError:
        return False
    start = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head", b"<!--"))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal; always computed anew."""
    check_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached_sha256(path: Path) -> str:
    """SHA-256 of a file, computed once per process while its size and time of change stay the same.

    Args:
        path: The file.

    Returns:
        The hash, in hexadecimal.

    Raises:
        OSError: The file can't be read.
    """
    state = path.stat()
    return _sha256(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _sha256(path: Path, size: int, changed: int) -> str:
    del size, changed
    return sha256_of(path)


def is_full(error: OSError) -> bool:
    """Whether the disk, or the user's quota, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """An `OSError` becomes a `BenchError` that says what could not be written and what to do."""
    try:
        yield
    except OSError as error:
        make_room = "make room, or set BENCH_CACHE to a roomier folder"
        remedy = make_room if is_full(error) else "set BENCH_CACHE to a folder that can be"
        reason = error.strerror or str(error)
        raise BenchError(
            f"{path} could not be written ({reason}): {remedy}, then run the same command again"
        ) from error


def sync(path: Path) -> None:
    """Flush a file's or folder's content to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
