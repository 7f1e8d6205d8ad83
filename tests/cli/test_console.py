"""The console that commands print to."""

from __future__ import annotations

import io
import json
import sys

import pytest

from bench import BenchError
from bench.cli.console import console, echo, echo_json, echo_lines


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


ODD = "a\x1b[31m\u202eb\x9b"


def test_a_line_is_one_line_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    echo(f"{ODD}\n")
    echo(ODD, err=True)
    assert capsys.readouterr() == ("a\\u001b[31m\\u202eb\\u009b\\n\n", "a\\u001b[31m\\u202eb\\u009b\n")


def test_lines_are_escaped_each(capsys: pytest.CaptureFixture[str]) -> None:
    echo_lines(f"one\n  {ODD}\n")
    assert capsys.readouterr().out == "one\n  a\\u001b[31m\\u202eb\\u009b\n\n"


def test_json_is_strict_and_plain(capsys: pytest.CaptureFixture[str]) -> None:
    echo_json({ODD: [1.5, ODD]})
    out = capsys.readouterr().out
    assert json.loads(out) == {ODD: [1.5, ODD]}
    assert out.isascii()
    assert not {"\x1b", "\x9b"} & set(out)
    with pytest.raises(BenchError, match="NaN or infinite, which JSON can't hold"):
        echo_json({"value": float("nan")})
