"""`fetch` alone: odd headers, other ranges, redirects, slow servers, files that had come whole."""

from __future__ import annotations

import gc
import gzip
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import BenchError, fetch_once
from bench import download as fetch
from bench.events import Event, Notice
from tests.support.served import Served, Server, content, sha256

BODY = content()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(fetch, "PAUSES", (0.0,))
    with Server() as instance:
        instance.files["x"] = Served(BODY)
        yield instance


def test_a_range_that_begins_elsewhere_is_not_appended(server: Server, tmp_path: Path) -> None:
    served = server.files["x"]
    served.cuts, served.shift = [100_000], 10
    fetch.fetch(server.url("x"), tmp_path / "x", None, None)
    assert (tmp_path / "x").read_bytes() == BODY
    assert served.requests == [None, "bytes=100000-", None]


def test_a_part_that_is_whole_needs_no_server(server: Server, tmp_path: Path) -> None:
    url = server.url("x")
    fetch.fetch(url, tmp_path / "x", None, None)
    (tmp_path / "x").rename(tmp_path / "x.part")  # as if killed before it got its name
    fetch.fetch(url, tmp_path / "x", None, None)
    assert (tmp_path / "x").read_bytes() == BODY
    assert server.files["x"].requests == [None]


def test_what_came_from_another_address_is_not_taken(server: Server, tmp_path: Path) -> None:
    server.files["y"] = Served(content(seed=1))
    fetch.fetch(server.url("x"), tmp_path / "x", None, None)
    fetch.fetch(server.url("y"), tmp_path / "x", None, None)
    assert (tmp_path / "x").read_bytes() == content(seed=1)
    (tmp_path / "x").rename(tmp_path / "x.part")
    fetch.fetch(server.url("x"), tmp_path / "x", None, sha256(BODY))
    assert (tmp_path / "x").read_bytes() == BODY


def test_more_than_the_known_size_is_not_read_on(server: Server, tmp_path: Path) -> None:
    served = server.files["x"]
    served.length = -1  # it tells no length: the answer ends with the connection
    with pytest.raises(BenchError, match="sends more than the 1000 bytes that it should"):
        fetch.fetch(server.url("x"), tmp_path / "x", 1000, None)
    assert list(tmp_path.iterdir()) == []
    fetch.fetch(server.url("x"), tmp_path / "x", len(BODY), None)
    assert (tmp_path / "x").read_bytes() == BODY


def test_a_damaged_note_begins_anew(server: Server, tmp_path: Path) -> None:
    served = server.files["x"]
    served.cuts = [100_000, 100_000]
    with pytest.raises(
        BenchError, match="broke off after 200000 of 300000 bytes; run the same command again"
    ):
        fetch.fetch(server.url("x"), tmp_path / "x", None, sha256(BODY))
    (tmp_path / "x.json").write_text("{")
    fetch.fetch(server.url("x"), tmp_path / "x", None, sha256(BODY))
    assert (tmp_path / "x").read_bytes() == BODY
    assert served.requests[-1] is None


HUGE = "9" * 5000
"""More digits than Python turns into an integer."""


def refusal(server: Server, tmp_path: Path, size: int | None = None, sha: str | None = None) -> str:
    """The one line of a fetch that must fail; there is no file of that name afterwards."""
    with pytest.raises(BenchError) as caught:
        fetch.fetch(server.url("x"), tmp_path / "x", size, sha)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "x").exists()
    return str(caught.value)


@pytest.mark.parametrize("length", ["-5", "abc", "", "\u00b2", "1_0", "0x10", "+300000"])
def test_a_length_that_is_no_number_is_refused(server: Server, tmp_path: Path, length: str) -> None:
    """Python takes 1_0 for 10: the file would end there."""
    server.files["x"].headers["Content-Length"] = length
    assert "no number of bytes" in refusal(server, tmp_path)


@pytest.mark.parametrize("length", [None, "300000, 300000"])
def test_no_length_and_equal_lengths_are_well(server: Server, tmp_path: Path, length: str | None) -> None:
    served = server.files["x"]
    served.length = -1
    served.headers |= {} if length is None else {"Content-Length": length}
    fetch.fetch(server.url("x"), tmp_path / "x", None, None)
    assert (tmp_path / "x").read_bytes() == BODY


@pytest.mark.parametrize("length", [HUGE, "9" * 20, str(fetch.MAX_SIZE + 1)])
def test_a_huge_length_is_refused(server: Server, tmp_path: Path, length: str) -> None:
    server.files["x"].headers["Content-Length"] = length
    line = refusal(server, tmp_path)
    assert line.endswith(f"bytes, more than {fetch.MAX_SIZE}")
    assert len(line) < 200


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_lengths_that_contradict_each_other_are_refused(server: Server, tmp_path: Path) -> None:
    server.files["x"].raw = [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"]
    assert "can't be fetched" in refusal(server, tmp_path)
    gc.collect()  # urllib3 leaves the connection of such an answer open


@pytest.mark.parametrize(
    "span",
    [
        "",
        "bytes",
        f"bytes {HUGE}-{HUGE}/{HUGE}",
        "bytes -5-299999/300000",
        "bytes \u00b2-\u00b2/\u00b2",
        "bytes 0-299999/300000",
        "bytes 100000-299999/300001",
        "chars 100000-299999/300000",
    ],
)
def test_a_range_that_is_another_or_no_range_is_not_appended(
    server: Server, tmp_path: Path, span: str
) -> None:
    served = server.files["x"]
    served.cuts = [100_000]
    notices: list[Event] = []

    def emit(event: Event) -> None:
        if isinstance(event, Notice):  # the connection was cut: the next answer has an odd range
            notices.append(event)
            head = f'HTTP/1.1 206 Partial\r\nETag: "one"\r\nContent-Range: {span}\r\n\r\n'
            served.raw = [head.encode("latin-1") + b"x" * 200_000]

    fetch.fetch(server.url("x"), tmp_path / "x", None, None, emit)
    assert (tmp_path / "x").read_bytes() == BODY
    assert served.requests == [None, "bytes=100000-", None]
    assert len(notices) == 1


def test_a_part_that_was_not_asked_for_is_refused(server: Server, tmp_path: Path) -> None:
    server.files["x"].raw = [b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/9\r\n\r\nbody"]
    assert refusal(server, tmp_path).endswith("answers 206 Partial Content")


def test_a_truncated_body_of_a_known_size_is_resumed(server: Server, tmp_path: Path) -> None:
    served = server.files["x"]
    served.length, served.cuts = -1, [100_000]  # without a length, a cut looks like an end
    fetch.fetch(server.url("x"), tmp_path / "x", len(BODY), sha256(BODY))
    assert (tmp_path / "x").read_bytes() == BODY
    assert served.sent[0] == 100_000


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\xff not http\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nbody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nbody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 5000 + b"\r\nbody",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: y\r\n" % i for i in range(200)) + b"\r\nbody",
        b"HTTP/1.1 200 OK\r\nx-long: " + b"y" * 70_000 + b"\r\n\r\nbody",
    ],
    ids=["nothing", "noise", "status", "chunk", "negative", "huge chunk", "many headers", "long header"],
)
def test_an_answer_that_is_not_http_is_one_line(server: Server, tmp_path: Path, answer: bytes) -> None:
    server.files["x"].raw = [answer] * 3
    assert "run the same command again" in refusal(server, tmp_path)


@pytest.mark.parametrize("etag", ['"\u00e9"', '"' + "x" * 5000 + '"', '"\x1b[31m"'])
def test_a_mark_that_can_t_be_sent_back_is_not_kept(server: Server, tmp_path: Path, etag: str) -> None:
    served = server.files["x"]
    served.cuts, served.headers["ETag"] = [100_000], etag
    fetch.fetch(server.url("x"), tmp_path / "x", None, None)
    assert (tmp_path / "x").read_bytes() == BODY
    assert served.requests == [None, None]


@pytest.mark.parametrize(
    "change", [{"total": "many"}, {"total": None, "validator": 5}, {"validator": "a\nb"}, {"url": 3}]
)
def test_an_odd_note_begins_anew(server: Server, tmp_path: Path, change: dict[str, object]) -> None:
    served = server.files["x"]
    served.cuts = [100_000] * 2
    refusal(server, tmp_path, sha=sha256(BODY))
    note = json.loads((tmp_path / "x.json").read_text())
    (tmp_path / "x.json").write_text(json.dumps(note | change))
    fetch.fetch(server.url("x"), tmp_path / "x", None, sha256(BODY))
    assert (tmp_path / "x").read_bytes() == BODY
    assert served.requests[-1] is None


def test_an_answer_in_another_encoding_is_taken_as_it_is(server: Server, tmp_path: Path) -> None:
    """Some servers call an archive its encoding: the bytes are the file, and the caller knows its hash."""
    served = server.files["x"]
    for body in (gzip.compress(BODY), BODY):
        served.body, served.headers["Content-Encoding"] = body, "gzip"
        fetch.forget(tmp_path / "x")
        fetch.fetch(server.url("x"), tmp_path / "x", len(body), None)
        assert (tmp_path / "x").read_bytes() == body


@pytest.mark.parametrize(
    "place",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "javascript:x", "http://[", "//[::", "x:y"],
)
def test_a_redirect_to_another_scheme_is_not_followed(server: Server, tmp_path: Path, place: str) -> None:
    server.files["x"].to = place
    assert "redirects" in refusal(server, tmp_path)


def test_a_redirect_never_leaves_https() -> None:
    with pytest.raises(BenchError, match="from https to 'http://b/x', which is not followed"):
        fetch._next_place("https://a/x", "https://a/x", "http://b/x")
    assert fetch._next_place("http://a/x", "http://a/x", "https://b/y") == "https://b/y"
    assert fetch._next_place("https://a/x", "https://a/x", "/y") == "https://a/y"


def test_redirects_in_a_circle_end(server: Server, tmp_path: Path) -> None:
    server.files["x"].to = server.url("x")
    assert refusal(server, tmp_path).endswith(f"redirects more than {fetch.MAX_REDIRECTS} times")
    assert len(server.files["x"].requests) == fetch.MAX_REDIRECTS + 1


def test_the_body_of_a_redirect_is_not_read(server: Server, tmp_path: Path) -> None:
    server.files["y"] = Served(BODY)
    head = f"HTTP/1.1 302 Found\r\nLocation: {server.url('y')}\r\nContent-Length: 999999999\r\n\r\n"
    server.files["x"].raw = [head.encode() + b"x" * 1000]
    fetch.fetch(server.url("x"), tmp_path / "x", None, None)
    assert (tmp_path / "x").read_bytes() == BODY


@pytest.mark.parametrize("part", ["headers", "body", "chunks"])
def test_a_server_that_trickles_is_given_up(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(fetch, "WINDOW", 0.4)
    served = server.files["x"]
    head = b'HTTP/1.1 200 OK\r\nETag: "one"\r\n'
    if part == "headers":
        served.raw, served.drip = [head + b"x: " + b"y" * 60_000] * 2, 0.02
    elif part == "chunks":
        served.raw, served.drip = [head + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 60_000] * 2, 0.001
    else:
        served.drip = 0.02
    begin = time.monotonic()
    line = refusal(server, tmp_path)
    assert time.monotonic() - begin < 10
    assert " bytes a second for " in line
    # of the other two, no byte of the file has come
    resumes = ": it resumes where it stopped" if part == "body" else ""
    assert line.endswith(f"; run the same command again{resumes}")
    served.raw, served.drip = [], None
    fetch.fetch(server.url("x"), tmp_path / "x", None, None)
    assert (tmp_path / "x").read_bytes() == BODY


def test_a_slow_server_that_sends_enough_is_not_given_up(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "WINDOW", 0.1)
    monkeypatch.setattr(fetch, "LEAST_RATE", 10)
    served = server.files["x"]
    served.body, served.drip = BODY[:60], 0.01  # over several windows
    fetch.fetch(server.url("x"), tmp_path / "x", None, None)
    assert (tmp_path / "x").read_bytes() == BODY[:60]


def test_a_metric_s_weights_have_the_same_limits(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "WINDOW", 0.3)
    server.files["x"].drip = 0.02
    with pytest.raises(BenchError, match="bytes a second for"):
        fetch_once(server.url("x"), tmp_path / "weights" / "x")
    server.files["x"].drip = None
    fetch_once(server.url("x"), tmp_path / "weights" / "x", sha256_start=sha256(BODY)[:8])
    assert (tmp_path / "weights" / "x").read_bytes() == BODY


def test_what_is_no_file_in_the_part_s_place_is_one_line(server: Server, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.part")
    assert "it is a FIFO, not a file" in refusal(server, tmp_path)
    (tmp_path / "x.part").unlink()
    (tmp_path / "x.part").mkdir()
    assert "it is a folder, not a file" in refusal(server, tmp_path)
