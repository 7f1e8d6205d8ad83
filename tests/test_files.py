"""The project's own files, and files that are replaced whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from bench import BenchError, Card, registry_path
from bench.errors import StoreError
from bench.files import (
    SHIPPED_TOML,
    check_regular,
    csv_cell,
    file_lock,
    inside,
    is_safe_name,
    locking,
    read_file,
    replace_file,
    writing,
)


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


UNSAFE = [
    "",
    ".",
    "..",
    "../x",
    "/x",
    "a/b",
    "a\\b",
    ".x",
    "-x",
    "a b",
    "a\nb",
    "a\x1b",
    "\u202ex",
    "x\x00",
    "x" * 201,
]


@pytest.mark.parametrize("name", UNSAFE)
def test_an_unsafe_name_makes_no_path(tmp_path: Path, name: str) -> None:
    assert not is_safe_name(name)
    for names in ((name,), (name, "x"), ("x", name)):
        with pytest.raises(BenchError, match="can't be a name") as caught:
            inside(tmp_path, *names)
        assert str(caught.value).isprintable()


def test_a_safe_name_makes_a_path(tmp_path: Path) -> None:
    for name in ("fd_dct", "table1", "diffusers:DDIMScheduler", "kid-subsets_50-0.5", "_x", "3d", "x" * 200):
        assert inside(tmp_path, name) == tmp_path / name
    assert inside(Path("results"), "a", "b.csv") == Path("results/a/b.csv")


def test_a_link_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "out").symlink_to(elsewhere)
    with pytest.raises(BenchError, match="by a link"):
        inside(folder, "out", "file")
    (tmp_path / "linked").symlink_to(folder)
    assert inside(tmp_path / "linked", "x", "file") == tmp_path / "linked" / "x" / "file"


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


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=cmd()", "'=cmd()"),
        ("+1+cmd", "'+1+cmd"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-x", "'-x"),
        (" =x", "' =x"),
        ("-1.5e-3", "-1.5e-3"),
        ("-inf", "-inf"),
        ("ancestral", "ancestral"),
        ("a=b", "a=b"),
        ("a\x1b[2J\nb\u202e", "a\\u001b[2J\\nb\\u202e"),
        (-1.5, -1.5),
        (None, None),
        ("", ""),
    ],
)
def test_a_cell_of_a_csv_is_no_formula_and_has_no_control_characters(value: object, cell: object) -> None:
    assert csv_cell(value) == cell


@pytest.mark.parametrize("there", [True, False])
def test_a_link_in_place_of_a_lock_file_is_refused(tmp_path: Path, there: bool) -> None:
    other = tmp_path / "elsewhere"
    if there:
        other.write_text("precious")
    lock = tmp_path / ".x.lock"
    lock.symlink_to(other)
    with pytest.raises(BenchError, match="is a link, not a lock file: remove it"):
        file_lock(lock)
    assert (other.read_text() if other.exists() else None) == ("precious" if there else None)
    lock.unlink()
    with file_lock(lock):
        assert lock.exists()
