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
    parse_json,
    read_file,
    read_toml,
    remove_folder,
    replace_file,
    replace_folder,
    restore_folder,
    user_path,
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


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    place, staged, aside = (tmp_path / name for name in ("place", "staged", "aside"))
    for content in ("old", "new"):
        staged.mkdir()
        (staged / "x").write_text(content)
        replace_folder(place, staged, aside)
        assert (place / "x").read_text() == content
        assert not staged.exists()
    assert (aside / "x").read_text() == "old"
    restore_folder(place, aside)  # the new folder is in its place: the old one goes
    assert not aside.exists()
    assert (place / "x").read_text() == "new"

    with pytest.raises(OSError, match="staged"):  # there is nothing to move in
        replace_folder(place, staged, aside)
    assert (place / "x").read_text() == "new"
    place.rename(aside)  # a kill between the two renames
    restore_folder(place, aside)
    assert (place / "x").read_text() == "new"
    assert list(tmp_path.iterdir()) == [place]


def test_a_link_is_removed_and_not_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    remove_folder(tmp_path / "link")
    assert (tmp_path / "folder" / "below").is_dir()
    remove_folder(tmp_path / "folder")
    remove_folder(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


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


def test_toml_is_read_as_it_is_now_and_belongs_to_its_reader(tmp_path: Path) -> None:
    """Equal contents are parsed once; what a reader changes in his is not in the next one's."""
    path = tmp_path / "a.toml"
    path.write_text("a = [1]")
    first = read_toml(path)
    inner = first["a"]
    assert isinstance(inner, list)
    inner.append(2)
    assert read_toml(path) == {"a": [1]}
    path.write_text("a = [3]")
    assert read_toml(path) == {"a": [3]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = " + "9" * 5000, "an integer has too many digits"),
        ("x = 0x" + "f" * 5000, "an integer does not fit 64 bits"),
        (f"x = {2**63}", "an integer does not fit 64 bits"),
        ("x = " + "[" * 5000, "it is nested deeper than 30"),
        ("x = " + "{a = " * 2000, "it is nested deeper than 30"),
        ("x = " + "[" * 31 + "]" * 31, "it is nested deeper than 30"),
        ("a." * 31 + "a = 1", "a key has more than 30 parts"),
        ("[" + "a . " * 100_000 + "a]", "a key has more than 30 parts"),
        ("\"a\".'b'." * 20 + "c = 1", "a key has more than 30 parts"),
        ("x = [" + "1," * 100_001 + "]", "it has more than 100000 values"),
        ("x = ", "Invalid value"),
        ("x = 1979-13-01", "at line 1"),
        ("\0", "at line 1"),
    ],
)
def test_toml_is_bounded(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_toml(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_toml_within_the_bounds_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    keys = ".".join("a" * 30)
    path.write_text(f"x = {2**63 - 1}\ny = {-(2**63)}\nz = {'[' * 29}{']' * 29}\n{keys} = 'a.b.c'\n")
    content = read_toml(path)
    assert (content["x"], content["y"]) == (2**63 - 1, -(2**63))
    path.write_text("# " + "x" * 1_000_000)
    with pytest.raises(OSError, match="it is too large: 1000002 bytes, and at most 1000000 are read"):
        read_toml(path)


@pytest.mark.parametrize("content", [b"[" * 100_000, b"9" * 41, b"{", b"\xff", b"1" * 5000, b'{"a": 1} x'])
def test_json_is_bounded(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_json(content)
    assert "\n" not in str(caught.value)
    assert parse_json(b'{"a": [1, 2.5, "x"]}') == {"a": [1, 2.5, "x"]}


@pytest.mark.parametrize("name", ["\ud800", "~nobody_of_that_name/x", "a\0b", "x" * 5000, "x/" + "y" * 300])
def test_what_can_not_be_a_path_is_one_line(name: str) -> None:
    with pytest.raises(BenchError, match="can't be used as a path: ") as caught:
        user_path(name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_paths_of_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/of/mine")
    assert user_path("~/x") == Path("/home/of/mine/x")
    assert user_path("a/b") == Path("a/b")


def test_a_leftover_of_a_kill_is_overwritten_under_a_lock(tmp_path: Path) -> None:
    (tmp_path / ".file.part").write_text("half")
    replace_file(tmp_path / "file", b"whole", locked=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


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
