"""Folders of checkpoints on their way into the cache: one process at a time for each, moved in whole.

CACHE/staging/NAME/       what is being installed; no later call uses it
CACHE/aside/NAME/         what is being replaced
CACHE/locks/NAME.lock     held by the process that may write any of it

The next installation, of whichever checkpoint, clears away what a killed process left in the first two.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench import cache
from bench.cache import sync, writing
from bench.errors import BenchError
from bench.events import Emit, Notice
from bench.files import file_lock, locking, remove_folder, replace_folder, restore_folder


@contextmanager
def exclusive(name: str, emit: Emit) -> Iterator[Path]:
    """Hold a checkpoint's lock and yield an empty folder; the remains of killed processes are removed."""
    from filelock import Timeout

    path = _lock_path(name)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = file_lock(path)
    with locking(path, cache.LOCK_REMEDY):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            emit(Notice(f"{name}: waiting for another process that is installing it"))
            lock.acquire()
    staged = cache.root() / "staging" / name
    try:
        with writing(staged):
            _clear(name)
            _clear_others(name)
            staged.mkdir(parents=True)
        yield staged
    finally:
        remove_folder(staged)
        lock.release()


def _lock_path(name: str) -> Path:
    return cache.root() / "locks" / f"{name}.lock"


def _clear(name: str) -> None:
    """Put back what a killed process moved aside, and remove its other remains; the lock must be held."""
    restore_folder(cache.folder(name), cache.root() / "aside" / name)
    remove_folder(cache.root() / "staging" / name)


def _clear_others(name: str) -> None:
    """The same for every other checkpoint whose lock no process holds."""
    areas = (cache.root() / kind for kind in ("staging", "aside"))
    for other in {path.name for area in areas for path in area.glob("*")} - {name}:
        # Timeout is an OSError
        with suppress(OSError, BenchError), file_lock(_lock_path(other)).acquire(timeout=0):
            _clear(other)


def move_in(staged: Path, name: str) -> Path:
    """Move the folder to its place by one rename, after another moved the old one aside."""
    place, aside = cache.folder(name), cache.root() / "aside" / name
    for path in (place, aside):
        path.parent.mkdir(parents=True, exist_ok=True)
    replace_folder(place, staged, aside)
    sync(place.parent)
    remove_folder(aside)
    return place


def link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
