"""`fetch` alone: servers that answer another range, files that had come whole, lengths that nobody tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import BenchError
from bench import download as fetch
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
