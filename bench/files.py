"""Paths of the project's own files (in a checkout beside the package, in a wheel inside it), safe paths made
of names, bounded reading of TOML and JSON, and the atomic replacement of a file."""

from __future__ import annotations

import copy
import errno
import functools
import json
import os
import re
import secrets
import shutil
import stat
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    if len(names) == 1:
        return path  # its folder is the folder itself
    try:
        within = path.parent.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:
        raise BenchError(f"{path} can't be resolved: {error}") from error
    if not within:
        raise BenchError(f"{path} leads out of {folder} by a link")
    return path


LONGEST_PART = 255
"""Greatest length of a folder's or file's name on most file systems, in bytes."""


def user_path(name: str | Path) -> Path:
    """The path that a user or a file writes, with ``~`` as the home folder; whether it exists is not checked.

    Args:
        name: The path, absolute or relative to the current folder.

    Raises:
        BenchError: It can't be a path: a user without a home, a name that is too long, a zero byte. The
            message is one line.
    """
    try:
        path = Path(name).expanduser()
        if "\0" in str(name):
            raise ValueError("it has a zero byte")
        if any(len(os.fsencode(part)) > LONGEST_PART for part in path.parts):
            raise ValueError(f"a part of it has more than {LONGEST_PART} bytes")
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise BenchError(f"{printable(str(name), 80)!r} can't be used as a path: {reason}") from error
    return path


def check_regular(path: Path) -> None:
    """Raise `OSError` for a folder, FIFO, socket or device: opening a FIFO would wait for its other end."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file", str(path))
    if not stat.S_ISREG(mode):
        kind = "FIFO" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"
        raise OSError(errno.EINVAL, f"it is a {kind}, not a file", str(path))


MAX_SETTINGS = 1_000_000
"""Greatest size of a bench.toml, a card or an installation's manifest, in bytes."""
MAX_DEPTH = 30
"""Greatest depth of tables and lists in TOML, and number of parts of a key."""
MAX_VALUES = 100_000
"""Greatest number of values in a TOML file."""
MAX_DIGITS = 40
"""Greatest number of digits of an integer in JSON."""


def read_file(path: Path, most: int | None = None) -> bytes:
    """The content of a regular file; `OSError` where it is none, can't be read or exceeds ``most`` bytes."""
    check_regular(path)
    size = path.stat().st_size
    if most is not None and size > most:
        raise OSError(errno.EFBIG, f"it is too large: {size} bytes, and at most {most} are read", str(path))
    return path.read_bytes()


_PART = r"""(?:(?<![\w-])[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+"""
_LONG_KEY = re.compile(rf"{_PART}(?:\.[ \t]*+{_PART}){{{MAX_DEPTH}}}")


def read_toml(path: Path) -> dict[str, object]:
    """The content of a TOML file.

    Size, depth, number of values, parts of a key and integers (64 bits, as TOML has them) are bounded: the
    parser's time and memory grow faster than the file.

    Raises:
        OSError: It can't be read, or is too large.
        ValueError: It is damaged or exceeds a bound. The message is one line.
    """
    return copy.deepcopy(_parse_toml(read_file(path, MAX_SETTINGS)))


@functools.lru_cache(maxsize=64)
def _parse_toml(source: bytes) -> dict[str, object]:
    """`read_toml` of a file's content. A command reads the same few files many times."""
    text = source.decode()
    if _LONG_KEY.search(text):
        raise ValueError(f"a key has more than {MAX_DEPTH} parts")
    try:
        content: dict[str, object] = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH}") from error
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:  # of `int`
        raise ValueError("an integer has too many digits") from error
    waiting: list[tuple[Any, int]] = [(content, 0)]
    count = 0
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH}")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError("an integer does not fit 64 bits")
        if isinstance(value, dict | list):
            count += len(value)
            if count > MAX_VALUES:
                raise ValueError(f"it has more than {MAX_VALUES} values")
            inner = value.values() if isinstance(value, dict) else value
            waiting += [(item, depth + 1) for item in inner]
    return content


def parse_json(content: bytes | str) -> Any:
    """Plain data of JSON.

    Raises:
        ValueError: It is damaged, or nested too deep, or has an integer of more than `MAX_DIGITS` digits. The
            message is one line.
    """
    try:
        return json.loads(content, parse_int=_bounded_int)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    except ValueError as error:
        raise ValueError(printable(str(error))) from error


def _bounded_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


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


def replace_file(path: Path, content: bytes, *, locked: bool = False) -> None:
    """Replace a file atomically: write beside it, sync, rename.

    A reader sees the old file or the whole new one; a kill or a full disk leaves the old one.

    Args:
        path: The file; its folder must exist.
        content: The new content.
        locked: Whether a claim keeps other processes from writing this file: the file beside it has the same
            name each time, so that the next call overwrites what a kill left.

    Raises:
        StoreError: The file could not be written.
    """
    beside = path.with_name(f".{path.name}.{'part' if locked else secrets.token_hex(4)}")
    with writing(path):
        try:
            with beside.open("wb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            beside.replace(path)
        except FileNotFoundError:
            # a process that took over the claim of this one wrote the same, and renamed it first
            if not (locked and path.exists()):
                raise
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def replace_folder(place: Path, staged: Path, aside: Path) -> None:
    """Move a whole folder to its place by one rename; a folder that is there is first renamed to ``aside``.

    The caller removes the old folder. After a kill between the two renames, `restore_folder` puts it back.

    Args:
        place: Where the folder goes.
        staged: The folder, on the same file system.
        aside: Where the old folder goes.

    Raises:
        OSError: A rename failed; the old folder is in its place.
    """
    if place.exists():
        place.rename(aside)
    try:
        staged.rename(place)
    except OSError:
        if aside.exists():
            aside.rename(place)
        raise


def restore_folder(place: Path, aside: Path) -> None:
    """Put back the folder that a killed `replace_folder` moved aside, or else remove it."""
    if aside.exists() and not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        aside.rename(place)
    remove_folder(aside)


def remove_folder(path: Path) -> None:
    """Remove a folder with all that it holds, or a link, without following it; a missing one is no error."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


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
