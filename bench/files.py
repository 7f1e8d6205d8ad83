"""Where the project's own files are: in a checkout beside the package, in a wheel inside it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import StoreError

if TYPE_CHECKING:
    pass


_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent
_ROOT = _CHECKOUT if (_CHECKOUT / "registry" / "cards").is_dir() else _PACKAGE / "_data"

REGISTRY = _ROOT / "registry"
"""Checkpoint cards, small weights, reference statistics, published figures."""

SHIPPED_TOML = _ROOT / "bench.toml"
"""The shipped bench.toml: defaults and profiles."""


def replace_file(path: Path, content: bytes) -> None:
    """Write beside, sync, rename: readers see the old file or the whole new one."""
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
    """An error while writing becomes a `StoreError` that says where."""
    try:
        yield
    except OSError as error:
        raise StoreError(error.errno, f"{error.strerror}: {path} could not be written") from error
