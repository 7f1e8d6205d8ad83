"""The console that commands print to, and how sizes read."""

from __future__ import annotations

import io
import json
import sys

import pytest

from bench import BenchError
from bench.cli.console import amount, console, print_json


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, ""), (7, "7 B"), (999, "999 B"), (1000, "1 kB"), (5_841_848, "5.84 MB"), (2 * 10**9, "2 GB")],
)
def test_amounts(size: int | None, text: str) -> None:
    assert amount(size) == text


class Terminal(io.StringIO):
    """A text that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_has_its_own_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", Terminal())
    screen = console()
    assert (screen.is_terminal, screen.width) == (True, 70)


def test_without_a_terminal_no_line_of_a_table_folds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    screen = console()
    assert not screen.is_terminal
    screen.print("word " * 39)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_json_is_strict(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [1.5, None]})
    assert json.loads(capsys.readouterr().out) == {"a": [1.5, None]}
    with pytest.raises(BenchError, match=r"^this can't be printed as JSON: "):
        print_json({"a": float("nan")})
    assert capsys.readouterr().out == ""
