"""The class of the actors: it computes batches in a process of a node. None of it imports Ray when loaded.

It is a plain class of an importable module, so that each node runs the file that is installed there, and its
report says which. Decorated by ``ray.remote`` it would travel with the command, and run next to other files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import json
import os
import pickle
import platform
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench import Batch, BenchError, Card, StepDone, Work, cache_folder, device_kind
from bench_local.worker import outcome_bytes
from bench_ray.code import code_facts

MANIFEST = "installed.json"
"""The file that holds what an installed checkpoint's files must be."""


@dataclasses.dataclass(frozen=True)
class Report:
    """What an actor says of itself: kind of device as records name it, code, and its machine's name."""

    kind: str
    code: dict[str, str]
    host: str


@dataclasses.dataclass(frozen=True)
class Unfit:
    """The answer of an actor whose machine can't compute: no batch is at fault."""

    reason: str


@dataclasses.dataclass(frozen=True)
class CardFiles:
    """A checkpoint, and where Ray holds the bytes of its files by name."""

    card: Card
    files: list[Any]


class Actor:
    """Computes batches, one after another; in the meantime another thread answers `sign`.

    Args:
        work: The pickled work.
        number: Number of the worker.
    """

    def __init__(self, work: bytes, number: int) -> None:
        self._work = pickle.loads(work)
        self._number = number
        self._step: StepDone | None = None

    def ready(self, device: str) -> Report:
        """What this process is, asked before any batch; the imports of seconds are done then."""
        return Report(kind_of(device), code_facts(), platform.node())

    def sign(self) -> StepDone | None:
        """A sign of life: the last step of the batch at work."""
        return self._step

    def compute(self, data: bytes, strikes: int, cards: list[CardFiles]) -> bytes:
        """Compute a batch.

        Args:
            data: The pickled batch.
            strikes: Number of actors that died of it.
            cards: Its checkpoints, where this machine may lack their files.

        Returns:
            The pickled outcome, or `Unfit`. No exception leaves it: Ray can't pass on every one. What is no
            ``Exception``, such as ``sys.exit`` of a plugin, ends the process.
        """
        try:
            for one in cards:
                install(one.card, functools.partial(_fetch, one.files))
        except (OSError, BenchError) as error:
            return pickle.dumps(Unfit(f"its checkpoint can't be written: {error}"))
        work: Work = self._work
        batch: Batch = pickle.loads(data)
        if batch.spec.device.startswith("cuda:"):  # the number of a GPU of another machine
            batch = dataclasses.replace(batch, spec=dataclasses.replace(batch.spec, device="cuda"))
        self._step = None
        try:
            return outcome_bytes(work, batch, self._note, self._number, strikes)
        except BaseException:
            os._exit(1)

    def _note(self, event: object) -> None:
        if isinstance(event, StepDone):
            self._step = event


def kind_of(device: str) -> str:
    """The kind of a device, as `RunSpec.identity` has it."""
    return device_kind("cuda" if device.startswith("cuda") else device)


def file_bytes(card: Card) -> dict[str, bytes]:
    """The files of a checkpoint by name, with the list of what they must be."""
    contents = card.contents()
    files = {name: (card.folder / name).read_bytes() for name in contents}
    listing = {
        name: {"bytes": len(files[name]), "sha256": sha256 or hashlib.sha256(files[name]).hexdigest()}
        for name, (_, sha256) in contents.items()
    }
    manifest = json.dumps({"files": listing}).encode()
    if not card.shipped:  # the list of an installed one also tells the hashes before its conversion
        manifest = (card.folder / MANIFEST).read_bytes()
    return files | {MANIFEST: manifest}


def install(card: Card, fetch: Callable[[], Mapping[str, bytes]]) -> None:
    """Write a checkpoint's files into this machine's cache, unless they are here; then check their hashes.

    Args:
        card: The checkpoint.
        fetch: Gives the files' bytes by name.

    Raises:
        BenchError: A file's hash is not the one that it must have.
        OSError: They can't be written.
    """
    if _is_here(card):
        return
    folder = cache_folder("checkpoints", card.name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{card.name}.lock").open("wb") as lock:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_here(card):  # another worker of this machine may have been first, and reads its files
            _write(card, folder, fetch)


def _is_here(card: Card) -> bool:
    try:
        card.check()
    except BenchError:
        return False
    return True


def _write(card: Card, folder: Path, fetch: Callable[[], Mapping[str, bytes]]) -> None:
    """Put the files into the folder, all at once, and check them."""
    staged = folder.with_name(f".{card.name}.{os.getpid()}")
    try:
        staged.mkdir(parents=True, exist_ok=True)
        for name, content in fetch().items():
            (staged / Path(name).name).write_bytes(content)
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
        try:
            staged.rename(folder)
        except OSError:
            if not folder.exists():  # another worker of this machine was first
                raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    card.check()


def _fetch(files: list[Any]) -> Mapping[str, bytes]:
    """The bytes that Ray holds: they come to a node once, for all its workers."""
    import ray

    (content,) = ray.get(files)
    return dict(content)
