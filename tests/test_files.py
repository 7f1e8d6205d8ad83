"""The project's own files, and files that are replaced whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from bench import Card, registry_path
from bench.errors import StoreError
from bench.files import SHIPPED_TOML, replace_file, writing


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
