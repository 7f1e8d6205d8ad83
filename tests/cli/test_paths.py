"""Paths on the command line: an empty one is a mistake, whatever the command, option or setting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

import bench
from bench.cli import cli, main
from bench.cli.paths import NamedPath

EMPTY = [
    ("run", "--checkpoint", "gaussian-cifar10", "--out", ""),
    ("run", "--checkpoint", "gaussian-cifar10", "--task", "inpaint", "--data", ""),
    ("table", "nfe", "--out", ""),
    ("table", "nfe", "--to", ""),
    ("table", ""),
    ("measure", "--metric", "fd", "--out", ""),
    ("compare", "a", "b", "--out", ""),
    ("compare", "", "b"),
    ("compare", "a", ""),
    ("fid", "", "--metric", "fd_cifar10"),
    ("fid", ".", "--metric", "fd_cifar10", "--out", ""),
    ("fid", ".", "--metric", "fd_cifar10", "--reference", ""),
    ("stats", "build", "", "-o", "x.npz", "--extractor", "pixels"),
    ("stats", "build", ".", "-o", "", "--extractor", "pixels"),
    ("stats", "build", ".", "-o", "x.npz", "--extractor", "pixels", "--out", ""),
    ("stats", "show", ""),
    ("check", "ddim", "--out", ""),
    ("published", "--plot", ""),
    ("new", "predictor", ""),
    ("checkpoints", "import", "", "--card", "edm-cifar10-32x32-uncond-vp"),
]


def parameters(group: click.Group) -> Iterator[click.Parameter]:
    """All options and arguments of a group's commands."""
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from parameters(command)
        else:
            yield from command.params


def test_every_path_of_the_command_line_has_the_type() -> None:
    paths = [one for one in parameters(cli) if isinstance(one.type, click.Path)]
    assert len(paths) >= 10
    assert [one.name for one in paths if not isinstance(one.type, NamedPath)] == []


@pytest.mark.parametrize("arguments", EMPTY, ids=" ".join)
def test_an_empty_path_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
) -> None:
    """Even where the current folder is a results folder, which the empty path would name."""
    (tmp_path / "records").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    out, err = capsys.readouterr()
    assert stop.value.code == 2, out
    assert len(err.splitlines()) == 1, err
    assert [path.name for path in tmp_path.rglob("*")] == ["records"]


@pytest.mark.parametrize("key", ['out = ""', 'profile = "quick"\ncards = [""]', '[defaults]\nout = ""'])
def test_an_empty_path_of_bench_toml_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bench.toml").write_text(f"{key}\n")
    with pytest.raises(SystemExit) as stop:
        main(["run", "--checkpoint", "gaussian-cifar10", "--dry-run"])
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_empty_path_of_a_call_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    calls: list[Callable[[], object]] = [
        lambda: bench.run(checkpoint="gaussian-cifar10", out=""),
        lambda: bench.table("nfe", out=""),
        lambda: bench.table("nfe", to=""),
        lambda: bench.remeasure("fd", out=""),
        lambda: bench.compare("a", "b", out=""),
        lambda: bench.measure(".", metric="fd_cifar10", out=""),
    ]
    for call in calls:
        with pytest.raises(bench.BenchError, match="must name a folder"):
            call()
    assert not list(tmp_path.iterdir())
