"""The cache folder: its place, what is installed in it, and checks of files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from bench import BenchError, cache, cached_sha256, is_web_page
from tests.support.served import sha256

BODY = b"content"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(BODY)
    return path


def test_a_manifest_survives_its_file(place: Path) -> None:
    stored = cache.StoredFile(size=7, sha256="00", hash="given by the card")
    manifest = cache.Manifest(files={"a": stored}, origin={"b": stored}, source="here", date="today")
    folder = cache.folder("mine")
    assert folder == place / "checkpoints" / "mine"
    assert cache.manifest("mine") is None
    folder.mkdir(parents=True)
    (folder / cache.MANIFEST).write_text(manifest.text())
    assert cache.manifest("mine") == manifest
    assert manifest.fetched == {"b": stored}
    assert manifest.model_copy(update={"origin": {}}).fetched == {"a": stored}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": 3}', '{"files": {"a": {"bytes": 3}}}'])
def test_a_damaged_manifest_is_one_line(content: str) -> None:
    cache.folder("mine").mkdir(parents=True)
    (cache.folder("mine") / cache.MANIFEST).write_text(content)
    with pytest.raises(BenchError, match="remove the folder and install again") as caught:
        cache.manifest("mine")
    assert "\n" not in str(caught.value)


def test_a_sound_file_passes(file: Path) -> None:
    cache.check_file(file, len(BODY), sha256(BODY), "mine", "fetch it")
    cache.check_file(file, None, None, "mine", "fetch it")


@pytest.mark.parametrize(
    ("size", "digest", "message"),
    [
        (8, None, r"is truncated \(7 bytes, not 8\); fetch it"),
        (6, None, r"is too long \(7 bytes, not 6\); fetch it"),
        (7, "0" * 64, r"has the wrong hash \(sha256 ed7002b439e9…, not 000000000000…\); fetch it"),
    ],
)
def test_another_file_is_refused(file: Path, size: int, digest: str | None, message: str) -> None:
    with pytest.raises(BenchError, match=rf"^mine: {file} {message}$"):
        cache.check_file(file, size, digest, "mine", "fetch it")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="is missing; fetch it"):
        cache.check_file(tmp_path / "nothing", None, None, "mine", "fetch it")
    with pytest.raises(BenchError, match="it is not a file"):
        cache.check_file(tmp_path, None, None, "mine", "fetch it")


def test_a_hash_is_computed_once_while_the_file_stays(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []
    real = cache.sha256_of

    def counted(path: Path) -> str:
        calls.append(path)
        return real(path)

    monkeypatch.setattr(cache, "sha256_of", counted)
    assert cached_sha256(file) == cached_sha256(file) == sha256(BODY)
    assert len(calls) == 1
    file.write_bytes(b"CONTENT")
    os.utime(file, ns=(1, 1))
    assert cached_sha256(file) == sha256(b"CONTENT")
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("content", "page"),
    [
        (b"<!DOCTYPE html><title>x</title>", True),
        (b"\xef\xbb\xbf\n <HTML>", True),
        (b"<!-- a comment -->", True),
        (b"PK\x03\x04<html>", False),
        (b"", False),
    ],
)
def test_web_pages_are_known_by_their_start(tmp_path: Path, content: bytes, page: bool) -> None:
    (tmp_path / "x").write_bytes(content)
    assert is_web_page(tmp_path / "x") == page
    assert not is_web_page(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "make room"), (errno.EDQUOT, "make room"), (errno.EACCES, "to a folder that can be")],
)
def test_an_error_of_writing_says_what_to_do(number: int, remedy: str) -> None:
    error = OSError(number, "it failed")
    assert cache.is_full(error) == (remedy == "make room")
    message = f"a could not be written .it failed.: .*{remedy}"
    with pytest.raises(BenchError, match=message), cache.writing(Path("a")):
        raise error
