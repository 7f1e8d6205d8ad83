"""Download of one file over HTTP(S): resumed where it stopped, renamed to its own name once complete."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from pydantic import BaseModel, ConfigDict, Field

from bench import cache
from bench.errors import BenchError, printable
from bench.events import Advance, Emit, Notice, silent
from bench.files import MAX_SETTINGS, check_regular, file_lock, locking, parse_json, read_file

if TYPE_CHECKING:
    import requests

CHUNK = 1 << 16
"""Greatest number of bytes per read."""

TIMEOUTS = (10.0, 30.0)
"""Seconds until a connection must stand, and for which a server may be silent."""

WINDOW, LEAST_RATE = 60.0, 1000
"""A server that sends fewer bytes per second than ``LEAST_RATE``, over ``WINDOW`` seconds, is given up: a
file of n bytes takes at most about n / ``LEAST_RATE`` seconds of waiting, headers and redirects included."""

MAX_SIZE = 1 << 40
"""Greatest number of bytes of a file, where its size is unknown."""

MAX_REDIRECTS = 10

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further attempt."""

STRIDE = 1 << 20
"""Bytes that an attempt must receive for the count of failures to start again."""

_BUSY = (408, 425, 429, 500, 502, 503, 504)
_REDIRECTS = (301, 302, 303, 307, 308)
_LENGTH = re.compile(r"[0-9]+")
_SPAN = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)")
_VALIDATOR = re.compile(r"[!-~][ -~]{0,500}")


class SizeMismatchError(BenchError):
    """The server has a file of another size."""


class _Interruption(Exception):
    """An attempt that failed for a reason that may pass."""


class _TooSlow(_Interruption):
    """A server that sends less than `LEAST_RATE`."""


class _Note(BaseModel):
    """Where the received part of a file is from: its URL, what If-Range takes, and the size of the whole."""

    model_config = ConfigDict(frozen=True, strict=True)

    url: str = ""
    validator: str | None = Field(default=None, pattern=f"^{_VALIDATOR.pattern}$")
    total: int | None = None


class _Part:
    """The received part of a file: ``.part`` beside it, and ``.json`` with its URL and validator."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self.note_path = target.with_name(f"{target.name}.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self) -> _Note:
        try:
            return _Note.model_validate(parse_json(read_file(self.note_path, MAX_SETTINGS)))
        except (OSError, ValueError):
            return _Note()

    def begin(self, note: _Note) -> None:
        """Start an empty part. In this order a kill in between leaves no bytes under another file's note."""
        with cache.writing(self.path):
            self.path.write_bytes(b"")
            self.note_path.write_text(note.model_dump_json())

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note_path.unlink(missing_ok=True)


def fetch(url: str, target: Path, size: int | None, sha256: str | None, emit: Emit = silent) -> None:
    """Download a file. A cut connection is resumed a few times, and so is a server slower than `LEAST_RATE`.

    A call after a failure or a kill resumes where it stopped if the server can tell that its file is the
    same, or the hash can.

    Args:
        url: Address of the file.
        target: Where it goes; the folder must exist. A part stays beside it until it is complete.
        size: Its size in bytes, where known.
        sha256: Its hash, where known; checking it is up to the caller.
        emit: Receives `Advance` in bytes, with the file's name as its phase, and a `Notice` for each cut.

    Raises:
        BenchError: The server can't be reached, is too slow, refuses, redirects to where no file is fetched
            from, sends a web page, or has another file (`SizeMismatchError`); or the disk is full.
    """
    part = _Part(target)
    if target.exists():
        if part.note().url == url:
            return
        with cache.writing(target):
            target.unlink()
    best, failures = part.size, 0
    while True:
        try:
            _attempt(url, part, size, sha256, emit)
            break
        except _Interruption as cut:
            if part.size >= best + STRIDE:
                best, failures = part.size, 0
            if failures == len(PAUSES):
                resumes = ": it resumes where it stopped" if kept_bytes(url, target, sha256) else ""
                raise BenchError(f"{cut}; run the same command again{resumes}") from cut
            emit(Notice(f"{cut}; trying again"))
            time.sleep(PAUSES[failures])
            failures += 1
    with cache.writing(target):
        cache.sync(part.path)
        part.path.rename(target)


def fetch_once(url: str, target: Path, emit: Emit = silent, sha256_start: str = "") -> None:
    """Download a file unless it is at ``target`` already: whole or not at all, once among processes.

    Args:
        url: Address of the file.
        target: Path of the file; its folder is created. A received part stays in the cache folder, and the
            next call resumes it.
        emit: Reports progress.
        sha256_start: First hexadecimal digits of the file's SHA-256; empty where they are unknown.

    Raises:
        BenchError: The file can't be fetched, or has another hash.
    """
    partial = cache.root() / "partial" / target.name
    lock = cache.root() / "locks" / f"{target.name}.lock"
    with cache.writing(target):
        for path in (partial, lock, target):
            path.parent.mkdir(parents=True, exist_ok=True)
    held = file_lock(lock)
    with locking(lock, cache.LOCK_REMEDY):
        held.acquire()
    try:
        if target.is_file():
            return
        fetch(url, partial, None, None, emit)
        if not cache.cached_sha256(partial).startswith(sha256_start):
            forget(partial)
            raise BenchError(f"{url} has another file: its SHA-256 does not start with {sha256_start}")
        with cache.writing(target):
            partial.replace(target)
        forget(partial)
    finally:
        held.release()


def forget(target: Path) -> None:
    """Remove a file that `fetch` downloaded, and its part."""
    target.unlink(missing_ok=True)
    _Part(target).clear()


def kept_bytes(url: str, target: Path, sha256: str | None) -> int:
    """Number of bytes on disk that `fetch` of the same file would not fetch again."""
    part = _Part(target)
    if target.exists():
        return target.stat().st_size if part.note().url == url else 0
    return _usable(url, part, sha256)


def _usable(url: str, part: _Part, sha256: str | None) -> int:
    """Number of bytes after which the part can be resumed."""
    note = part.note()
    return part.size if note.url == url and (note.validator or sha256) else 0


def _attempt(url: str, part: _Part, size: int | None, sha256: str | None, emit: Emit) -> None:
    with cache.writing(part.path), suppress(FileNotFoundError):
        check_regular(part.path)
    note, have = part.note(), _usable(url, part, sha256)
    if have and have == note.total:
        return
    headers = {"Accept-Encoding": "identity", "User-Agent": "sampler-bench"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if note.validator:
            headers["If-Range"] = note.validator
    with _transferring(url, headers) as transfer:
        response = transfer.response
        code = response.status_code
        anew = have and (code == 416 or (code == 206 and not _resumes(response, note, have)))
        if not anew:
            if code in _BUSY:
                raise _Interruption(f"{url} answers {code} {response.reason}")
            if code != 200 and not (have and code == 206):
                raise BenchError(f"{url} answers {code} {response.reason}")
            if code == 200:
                have, note = 0, _Note(url=url, validator=_validator(response), total=_length(response, url))
                if _is_page(response, note.total, size):
                    part.clear()
                    raise BenchError(f"{url} answers with a web page (to log in, perhaps), not with the file")
                if size is not None and note.total not in (None, size):
                    part.clear()
                    raise SizeMismatchError(f"{url} has a file of {note.total} bytes, not of {size}")
                part.begin(note)
            _receive(transfer, part, have, size if note.total is None else note.total, emit)
            return
    part.clear()
    _attempt(url, part, size, sha256, emit)


def _session() -> requests.Session:
    """A session that follows no redirect by itself: requests would read the body of each, however long."""
    import requests

    session = requests.Session()
    setattr(session, "get_redirect_target", lambda _: None)  # noqa: B010 (a method, to mypy)
    return session


def _answer(session: requests.Session, url: str, headers: dict[str, str]) -> requests.Response:
    """The answer after all redirects, its body unread."""
    import requests
    import urllib3

    place = url
    for _ in range(MAX_REDIRECTS + 1):
        try:
            response = session.get(place, headers=headers, stream=True, timeout=TIMEOUTS)
        except requests.exceptions.SSLError as error:
            raise BenchError(f"{url} can't be reached safely: {_root(error)}") from error
        except (requests.ConnectionError, requests.Timeout) as error:
            raise _Interruption(f"{urlsplit(place).netloc} can't be reached: {_root(error)}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            raise BenchError(f"{url} can't be fetched: {_root(error)}") from error
        if response.status_code not in _REDIRECTS or "Location" not in response.headers:
            return response
        response.close()
        place = _next_place(url, place, response.headers["Location"])
    raise BenchError(f"{url} redirects more than {MAX_REDIRECTS} times")


def _next_place(url: str, place: str, location: str) -> str:
    """Where a redirect leads; `BenchError` unless it is http or https, and https where ``place`` is."""
    try:
        target = urljoin(place, location.encode("latin-1").decode("utf-8", "replace"))
        scheme = urlsplit(target).scheme
    except ValueError as error:
        raise BenchError(f"{url} redirects to {printable(repr(location))}, which is no address") from error
    if scheme != "https" and (scheme != "http" or urlsplit(place).scheme == "https"):
        where = f"from {urlsplit(place).scheme} to {printable(repr(target))}"
        raise BenchError(f"{url} redirects {where}, which is not followed")
    return target


class _Transfer:
    """An answer that a thread reads, so that the wait for each part of it can be limited.

    Neither requests nor sockets limit the time of a whole answer: a byte now and then resets their clocks.
    """

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.host = urlsplit(url).netloc
        self._items: queue.Queue[requests.Response | bytes | BaseException] = queue.Queue(4)
        self._abandoned = threading.Event()
        self._waited, self._amount = 0.0, 0
        threading.Thread(target=self._read, args=(url, headers), daemon=True).start()
        response = self._next()
        assert not isinstance(response, bytes)
        self.response = response
        self.host = urlsplit(response.url).netloc

    def abandon(self) -> None:
        """Let the thread end at its next read."""
        self._abandoned.set()

    def chunk(self) -> bytes:
        """The next bytes of the body; empty at its end."""
        item = self._next()
        assert isinstance(item, bytes)
        return item

    def _next(self) -> requests.Response | bytes:
        """The next item; what the thread raised is raised here."""
        while True:
            begin = time.monotonic()
            try:
                item = self._items.get(timeout=max(0.0, WINDOW - self._waited))
            except queue.Empty:
                item = None
            # the time of this machine's disk does not count
            self._waited += time.monotonic() - begin
            if isinstance(item, BaseException):
                raise item
            self._amount += len(item) if isinstance(item, bytes) else 0
            if self._waited >= WINDOW:
                if self._amount < LEAST_RATE * self._waited and item != b"":
                    rate = self._amount / self._waited
                    raise _TooSlow(f"{self.host} sent {rate:.0f} bytes a second for {self._waited:.0f} s")
                self._waited, self._amount = 0.0, 0
            if item is not None:
                return item

    def _read(self, url: str, headers: dict[str, str]) -> None:
        """The thread: put the answer, the chunks of its body and an empty one; or the error."""
        try:
            with _session() as session, _answer(session, url, headers) as response:
                self._put(response)
                # undecoded: of a server that compresses unasked, the hash fails; ranges count compressed
                # bytes
                while chunk := response.raw.read1(CHUNK, decode_content=False):
                    if not self._put(chunk):
                        return
                self._put(b"")
        except BaseException as error:
            self._put(error)

    def _put(self, item: requests.Response | bytes | BaseException) -> bool:
        """Whether the item was put, before the transfer was abandoned."""
        while not self._abandoned.is_set():
            with suppress(queue.Full):
                self._items.put(item, timeout=0.1)
                return True
        return False


@contextmanager
def _transferring(url: str, headers: dict[str, str]) -> Iterator[_Transfer]:
    transfer = _Transfer(url, headers)
    try:
        yield transfer
    finally:
        transfer.abandon()


def _receive(transfer: _Transfer, part: _Part, have: int, limit: int | None, emit: Emit) -> None:
    """Append the answer's bytes to the part; ``limit``: the number of bytes of the whole, where known."""
    most = MAX_SIZE if limit is None else limit
    of = "" if limit is None else f" of {limit}"
    import urllib3

    name = part.path.name.removesuffix(".part")
    with cache.writing(part.path), part.path.open("ab", buffering=0) as out:
        while True:
            emit(Advance(name, have, limit, "bytes"))
            try:
                chunk = transfer.chunk()
            except _TooSlow as error:
                raise _Interruption(f"{error}, after {have}{of} bytes") from error
            except urllib3.exceptions.HTTPError as error:
                silent = isinstance(error, urllib3.exceptions.ReadTimeoutError)
                what = "went silent" if silent else "broke off"
                raise _Interruption(f"{transfer.host} {what} after {have}{of} bytes") from error
            if not chunk:
                break
            have += len(chunk)
            if have > most:
                part.clear()
                raise BenchError(f"{transfer.response.url} sends more than the {most} bytes that it should")
            _put(out, chunk)
    if limit is not None and have < limit:
        raise _Interruption(f"{transfer.host} broke off after {have} of {limit} bytes")


def _put(out: Any, chunk: bytes) -> None:
    """Write all of a chunk: an unbuffered write may take only some of it."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[out.write(rest) :]


def _length(response: requests.Response, url: str) -> int | None:
    """The file's size as the server gives it; `BenchError` where that is no number of bytes."""
    header = response.headers.get("Content-Length")
    if header is None:
        return None
    length, *others = {part.strip() for part in header.split(",")}
    if others or _LENGTH.fullmatch(length) is None:
        raise BenchError(f"{url} answers with the length {printable(repr(header), 40)}: no number of bytes")
    if len(length) > 18 or int(length) > MAX_SIZE:
        raise BenchError(f"{url} has a file of {printable(length, 40)} bytes, more than {MAX_SIZE}")
    return int(length)


def _validator(response: requests.Response) -> str | None:
    """What If-Range takes: a strong ETag, else the date of the last change."""
    etag = response.headers.get("ETag", "")
    mark = etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
    return mark if _VALIDATOR.fullmatch(mark) else None


def _resumes(response: requests.Response, note: _Note, have: int) -> bool:
    """Whether a partial answer begins where the part ends, in the same version of the file."""
    span = _SPAN.fullmatch(response.headers.get("Content-Range", ""))
    if span is None or int(span[1]) != have:
        return False
    if span[2] != "*" and note.total not in (None, int(span[2])):
        return False
    return _validator(response) in (None, note.validator)


def _is_page(response: requests.Response, total: int | None, size: int | None) -> bool:
    """Whether the answer is a page for people."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml") and (size is None or total != size)


def _root(error: BaseException) -> str:
    """The innermost reason, without the objects that libraries print."""
    while error.__context__ is not None:
        error = error.__context__
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
