"""Folders on their way into the cache."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bench import cache
from bench.checkpoints.install import staging
from bench.events import Event, silent


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    return tmp_path


def test_the_folder_is_empty_and_removed_afterwards(place: Path) -> None:
    (place / "staging" / "mine" / "old").mkdir(parents=True)
    events: list[Event] = []
    with staging.exclusive("mine", events.append) as folder:
        assert folder == place / "staging" / "mine"
        assert list(folder.iterdir()) == []
        (folder / "x").write_text("new")
    assert not folder.exists()
    assert events == []


def test_a_folder_replaces_another_whole(place: Path) -> None:
    for content in ("old", "new"):
        with staging.exclusive("mine", silent) as folder:
            (folder / "x").write_text(content)
            assert staging.move_in(folder, "mine") == cache.folder("mine")
        assert (cache.folder("mine") / "x").read_text() == content
    assert list((place / "aside").iterdir()) == []


def test_a_failed_move_leaves_the_old_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.folder("mine").mkdir(parents=True)
    (cache.folder("mine") / "x").write_text("old")
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if "staging" in self.parts:
            raise OSError("no")
        return real(self, target)

    with staging.exclusive("mine", silent) as folder:
        monkeypatch.setattr(Path, "rename", rename)
        with pytest.raises(OSError, match="no"):
            staging.move_in(folder, "mine")
    assert (cache.folder("mine") / "x").read_text() == "old"
    assert list((place / "aside").iterdir()) == []


def test_a_link_is_a_copy_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("content")
    staging.link(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").stat().st_nlink == 2

    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "link", refuse)
    staging.link(tmp_path / "a", tmp_path / "c")
    assert (tmp_path / "c").read_text() == "content"
    shutil.rmtree(tmp_path)
