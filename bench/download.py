"""Download of one file over HTTP(S): resumed where it stopped, renamed to its own name once complete."""

from __future__ import annotations

import errno
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from bench import cache
from bench.errors import BenchError
from bench.events import Advance, Emit, Notice, silent
from bench.files import MAX_SETTINGS, locking, parse_json, read_file

CHUNK = 1 << 16
"""Bytes per read; a cut connection loses no more than these."""

TIMEOUTS = (10.0, 30.0)
"""Seconds until a connection must stand, and for which a server may be silent."""

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further attempt."""

STRIDE = 1 << 20
"""Bytes that an attempt must receive for the count of failures to start again."""

_BUSY = (408, 425, 429, 500, 502, 503, 504)
_SPAN = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class SizeMismatchError(BenchError):
    """The server has a file of another size."""


class _Interruption(Exception):
    """An attempt that failed for a reason that may pass."""


class _Part:
    """The received part of a file: ``.part`` beside it, and ``.json`` with its URL and validator."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self.note_path = target.with_name(f"{target.name}.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self) -> dict[str, Any]:
        try:
            content = parse_json(read_file(self.note_path, MAX_SETTINGS))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def begin(self, note: dict[str, Any]) -> None:
        """Start an empty part. In this order a kill in between leaves no bytes under another file's note."""
        with writing(self.path):
            self.path.write_bytes(b"")
            self.note_path.write_text(json.dumps(note))

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note_path.unlink(missing_ok=True)


def fetch(url: str, target: Path, size: int | None, sha256: str | None, emit: Emit = silent) -> None:
    """Download a file. A cut connection is resumed a few times.

    A call after a failure or a kill resumes where it stopped if the server can tell that its file is the
    same, or the hash can.

    Args:
        url: Address of the file.
        target: Where it goes; the folder must exist. A part stays beside it until it is complete.
        size: Its size in bytes, where known.
        sha256: Its hash, where known; checking it is up to the caller.
        emit: Receives `Advance` in bytes, with the file's name as its phase, and a `Notice` for each cut.

    Raises:
        BenchError: The server can't be reached, refuses, sends a web page, or has another file
            (`SizeMismatchError`); or the disk is full.
    """
    part = _Part(target)
    if target.exists():
        if part.note().get("url") == url:
            return
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
                raise BenchError(f"{cut}; run the same command again: it resumes where it stopped") from cut
            emit(Notice(f"{cut}; trying again"))
            time.sleep(PAUSES[failures])
            failures += 1
    with writing(target):
        sync(part.path)
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
    from filelock import FileLock

    partial = cache.root() / "partial" / target.name
    lock = cache.root() / "locks" / f"{target.name}.lock"
    with writing(target):
        for path in (partial, lock, target):
            path.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock)
    with locking(lock, cache.LOCK_REMEDY):
        held.acquire()
    try:
        if target.is_file():
            return
        fetch(url, partial, None, None, emit)
        if not cache.cached_sha256(partial).startswith(sha256_start):
            forget(partial)
            raise BenchError(f"{url} has another file: its SHA-256 does not start with {sha256_start}")
        with writing(target):
            partial.replace(target)
        forget(partial)
    finally:
        held.release()


def forget(target: Path) -> None:
    """Remove a file that `fetch` downloaded, and its part."""
    target.unlink(missing_ok=True)
    _Part(target).clear()


def _attempt(url: str, part: _Part, size: int | None, sha256: str | None, emit: Emit) -> None:
    note, have = part.note(), part.size
    validator = note.get("validator")
    if note.get("url") != url or not (validator or sha256):
        have = 0
    if have and have == note.get("total"):
        return
    headers = {"Accept-Encoding": "identity", "User-Agent": "sampler-bench"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if validator:
            headers["If-Range"] = validator
    with _answer(url, headers) as response:
        code = response.status_code
        if have and (code == 416 or (code == 206 and not _resumes(response, note, have))):
            part.clear()
            return _attempt(url, part, size, sha256, emit)
        if code in _BUSY:
            raise _Interruption(f"{url} answers {code} {response.reason}")
        if code != 200 and not (have and code == 206):
            raise BenchError(f"{url} answers {code} {response.reason}")
        if code == 200:
            have, note = 0, _first_note(response, url)
            if _is_page(response, note["total"], size):
                part.clear()
                raise BenchError(f"{url} answers with a web page (to log in, perhaps), not with the file")
            if size is not None and note["total"] not in (None, size):
                part.clear()
                raise SizeMismatchError(f"{url} has a file of {note['total']} bytes, not of {size}")
            part.begin(note)
        _receive(response, part, have, note["total"], size, emit)


def _answer(url: str, headers: dict[str, str]) -> requests.Response:
    try:
        return requests.get(url, headers=headers, stream=True, timeout=TIMEOUTS)
    except requests.exceptions.SSLError as error:
        raise BenchError(f"{url} can't be reached safely: {_root(error)}") from error
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _Interruption(f"{urlsplit(url).netloc} can't be reached: {_root(error)}") from error
    except requests.RequestException as error:
        raise BenchError(f"{url} can't be fetched: {_root(error)}") from error


def _receive(
    response: requests.Response,
    part: _Part,
    have: int,
    total: int | None,
    size: int | None,
    emit: Emit,
) -> None:
    """Append the answer's bytes to the part."""
    limit = total if total is not None else size
    host = urlsplit(response.url).netloc
    name = part.path.name.removesuffix(".part")
    # undecoded: of a server that compresses unasked, the hash fails; ranges count compressed bytes
    chunks = response.raw.stream(CHUNK, decode_content=False)
    with writing(part.path), part.path.open("ab", buffering=0) as out:
        while True:
            emit(Advance(name, have, limit, "bytes"))
            try:
                chunk = next(chunks, b"")
            except urllib3.exceptions.HTTPError as error:
                silent = isinstance(error, urllib3.exceptions.ReadTimeoutError)
                what = "went silent" if silent else "broke off"
                of = f" of {limit}" if limit is not None else ""
                raise _Interruption(f"{host} {what} after {have}{of} bytes") from error
            if not chunk:
                break
            have += len(chunk)
            if limit is not None and have > limit:
                part.clear()
                raise BenchError(f"{response.url} sends more than the {limit} bytes that it should")
            _put(out, chunk)
    if total is not None and have < total:
        raise _Interruption(f"{host} broke off after {have} of {total} bytes")


def _put(out: Any, chunk: bytes) -> None:
    """Write all of a chunk: an unbuffered write may take only some of it."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[out.write(rest) :]


def _first_note(response: requests.Response, url: str) -> dict[str, Any]:
    length = response.headers.get("Content-Length", "")
    return {
        "url": url,
        "validator": _validator(response),
        "total": int(length) if length.isdigit() else None,
    }


def _validator(response: requests.Response) -> str | None:
    """What If-Range takes: a strong ETag, else the date of the last change."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


def _resumes(response: requests.Response, note: dict[str, Any], have: int) -> bool:
    """Whether a partial answer begins where the part ends, in the same version of the file."""
    span = _SPAN.fullmatch(response.headers.get("Content-Range", ""))
    if span is None or int(span[1]) != have:
        return False
    if span[2] != "*" and note.get("total") not in (None, int(span[2])):
        return False
    return _validator(response) in (None, note.get("validator"))


def _is_page(response: requests.Response, total: int | None, size: int | None) -> bool:
    """Whether the answer is a page for people."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml") and (size is None or total != size)


def is_full(error: OSError) -> bool:
    """Whether the disk, or the user's quota, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _root(error: BaseException) -> str:
    """The innermost reason, without the objects that libraries print."""
    while error.__context__ is not None:
        error = error.__context__
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


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
