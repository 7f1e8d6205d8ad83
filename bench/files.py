"""Paths of the project's own files (in a checkout beside the package, in a wheel inside it), safe paths made
of names, and the atomic replacement of a file."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError, StoreError, printable

if TYPE_CHECKING:
    from filelock import BaseFileLock

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


NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+=,@-]*")
LONGEST_NAME = 200
"""Greatest length of a name, so that a file of that name can have a suffix."""


def is_safe_name(name: str) -> bool:
    """Whether a name of a plugin, card, suite, plan, metric or record can be part of a path.

    It has letters, digits and ``_.:+=,@-``, begins with a letter, a digit or ``_``, and is not too long.
    """
    return len(name) <= LONGEST_NAME and NAME.fullmatch(name) is not None


def safe_name(name: str) -> str:
    """The name itself; `ValueError` of one line where it is not safe (`is_safe_name`)."""
    if not is_safe_name(name):
        raise ValueError(
            f"{printable(repr(name), 80)} can't be a name: use up to {LONGEST_NAME} letters, digits and "
            "_.:+=,@-, and begin with a letter, a digit or _"
        )
    return name


def inside(folder: Path, *names: str) -> Path:
    """The path of a file or folder below ``folder``, for names that may come from data.

    Links are followed in the folders of the path, not in its last name: `replace_file` replaces a link.

    Args:
        folder: The folder that the path must not leave.
        names: The parts of the path below it.

    Raises:
        BenchError: A name is not safe, or a link leads out of the folder.
    """
    try:
        path = folder.joinpath(*map(safe_name, names))
    except ValueError as error:
        raise BenchError(f"{error}") from error
    try:
        within = path.parent.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:
        raise BenchError(f"{path} can't be resolved: {error}") from error
    if not within:
        raise BenchError(f"{path} leads out of {folder} by a link")
    return path


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


def csv_cell(value: object) -> object:
    """A value as a cell of a CSV: text without unprintable characters, and never a formula.

    Spreadsheets compute text that begins with ``=``, ``+``, ``@`` or ``-``: an apostrophe before it makes it
    text. Numbers stay as they are.
    """
    if not isinstance(value, str):
        return value
    text = printable(value, None)
    if text.lstrip()[:1] in ("=", "+", "@", "-") and not _is_number(text):
        return f"'{text}"
    return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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


def file_lock(path: Path) -> BaseFileLock:
    """The lock of a file, not yet held; `BenchError` for a link, which could empty a file elsewhere."""
    from filelock import FileLock

    if path.is_symlink():
        raise BenchError(f"{path} is a link, not a lock file: remove it")
    return FileLock(path)


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
