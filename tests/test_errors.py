"""Suggestions in messages, and text that is safe to print."""

from __future__ import annotations

import pytest

from bench.errors import SHORT, NotFiniteError, StoreError, did_you_mean, one_line, printable


def test_a_near_name_is_suggested_among_all() -> None:
    assert did_you_mean("ddmi", ["heun", "ddim"]) == " (did you mean 'ddim'? known: ddim, heun)"


def test_a_far_name_gets_the_known_ones_alone() -> None:
    assert did_you_mean("xyzzy", ["heun", "ddim"]) == " (known: ddim, heun)"
    assert did_you_mean("xyzzy", []) == " (known: none)"


def test_a_long_list_is_replaced_by_the_command_that_prints_it() -> None:
    names = [f"sampler-{letter}" for letter in "abcdefghijkl"]
    assert len(names) > SHORT
    assert did_you_mean("zzz", names, "bench list") == " (bench list shows all)"
    hint = did_you_mean("sampler-a", names[1:], "bench list")
    assert hint.startswith(" (did you mean ")
    assert hint.endswith("? bench list shows all)")


@pytest.mark.parametrize(
    ("text", "most", "printed"),
    [
        ("plain – ä", 200, "plain – ä"),
        ("a\nb\x1b[31m", 200, "a\\nb\\u001b[31m"),
        ("abcdef", 4, "abc…"),
        ("abcd", 4, "abcd"),
        ("x" * 300, None, "x" * 300),
    ],
)
def test_printable(text: str, most: int | None, printed: str) -> None:
    assert printable(text, most) == printed


def test_errors_of_a_run_keep_their_facts() -> None:
    assert str(NotFiniteError("at step 3")) == "samples became NaN or infinite at step 3"
    assert StoreError(28, "No space left").errno == 28


def test_a_message_becomes_one_line_that_a_record_can_hold() -> None:
    assert one_line(OSError("no file\n  a\udcff")) == "no file a\\udcff"


class Mute(Exception):
    """Has no message: asking for it raises another error."""

    def __str__(self) -> str:
        raise RuntimeError("no message")


def test_an_error_without_a_message_has_one_line_too() -> None:
    assert one_line(Mute()) == "its message can't be read"
