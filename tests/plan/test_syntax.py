"""The digest of source: what computes changes it; comments, docstrings and messages do not."""

from __future__ import annotations

import pytest

from bench.plan.syntax import Import, imported_modules, initializer_digest, source_digest

SOURCE = '''"""A module."""
from bench import BenchError, param

class Mine:
    """A class."""
    gain: float = param(default=1.0, help="how much")
    """An attribute."""

    def step(self, x):
        """A method."""
        assert x, "no x"
        if x > 2:
            raise BenchError(f"{x} is too much: {self.gain}")
        return self.gain * x  # the formula
'''


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# the formula", "# another comment, and a line of its own\n"),
        ("A module.", "Another text."),
        ("A class.", "Another text."),
        ("An attribute.", "Another text."),
        ("A method.", "Another text."),
        ('        """A method."""\n', ""),
        ("how much", "a reworded help text"),
        ("no x", "a reworded message"),
        ("is too much: {self.gain}", "exceeds the limit"),
        ("self.gain * x", "(self.gain  *  x)"),
    ],
)
def test_a_reworded_text_leaves_the_digest(before: str, after: str) -> None:
    assert before in SOURCE
    edited = SOURCE.replace(before, after)
    assert source_digest(edited.encode()) == source_digest(SOURCE.encode())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("self.gain * x", "x * self.gain"),
        ("x > 2", "x > 3"),
        ("x > 2", "x > 2.0"),
        ("default=1.0", "default=2.0"),
        ("raise BenchError", "raise ValueError"),
        ("return self.gain * x", "return 'gain'"),
        ("gain: float", "gain: int"),
        ("gain: float = param", "gain: float = parameter"),
    ],
)
def test_an_edit_of_what_computes_changes_the_digest(before: str, after: str) -> None:
    assert before in SOURCE
    edited = SOURCE.replace(before, after)
    assert source_digest(edited.encode()) != source_digest(SOURCE.encode())


def test_a_number_that_an_exception_carries_counts() -> None:
    assert source_digest(b"raise Done(x, 'a')") == source_digest(b"raise Done(x, 'b' + name)")
    assert source_digest(b"raise Done(x)") != source_digest(b"raise Done(2 * x)")


def test_values_of_different_types_differ() -> None:
    texts = ["1", "1.0", "True", "'1'", "None", "b'1'", "1j", "..."]
    assert len({source_digest(f"a = {text}".encode()) for text in texts}) == len(texts)
    matches = [f"match x:\n    case {text}: pass" for text in ("None", "True", "1", "'1'")]
    assert len({source_digest(text.encode()) for text in matches}) == len(matches)


def test_an_omitted_part_is_not_another_part() -> None:
    slices = ["a[1:]", "a[:1]", "a[::1]", "a[1]"]
    assert len({source_digest(text.encode()) for text in slices}) == len(slices)


def test_imports_in_functions_count_and_those_for_typing_do_not() -> None:
    source = b"""
import a.b as c
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import only_typing
else:
    import run_time
def f():
    from ..d import e
    from . import g
    from h import *
"""
    names = imported_modules(source, "top.inner")
    assert names == {
        Import("a.b"),
        Import("typing", "TYPE_CHECKING"),
        Import("run_time"),
        Import("top.d", "e"),
        Import("top.inner", "g"),
        Import("h"),
    }


def test_an_import_above_the_top_package_is_ignored() -> None:
    assert imported_modules(b"from ...nowhere import x\n", "top") == frozenset()


def test_a_package_that_only_registers_has_no_digest_of_its_own() -> None:
    registering = b'''"""Doc."""
from bench import hookimpl
@hookimpl
def register_tasks(register):
    from mine import Task
    register(Task)
'''
    assert initializer_digest(registering) == ""
    assert initializer_digest(registering + b"SCALE = 2\n") != ""
