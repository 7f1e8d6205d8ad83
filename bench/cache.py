"""The cache folder: checkpoints that were fetched or imported, each in a folder of its own.

``CACHE/checkpoints/NAME/`` holds a checkpoint's files and ``installed.json``, which says what they must
hash to; it is moved there whole, so that what is there is complete.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from bench.errors import BenchError

MANIFEST = "installed.json"
"""Name of the file that says what was installed, from where, and its sizes and hashes."""


def root() -> Path:
    """``$BENCH_CACHE``, else the user's cache folder; an absolute path."""
    own = os.environ.get("BENCH_CACHE")
    try:
        if own:
            return Path(own).expanduser().absolute()
        base = os.environ.get("XDG_CACHE_HOME")
        return (Path(base) if base else Path.home() / ".cache").absolute() / "sampler-bench"
    except (RuntimeError, OSError) as error:
        raise BenchError(
            f"there is no cache folder ({error}): set BENCH_CACHE to an absolute path"
        ) from error


def folder(name: str) -> Path:
    """Where the checkpoint of that name is, or would be, in the cache."""
    return root() / "checkpoints" / name


def manifest(name: str) -> dict[str, Any] | None:
    """What is installed under that name; None where nothing is.

    ``files``: {file: {"bytes", "sha256"}}, as they must be found; ``origin``: {file: {"bytes", "sha256"}} as
    they came, where the installation converted them; ``source``: the address or path they came from.
    """
    path = folder(name) / MANIFEST
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BenchError(f"{path} can't be read ({error}): remove the folder and install again") from error
    if not isinstance(found, dict) or not isinstance(found.get("files"), dict):
        raise BenchError(f"{path} is not one of bench's: remove the folder and install again")
    return found


def check_file(path: Path, size: int | None, sha256: str | None, what: str, remedy: str) -> None:
    """`BenchError`, in one line, where a file is missing or is not of this size and hash.

    Hashed once per process as long as its size and time of change stay the same.
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
        wrong = "truncated" if state.st_size < size else "too long"
        raise BenchError(f"{what}: {path} is {wrong} ({state.st_size} bytes, not {size}); {remedy}")
    if sha256 is None:
        return
    try:
        found = hashed(path)
    except OSError as error:
        raise BenchError(f"{what}: {path} can't be read: {error.strerror}") from error
    if found != sha256:
        raise BenchError(
            f"{what}: {path} has the wrong hash (sha256 {found[:12]}…, not {sha256[:12]}…); {remedy}"
        )


def is_web_page(path: Path) -> bool:
    """Whether a file begins as HTML does: a page to log in, say, saved in place of what was meant."""
    try:
        with path.open("rb") as file:
            start = file.read(1024)
    except OSError:
        return False
    start = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head", b"<!--"))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hashed(path: Path) -> str:
    """As `sha256_of`, once per process as long as the file's size and time of change stay the same."""
    state = path.stat()
    return _hashed(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _hashed(path: Path, size: int, changed: int) -> str:
    del size, changed
    return sha256_of(path)
