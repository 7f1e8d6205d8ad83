"""The project's own files, and files that are replaced whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from bench import Card, registry_path
from bench.errors import BenchError, StoreError
from bench.files import SHIPPED_TOML, check_regular, locking, read_file, replace_file, writing


def test_shipped_files_are_there() -> None:
    assert SHIPPED_TOML.is_file()
    assert registry_path().is_absolute()
    assert Card.read(registry_path("cards", "cifar10-tiny.toml")).shipped
    assert not registry_path("cards", "nothing.toml").exists()


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"old", b"newer"):
        replace_file(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=f"{path} could not be written") as caught:
        replace_file(path, b"new")
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), writing(tmp_path):
        raise ValueError("mine")


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    whole, fifo = tmp_path / "whole", tmp_path / "fifo"
    whole.write_bytes(b"content")
    assert read_file(whole) == b"content"
    os.mkfifo(fifo)
    for path, kind in ((fifo, "FIFO"), (tmp_path, "folder"), (Path(os.devnull), "device")):
        with pytest.raises(OSError, match=f"it is a {kind}, not a file"):
            read_file(path)
    with pytest.raises(FileNotFoundError):
        check_regular(tmp_path / "none")


def test_a_file_system_without_locks_is_named(tmp_path: Path) -> None:
    for number in (errno.ENOLCK, errno.EOPNOTSUPP):
        with (
            pytest.raises(BenchError, match=r"can't hold file locks \(.*\): go elsewhere"),
            locking(tmp_path / "lock", "go elsewhere"),
        ):
            raise OSError(number, "")
    with pytest.raises(StoreError, match="lock could not be written"), locking(tmp_path / "lock", ""):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
