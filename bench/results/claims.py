"""Claims: files that say which process works on what, safe on a folder that several machines share.

A claim is a file that only one process can create (``O_EXCL``, which network file systems keep, as they do
not keep ``flock``). It holds its owner and a count of beats, which the owner raises while it works. A process
that finds a claim takes it over where its owner is a dead process of this machine, or where the count has not
moved for `LEASE` seconds of the finder's own clock: no clock of another machine counts.

A race can at worst have two processes at the same work. Both then write the same bytes.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bench.errors import BenchError
from bench.files import check_regular, writing

BEAT = 5.0
"""Seconds between two beats."""
LEASE = 120.0
"""Seconds without a beat after which a claim is taken over."""
POLL = 0.25
"""Seconds between looks at a claim that a process waits for."""
MOST_BYTES = 512
_COUNT = "{:012d}\n"


class Claim:
    """A claim that this process holds.

    Args:
        path: Its file.
        descriptor: The open file.
        owner: The line that names the owner.
    """

    def __init__(self, path: Path, descriptor: int, owner: bytes) -> None:
        self.path = path
        self._descriptor = descriptor
        self._owner = owner
        self._beats = 0

    def beat(self) -> None:
        """Raise the count, by which other processes see that this one works."""
        self._beats += 1
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, _COUNT.format(self._beats).encode(), len(self._owner))

    def release(self) -> None:
        """Remove the file, unless another process took it over."""
        with contextlib.suppress(OSError):
            if _content(self.path).startswith(self._owner):
                self.path.unlink()
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


class Claims:
    """The claims of one process: creates them, and raises their counts in a thread of its own.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[Path, Claim] = {}
        self._changed: dict[Path, tuple[bytes, float]] = {}
        self._keeper: threading.Thread | None = None
        self._lock = threading.Lock()

    def try_claim(self, path: Path) -> Claim | None:
        """The claim of that file; None where another process holds it.

        Raises:
            BenchError: The file is a link.
            StoreError: The file can't be created.
        """
        if path.is_symlink():
            raise BenchError(f"{path} is a link, not a lock file: remove it")
        for _ in range(3):
            claim = self._create(path)
            if claim is not None or not self._take_over(path):
                break
        if claim is not None:
            self._changed.pop(path, None)
            with self._lock:
                self._held[path] = claim
                if self._keeper is None or not self._keeper.is_alive():  # such as after a fork
                    self._keeper = threading.Thread(target=self._keep, daemon=True)
                    self._keeper.start()
        return claim

    def claim(self, path: Path, on_wait: Callable[[], None] | None = None) -> Claim:
        """The claim of that file, waited for; ``on_wait`` is called once if another process holds it."""
        claim = self.try_claim(path)
        if claim is None and on_wait is not None:
            on_wait()
        while claim is None:
            time.sleep(POLL)
            claim = self.try_claim(path)
        return claim

    def release(self, claim: Claim) -> None:
        """Give a claim back."""
        with self._lock:
            self._held.pop(claim.path, None)
            claim.release()

    def beat(self) -> None:
        """Raise the counts of all claims that are held."""
        with self._lock:
            for claim in self._held.values():
                claim.beat()

    def _keep(self) -> None:
        """Beat as long as a claim is held: a program that makes many runs keeps no thread for each."""
        while True:
            time.sleep(BEAT)
            with self._lock:
                if not self._held:
                    self._keeper = None
                    return
            self.beat()

    def _create(self, path: Path) -> Claim | None:
        """The new file; None where there is one."""
        owner = json.dumps(_process() | {"token": secrets.token_hex(8)}).encode() + b"\n"
        with writing(path):
            try:
                descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666)
            except FileExistsError:
                return None
            try:
                os.write(descriptor, owner + _COUNT.format(0).encode())
            except OSError:  # such as a full disk
                os.close(descriptor)
                path.unlink(missing_ok=True)
                raise
        return Claim(path, descriptor, owner)

    def _take_over(self, path: Path) -> bool:
        """Remove a claim whose owner is gone; whether the file is free now."""
        try:
            content = _content(path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        before, since = self._changed.get(path, (None, 0.0))
        if content != before:
            self._changed[path] = content, self._clock()
            since = self._clock()
        if not (_is_dead(content) or self._clock() - since > LEASE):
            return False
        # of several processes that take it over, one renames it; who renames a new claim puts it back
        aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        try:
            path.rename(aside)
            if _content(aside) != content:
                os.link(aside, path)
        except OSError:
            pass
        finally:
            aside.unlink(missing_ok=True)
        return not path.exists()


def _content(path: Path) -> bytes:
    """What a claim holds; ``OSError`` where it is missing or no plain file."""
    check_regular(path)
    with path.open("rb") as handle:
        return handle.read(MOST_BYTES)


def _is_dead(content: bytes) -> bool:
    """Whether the owner is a process of this machine that no longer exists."""
    try:
        owner = json.loads(content.partition(b"\n")[0])
        machine, number, start = owner["machine"], owner["process"], owner["start"]
    except (ValueError, KeyError, TypeError):
        return False  # not whole yet
    if machine != _machine() or not isinstance(number, int) or number <= 0:
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return bool(_start_of(number) != start)


def _process() -> dict[str, object]:
    """This process, as a claim names it."""
    number = os.getpid()
    return {"machine": _machine(), "process": number, "start": _start_of(number)}


@functools.cache
def _machine() -> str:
    """A hash of this machine's name, start and process table, within which process numbers have a meaning."""
    facts = [platform.node()]
    with contextlib.suppress(OSError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        facts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return hashlib.sha256(" ".join(facts).encode()).hexdigest()[:16]


def _start_of(number: int) -> str:
    """When a process began, by the system's clock ticks; empty where that is unknown."""
    try:
        # the name in parentheses may hold spaces; the start is the 22nd field
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
