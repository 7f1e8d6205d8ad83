"""Paths of the project's own files (in a checkout beside the package, in a wheel inside it), and the atomic
replacement of a file."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import BenchError, StoreError

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent
_ROOT = _CHECKOUT if (_CHECKOUT / "registry" / "cards").is_dir() else _PACKAGE / "_data"

REGISTRY = _ROOT / "registry"
"""Checkpoint cards, small weights, reference statistics, published figures."""

SHIPPED_TOML = _ROOT / "bench.toml"
"""The shipped bench.toml: defaults and profiles."""


def registry_path(*parts: str) -> Path:
    """Locate a file or folder that ships with the project.

    Args:
        parts: Path below ``registry/``: ``"cards"``, ``"classifiers"``, ``"features"``, ``"stats"`` or
            ``"published"``, then a file's name.

    Returns:
        Its absolute path, in a checkout and in an installed wheel alike; whether it exists is not checked.
    """
    return REGISTRY.joinpath(*parts)


def check_regular(path: Path) -> None:
    """Raise `OSError` for a folder, FIFO, socket or device: opening a FIFO would wait for its other end."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file", str(path))
    if not stat.S_ISREG(mode):
        kind = "FIFO" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"
        raise OSError(errno.EINVAL, f"it is a {kind}, not a file", str(path))


def read_file(path: Path) -> bytes:
    """The content of a regular file; `OSError` where it is none, or can't be read."""
    check_regular(path)
    return path.read_bytes()


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file atomically: write beside it, sync, rename.

    A reader sees the old file or the whole new one; a kill or a full disk leaves the old one.

    Args:
        path: The file; its folder must exist.
        content: The new content.

    Raises:
        StoreError: The file could not be written.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with writing(path):
        try:
            with beside.open("wb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error while writing ``path`` into a `StoreError` that names it."""
    try:
        yield
    except OSError as error:
        raise StoreError(error.errno, f"{error.strerror}: {path} could not be written") from error


_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}


@contextmanager
def locking(path: Path, remedy: str) -> Iterator[None]:
    """As `writing`, for a lock file; `BenchError` with the remedy where the file system has no file locks."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_LOCKS:
            reason = os.strerror(error.errno)
            raise BenchError(f"{path.parent} can't hold file locks ({reason}): {remedy}") from error
        raise StoreError(error.errno, f"{error.strerror}: {path} could not be written") from error
