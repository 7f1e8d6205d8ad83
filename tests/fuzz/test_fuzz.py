"""A short run of each fuzzer; the judge sees what it is for; the corpus is read without a complaint."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import click
import pytest

from tests.fuzz import harness, images, records, settings
from tests.fuzz.harness import CORPUS, MakeCase, fuzz, judge
from tests.support.runs import exit_status

SHORT = 4.0
"""Seconds of a short run, after its process has begun."""
FUZZERS: list[MakeCase] = [settings.make_case, images.make_case, records.make_case]


@pytest.mark.parametrize("make_case", FUZZERS)
def test_a_short_run_has_no_failure(make_case: MakeCase, tmp_path: Path) -> None:
    count, faults = fuzz(make_case, seed=0, seconds=SHORT, failures=tmp_path)
    assert count > 1
    assert not faults, "\n".join(f"case {number}: {fault}" for number, fault in faults.items())


@pytest.mark.parametrize("make_case", FUZZERS)
def test_a_case_follows_from_its_seed_and_number(make_case: MakeCase, tmp_path: Path) -> None:
    cases = []
    for name, number in (("a", 3), ("b", 3), ("c", 4)):
        folder = tmp_path / name
        folder.mkdir()
        commands = make_case(Random(f"1 {number}"), folder)
        files = {
            str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }
        cases.append((commands, files))
    assert cases[0] == cases[1] != cases[2]


def _hang() -> None:
    while True:
        pass


def _fail() -> None:
    raise KeyError("x")


def _warn() -> None:
    click.echo("UserWarning: odd", err=True)


def _colors() -> None:
    click.echo("a name \u202e", err=True)


def _long() -> None:
    click.echo("x" * 6000, err=True)


def _silent() -> None:
    raise SystemExit(2)


def _status() -> None:
    raise SystemExit(7)


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        (_hang, "took more than 0.1 s"),
        (_fail, "KeyError: 'x'"),
        (_warn, "UserWarning: odd"),
        (_colors, "unprintable characters"),
        (_long, "a line of 6000 characters"),
        (_silent, "no message"),
        (_status, "status 7"),
    ],
)
def test_the_judge_sees(monkeypatch: pytest.MonkeyPatch, command: Callable[[], None], fault: str) -> None:
    monkeypatch.setattr(harness, "SECONDS", 0.1)
    monkeypatch.setattr("bench.cli.cli.main", lambda **_: command())
    assert fault in judge([("list", "suites")])


def test_the_judge_passes_a_mistake() -> None:
    assert judge([("list", "nothing"), ("run", "--steps", "x"), ("list", "suites")]) == ""


@pytest.mark.parametrize(
    ("name", "command", "status"),
    [
        ("settings", ("run", "--dry-run", "--suite", "s"), 0),
        ("settings", ("checkpoints", "show", "mine-tiny"), 0),
        ("images", ("stats", "show", "statistics.npz"), 0),
        ("images", ("fid", "images.npz", "--reference", "statistics.npz", *images.FEATURES), 0),
        ("records", ("table", "s", "--no-plots", "--out", "."), 1),  # half of its cells were not run
        ("records", ("compare", "runs.csv", "cells.csv"), 0),
        ("records", ("measure", "--metric", "fd_dct", "--device", "cpu", "--out", "."), 0),
    ],
)
def test_the_corpus_is_whole(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    command: tuple[str, ...],
    status: int,
) -> None:
    shutil.copytree(CORPUS / name, tmp_path / name)
    monkeypatch.chdir(tmp_path / name)
    if name == "settings":
        for path in settings.WEIGHTS:
            shutil.copy(path, "cards")
    assert exit_status(*command) == status
    assert capsys.readouterr().err == ""
