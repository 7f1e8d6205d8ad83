"""A web server on this machine that behaves badly on demand, a format to read, and cards for both.

``python -m tests.support.served ARGUMENTS`` is ``bench ARGUMENTS`` with that format registered.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from bench import SDE, BenchError, Card, Register, hookimpl
from bench.checkpoints.readers import Reader
from bench.plugins.registry import Registry
from tests.support.plugins import empty_registry

MAGIC = b"FAKE"


def content(size: int = 300_000, seed: int = 0) -> bytes:
    """A file of the format: its length stands in it, so that a truncated one is known."""
    rest = size - len(MAGIC) - 8
    noise = hashlib.shake_128(bytes([seed])).digest(rest)
    return MAGIC + size.to_bytes(8, "big") + noise


class Fake(Reader):
    """The format of `content`; ``prepare`` renames a file that ends in .pkl, as a conversion would."""

    name = "fake"

    def prepare(self, card: Card, folder: Path) -> None:
        for path in folder.glob("*.pkl"):
            path.with_suffix(".converted").write_bytes(path.read_bytes())
            path.unlink()

    def read(self, card: Card, folder: Path, sde: SDE | None) -> Any:
        for path in sorted(folder.iterdir()):
            body = path.read_bytes()
            if path.suffix != ".json" and body[:12] != MAGIC + len(body).to_bytes(8, "big"):
                raise BenchError(f"{path.name} is not a fake file, or damaged")


class Hooks:
    @hookimpl
    def register_readers(self, register: Register) -> None:
        register(Fake)


def fake_registry() -> Registry:
    """A registry of the fake format and nothing else."""
    registry = empty_registry()
    registry.load(Hooks(), "fakes", "1.0")
    return registry


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def write_card(folder: Path, name: str, files: list[dict[str, Any]]) -> Path:
    """A card of the fake format as TOML."""
    folder.mkdir(exist_ok=True)
    top: dict[str, Any] = {"name": name, "summary": "made up", "format": "fake", "predicts": "noise"}
    top |= {"labels": "999t", "sde": "vp", "shape": [3, 32, 32], "data_range": [-1.0, 1.0], "licence": "none"}
    top |= {"data": "none", "author": "nobody", "metric": "fd_dct"}
    lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
    for file in files:
        lines += ["[[files]]", *(f"{key} = {json.dumps(value)}" for key, value in file.items())]
    path = folder / f"{name}.toml"
    path.write_text("\n".join([*lines, "[published]", "fid = 2.5", ""]))
    return path


@dataclasses.dataclass
class Served:
    """A file and how it is served; ``cuts`` and ``statuses`` hold for one request each, then it is well."""

    body: bytes
    etag: str | None = '"one"'
    ranges: bool = True
    if_range: bool = True
    """Whether it looks at the condition of a range."""
    shift: int = 0
    """Bytes before what was asked for at which a range begins."""
    kind: str = "application/octet-stream"
    length: int | None = None
    """Content-Length where it is not the true one; -1: none is told."""
    cuts: list[int] = dataclasses.field(default_factory=list)
    """Bytes of an answer after which the connection is closed."""
    stalls: list[int] = dataclasses.field(default_factory=list)
    """Bytes of an answer after which nothing more comes."""
    statuses: list[int] = dataclasses.field(default_factory=list)
    to: str | None = None
    """Where it redirects to."""
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    """Headers that are sent instead of the right ones, or with them."""
    raw: list[bytes] = dataclasses.field(default_factory=list)
    """Whole answers, for one request each, after which the connection is closed."""
    drip: float | None = None
    """Seconds between the bytes of an answer, which come one by one."""
    requests: list[str | None] = dataclasses.field(default_factory=list)
    """The Range of each request."""
    sent: list[int] = dataclasses.field(default_factory=list)


class Server(ThreadingHTTPServer):
    """Serves `files`, by path."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, Served] = {}
        self.released = threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self.thread.start()

    def __exit__(self, *exc: object) -> None:
        self.released.set()
        self.shutdown()
        self.thread.join()
        self.server_close()

    def __enter__(self) -> Self:
        return self

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        served = self.server.files[self.path[1:]]
        span = self.headers.get("Range")
        served.requests.append(span)
        if served.raw:
            self._write(served.raw.pop(0), served.drip)
            self.close_connection = True
            return
        status = served.statuses.pop(0) if served.statuses else 302 if served.to else 200
        if status != 200:
            self.send_response(status)
            if served.to:
                self.send_header("Location", served.to)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body, start = served.body, 0
        same = not served.if_range or self.headers.get("If-Range") in (None, served.etag)
        if span and served.ranges and same:
            start = int(span.removeprefix("bytes=").removesuffix("-")) - served.shift
            if start >= len(body):
                self.send_error(416)
                return
        cut = served.cuts.pop(0) if served.cuts else None
        stall = served.stalls.pop(0) if served.stalls else None
        whole = body[start:]
        part = whole if cut is None and stall is None else whole[: cut if stall is None else stall]
        served.sent.append(len(part))  # before its headers: the other side may ask again on reading them
        self.send_response(206 if start else 200)
        claimed = len(body) if served.length is None else served.length
        headers = {"Content-Type": served.kind}
        if claimed >= 0:
            headers["Content-Length"] = str(claimed - start)
        if start:
            headers["Content-Range"] = f"bytes {start}-{claimed - 1}/{claimed}"
        if served.etag:
            headers["ETag"] = served.etag
        for key, value in (headers | served.headers).items():
            self.send_header(key, value)
        self.end_headers()
        self._write(part, served.drip)
        if stall is not None:
            self.server.released.wait(20)

    def _write(self, content: bytes, drip: float | None) -> None:
        with suppress(OSError):  # the other side may have left
            if drip is None:
                self.wfile.write(content)
                self.wfile.flush()
                return
            for place in range(len(content)):
                if self.server.released.wait(drip):
                    return
                self.wfile.write(content[place : place + 1])
                self.wfile.flush()


if __name__ == "__main__":
    from bench.cli import main
    from bench.plan.installed import installed_registry

    everything = installed_registry()
    everything.load(Hooks(), "fakes", "1.0")
    main(sys.argv[1:], registry=everything)
