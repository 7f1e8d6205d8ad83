"""Records and planned suites that are valid JSON but odd: one line each, skipped, made again."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.results.identity import with_checksum
from tests.support.runs import exit_status

SUITE = """
[suites.s]
layout = "list"
[[suites.s.cells]]
sde = "vp"
predictor = "ancestral"
steps = 3
grid = "polynomial"
column = "{steps}"
"""
RUN = (
    *("run", "--suite", "s", "--checkpoint", "gaussian-cifar10", "--samples", "4", "--batch-size", "2"),
    *("--device", "cpu"),
)

Edit = Callable[[dict[str, Any]], object]


def _without(*keys: str) -> Edit:
    def edit(plain: dict[str, Any]) -> None:
        *outer, last = keys
        for key in outer:
            plain = plain[key]
        del plain[last]

    return edit


def _with(value: object, *keys: str) -> Edit:
    def edit(plain: dict[str, Any]) -> None:
        *outer, last = keys
        for key in outer:
            plain = plain[key]
        plain[last] = value

    return edit


def _deep(depth: int) -> object:
    value: object = 0
    for _ in range(depth):
        value = [value]
    return value


ODD_METRICS: list[object] = [[], "fd", {"fd_dct": 1.0}, {"fd_dct": {}}]
ODD_COSTS: list[object] = [[], {"nfe": 1}, "much"]
ODD_CELLS: list[object] = [{}, [1], [{}], "all"]

# each edit gets a right checksum, as another version of the program would do
EDITS: list[Edit] = [
    *(
        _without(key)
        for key in ("status", "title", "samples", "identity", "provenance", "schema_version", "fingerprint")
    ),
    _without("identity", "checkpoint"),
    *(_with(value, "samples") for value in (0, -4, "4", 4.5, 10**50, None, True)),
    *(_with(value, "metrics") for value in ODD_METRICS),
    *(_with(value, "cost") for value in ODD_COSTS),
    *(_with(value, "cost", "seconds") for value in (-1.0, 1e300, "1")),
    _with(0.0, "cost", "samples_per_second"),
    *(_with(value, "metrics", "fd_dct", "value") for value in (1e308, -1e308, "1", None)),
    _with(1e308, "metrics", "fd_dct", "error"),
    _with(0, "identity", "batch_size"),
    _with(-1, "identity", "seed"),
    _with(10**400, "identity", "seed"),
    _with([], "identity", "plugins"),
    _with("other", "status"),
    _with("../../outside", "key"),
    _with("0" * 16, "fingerprint"),
    _with(1, "schema_version"),
    _with(3, "schema_version"),
    _with(True, "schema_version"),
    _with({"a": _deep(500)}, "identity", "task", "parameters"),
    _with("\ud800", "title"),
    _with("a\nb", "b\nc"),
]
CONTENTS: list[bytes] = [
    b"null",
    b"[]",
    b"3",
    b"{}",
    b'"text"',
    b"",
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"schema_version": ' + b"9" * 5000 + b"}",
]


def _edited(content: bytes, edit: Edit) -> bytes:
    plain = json.loads(content)
    edit(plain)
    return with_checksum(plain)


def _mentions(text: str, path: Path) -> list[str]:
    return [line for line in text.splitlines() if str(path) in line]


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs a command in a folder with the suite ``s``; its output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "1000")
    Path("bench.toml").write_text(SUITE)

    def run(*arguments: str, status: int = 0) -> str:
        code = exit_status(*arguments)
        out, err = capsys.readouterr()
        assert code == status, out + err
        assert "Traceback" not in out + err
        return out + err

    return run


def test_odd_records_are_reported_in_a_line_skipped_and_made_again(call: Callable[..., str]) -> None:
    repeats = len(EDITS) + len(CONTENTS) + 2
    run = (*RUN, "--repeats", str(repeats))
    call(*run)
    paths = sorted(Path("results/records").iterdir())
    assert len(paths) == repeats
    good = {path: path.read_bytes() for path in paths}
    odd = paths[2:]
    for path, edit in zip(odd, EDITS, strict=False):
        path.write_bytes(_edited(good[path], edit))
    for path, content in zip(odd[len(EDITS) :], CONTENTS, strict=True):
        path.write_bytes(content)
    values = json.loads(good[paths[0]])["metrics"]
    label = next(iter(values))
    commands = [
        ((*run, "--dry-run"), 0),
        (("table", "s", "--no-plots"), 1),
        (("compare", "s", "s"), 0),
        (("compare", "results", "results"), 0),
        (("measure", "--metric", label, "--device", "cpu"), 0),
    ]
    for command, status in commands:
        text = call(*command, status=status)
        for path in odd:
            # a comparison reports each of its sides
            sides = 2 if command[0] == "compare" else 1
            assert 1 <= len(_mentions(text, path)) <= sides, (command, path)
        assert not _mentions(text, paths[0])
    with Path("results/runs.csv").open(newline="") as handle:
        assert {row["fingerprint"] for row in csv.DictReader(handle)} == {path.stem for path in paths[:2]}
    for path in odd[::7]:
        assert call("compare", str(path), str(paths[0]), status=2).count("\n") == 1
    text = call(*run)
    assert all(len(_mentions(text, path)) == 1 for path in odd)
    for path in odd:
        again, before = json.loads(path.read_bytes()), json.loads(good[path])
        assert again["metrics"] == before["metrics"]
    text = call(*run)
    assert not any(_mentions(text, path) for path in paths)


def test_an_edited_value_is_reported(call: Callable[..., str]) -> None:
    call(*RUN)
    (path,) = Path("results/records").iterdir()
    good = path.read_bytes()
    plain = json.loads(good)
    label = next(iter(plain["metrics"]))
    plain["metrics"][label]["value"] *= 0.5
    for content in (
        json.dumps(plain).encode(),
        json.dumps({k: v for k, v in json.loads(good).items() if k != "checksum"}).encode(),
    ):
        path.write_bytes(content)
        (line,) = _mentions(call("table", "s", "--no-plots", status=1), path)
        assert "checksum" in line
    call(*RUN)
    assert json.loads(path.read_bytes())["metrics"] == json.loads(good)["metrics"]
    # another layout of the same content is as good
    path.write_text(json.dumps(dict(reversed(json.loads(good).items()))))
    assert not _mentions(call("table", "s", "--no-plots"), path)


PLAN_EDITS: list[Edit] = [
    *(_without(key) for key in ("suite", "name", "samples", "metrics", "cells", "schema_version")),
    *(_with(value, "cells") for value in ODD_CELLS),
    *(_with(value, "samples") for value in (0, "4", 10**400)),
    _with("cube", "layout"),
    _with("1", "steps_scale"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of a run of the suite."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        Path("bench.toml").write_text(SUITE)
        assert exit_status(*RUN) == 0
    return folder / "results"


@pytest.mark.parametrize("edit", [*PLAN_EDITS, None])
def test_odd_plans_are_reported_in_a_line_and_made_again(
    call: Callable[..., str], finished: Path, edit: Edit | None
) -> None:
    shutil.copytree(finished, "results")
    (path,) = Path("results/suites/s").iterdir()
    good = path.read_bytes()
    path.write_bytes(good.replace(b'"vp"', b'"ve"') if edit is None else _edited(good, edit))
    assert len(_mentions(call("table", "s", "--no-plots", status=2), path)) == 1
    assert len(_mentions(call(*RUN), path)) == 1
    assert path.read_bytes() == good
